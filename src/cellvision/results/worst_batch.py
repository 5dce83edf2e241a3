"""The batch (plate, day) on which networks do worst."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellvision.results.verdicts import WorstBatchRecord
from cellvision.statistics import batch_accuracies

if TYPE_CHECKING:
    import numpy as np

    from cellvision.results.run import Run

_ROUNDING = 1e-9
"""Difference of accuracies up to which batches count as equal."""


def worst_batch(
    correct: np.ndarray,
    groups: np.ndarray | None,
    batches: np.ndarray | None,
    *,
    cross_validated: bool,
) -> dict[str, Any] | None:
    """Return the batch with the lowest accuracy; None if batches are unknown or equally accurate.

    Parameters
    ----------
    correct
        (n,) fraction of runs that are right.
    groups, batches
        (n,) of each image; None if unknown.
    cross_validated
        Whether predictions are pooled over folds.
    """
    if batches is None:
        return None
    accuracies = batch_accuracies(correct, batches, groups, cross_validated=cross_validated)
    worst, best = accuracies[0], accuracies[-1]
    if best.accuracy.estimate - worst.accuracy.estimate < _ROUNDING:
        return None
    return {
        "batch": worst.batch,
        "batches": len(accuracies),
        "n": worst.accuracy.n,
        "groups": worst.accuracy.groups,
        "accuracy": worst.accuracy.estimate,
        "accuracy_low": worst.accuracy.low,
        "accuracy_high": worst.accuracy.high,
    }


def worst_batch_of_run(run: Run, split: str) -> WorstBatchRecord | None:
    """Return the worst batch of one split of a run; None if there are not several that differ.

    Parameters
    ----------
    run
        The run.
    split
        Name of a split.
    """
    rows = run.predictions_of(split)
    if run.batch_column is None or rows.empty:
        return None
    batches = run.provenance.set_index("image").loc[rows["image"], "batch"]
    if batches.isna().any() or batches.nunique() < 2:
        return None
    right = (rows["predicted"] == rows["label"]).to_numpy(float)
    groups = run.independent_units(rows["image"])
    content = worst_batch(right, groups, batches.to_numpy(), cross_validated=run.cross_validated)
    return None if content is None else WorstBatchRecord.model_validate(content)
