"""What a verdict says beside the accuracy of images: answers for groups, and the worst batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.results.scores import Score
from cellvision.statistics import batch_accuracies
from cellvision.studies.ensemble import mean_predictions

if TYPE_CHECKING:
    from cellvision.results.run import Run


def group_answers(runs: Sequence[Run], split: str) -> dict[str, Any]:
    """Score the answers for groups, from mean probabilities over runs; empty if unknown.

    Parameters
    ----------
    runs
        Runs of one experiment.
    split
        Name of the test set.
    """
    if runs[0].group_column is None:
        return {}
    table, probabilities = mean_predictions(runs)
    rows = (table["split"] == split).to_numpy()
    numbers = {name: number for number, name in enumerate(runs[0].class_names)}
    score = Score.from_predictions(
        table.loc[rows, "label"].map(numbers).to_numpy(np.int64),
        probabilities[rows],
        table.loc[rows, "group"].to_numpy(),
        0.0,
        cross_validated=runs[0].cross_validated,
    )
    names = ("group_accuracy", "group_accuracy_low", "group_accuracy_high", "groups_scored")
    return {name: getattr(score, name) for name in names}


def worst_batch(
    correct: np.ndarray,
    groups: np.ndarray | None,
    batches: np.ndarray | None,
    *,
    cross_validated: bool,
) -> dict[str, Any] | None:
    """Return the batch with the lowest accuracy; None if batches are unknown.

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
    worst = accuracies[0]
    return {
        "batch": worst.batch,
        "batches": len(accuracies),
        "n": worst.accuracy.n,
        "groups": worst.accuracy.groups,
        "accuracy": worst.accuracy.estimate,
        "accuracy_low": worst.accuracy.low,
        "accuracy_high": worst.accuracy.high,
    }
