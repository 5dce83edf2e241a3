"""Networks that did not train: they predict one class for every image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision.statistics import untrained_runs

if TYPE_CHECKING:
    from cellvision.results.run import Run


def untrained_networks(run: Run) -> int:
    """Count the networks of a run that predict one class for every image.

    Images of all splits count, because the images that a fold tests may all be of one class.

    Parameters
    ----------
    run
        A run, or one that is pooled over folds with a network each.
    """
    if run.cross_validated:
        return run.metadata.untrained_networks or 0
    table = run.predictions
    return int(table["label"].nunique() > 1 and untrained_runs(table["predicted"])[0])
