"""What a finished run or study says about groups, to plan the next experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.results.study import Study
from cellvision.statistics import Pilot, summarise_pilot

if TYPE_CHECKING:
    from cellvision.results.run import Run


def pilot_of(
    results: Run | Study, experiment: str | None = None, split: str | None = None
) -> Pilot:
    """Estimate accuracy, recalls, correlation and group size from held-out predictions.

    Groups are the independent units of the predictions; see `Run.unit_column`.

    Parameters
    ----------
    results
        A finished run or study. Of a study, an image counts by the fraction of runs that are right.
    experiment
        Name of the study's experiment; None: the only one.
    split
        Name of a test set; None: the only one.

    Raises
    ------
    errors.InvalidInput
        Groups are unknown, there is no test set, or a name is missing or wrong.
    """
    runs = _runs(results, experiment)
    if runs[0].unit_column is None:
        raise errors.InvalidInput(
            f"{results.folder}: its groups are unknown",
            "Name them (dataset.group), or give guesses: --accuracy, --correlation and --images",
        )
    split = _split(runs[0], split)
    tables = [run.predictions_of(split) for run in runs]
    images = tables[0]["image"]
    right = [
        (table["predicted"] == table["label"]).set_axis(table["image"]).loc[images].to_numpy(float)
        for table in tables
    ]
    units = runs[0].independent_units(images)
    assert units is not None
    return summarise_pilot(np.mean(right, axis=0), units, tables[0]["label"].to_numpy())


def _runs(results: Run | Study, experiment: str | None) -> tuple[Run, ...]:
    if not isinstance(results, Study):
        return (results,)
    names = results.names
    if (experiment is None and len(names) > 1) or experiment not in (None, *names):
        raise errors.InvalidInput(
            f"{results.folder}: its experiments are {', '.join(map(repr, names))}",
            f"Name one: --experiment {names[0]!r}",
        )
    chosen = names[0] if experiment is None else experiment
    return next(each.runs for each in results.experiments if each.name == chosen)


def _split(run: Run, split: str | None) -> str:
    tests = run.test_splits
    if not tests:
        raise errors.InvalidInput(f"{run.folder}: there is no test set", "Name another run.")
    if (split is None and len(tests) > 1) or split not in (None, *tests):
        raise errors.InvalidInput(
            f"{run.folder}: its test sets are {', '.join(map(repr, tests))}",
            f"Name one: --split {tests[0]}",
        )
    return tests[0] if split is None else split
