"""What a single run says by the rule of a study, and the command that asks for more."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cellvision import statistics

if TYPE_CHECKING:
    from cellvision import Run


def single_run_verdict(run: Run, split: str) -> statistics.Verdict:
    """Apply the rule of a study to one run without controls.

    Parameters
    ----------
    run
        The run.
    split
        A test set.
    """
    rows = run.predictions_of(split)
    batches, training = _batches(run, split), run.training_split
    trained = None if training is None or batches is None else _batches(run, training)
    return statistics.verdict(
        rows["label"].to_numpy(),
        rows["predicted"].to_numpy(),
        run.independent_units(rows["image"]),
        batches=batches,
        batch_name=run.batch_column or "batch",
        # Pooled folds have no training images, so it is not known what their batches were.
        batches_held_out=bool(trained) and not set(batches or ()) & set(trained or ()),
        training=None if training is None else run.scores[training].balanced_accuracy,
        cross_validated=run.cross_validated,
        # Near-duplicates may be neighbours rather than copies; the banner names them.
        shared=any(split in leak.splits and leak.kind != "near_duplicate" for leak in run.leaks),
        adjusted_p=p_over_test_sets(run, split),
        looks=looks_at(run, split),
    )


def p_over_test_sets(run: Run, split: str) -> float | None:
    """Return the p-value of an evaluation, adjusted for its test sets; None for a training."""
    from cellvision import Evaluation

    test = run.record.tests.get(split) if isinstance(run, Evaluation) else None
    return None if test is None else test.p_over_test_sets


def looks_at(run: Run, split: str) -> statistics.LookCount | None:
    """Return how often an evaluation's images have been evaluated; None if that is unknown."""
    from cellvision import Evaluation

    recorded = run.record.looks.get(split) if isinstance(run, Evaluation) else None
    return None if recorded is None else statistics.LookCount(recorded.looks, recorded.settings)


def _batches(run: Run, split: str) -> list[str] | None:
    """Return the batch of each image of a split; None if some are unknown."""
    if run.batch_column is None:
        return None
    images = run.predictions_of(split)["image"]
    column = run.provenance.set_index("image").loc[images, "batch"]
    return None if column.isna().any() else list(column)


def study_command(run: Run) -> str:
    """Return the command that repeats a run from several seeds, beside controls."""
    folder = run.folder.resolve()
    words = ["cellvision", "study", str(folder / "run.json"), "--runs", "5", "--controls", "--out"]
    return shlex.join([*words, str(folder.with_name(f"{folder.name}-study"))])
