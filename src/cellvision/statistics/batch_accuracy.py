"""Accuracy of each batch (plate, day), to see the worst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cellvision.statistics import validation
from cellvision.statistics.accuracy import accuracy_interval, cross_validated_accuracy
from cellvision.statistics.intervals import Interval


@dataclass(frozen=True)
class BatchAccuracy:
    """Accuracy on the images of one batch.

    Attributes
    ----------
    batch : str
        Its name.
    accuracy : Interval
        The intervals of all batches hold together.
    """

    batch: str
    accuracy: Interval


def batch_accuracies(
    correct: ArrayLike,
    batches: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    cross_validated: bool = False,
) -> tuple[BatchAccuracy, ...]:
    """Compute the accuracy of each batch, the worst first.

    The worst of many batches is low by chance alone, so the intervals of all batches hold together
    with the given confidence (Bonferroni). If that of the worst reaches the accuracy of all images,
    it need not be worse than the others.

    Parameters
    ----------
    correct
        (n,) booleans, or the fraction of runs that are right.
    batches
        (n,) batch of each image.
    groups
        (n,) group of each image; None if images are independent.
    confidence
        Level of all intervals together.
    cross_validated
        Whether predictions are pooled over folds: intervals are then widened.

    Raises
    ------
    InvalidInput
        There is no image, or lengths differ.

    Examples
    --------
    >>> correct = [True] * 30 + [True] * 12 + [False] * 18
    >>> worst, best = batch_accuracies(correct, ["p1"] * 30 + ["p2"] * 30)
    >>> worst.batch, worst.accuracy.estimate, best.accuracy.estimate
    ('p2', 0.4, 1.0)
    """
    validation.check_confidence(confidence)
    values = validation.check_fractions(correct)
    names = validation.check_column(batches, "batches")
    validation.check_same_length(correct=values, batches=names)
    index = validation.group_index(groups, len(values), "correct")
    distinct, number = validation.encode(names)
    joint = 1 - (1 - confidence) / len(distinct)
    interval = cross_validated_accuracy if cross_validated else accuracy_interval
    result = [
        BatchAccuracy(
            str(name),
            interval(values[number == k], None if groups is None else index[number == k], joint),
        )
        for k, name in enumerate(distinct)
    ]
    order = np.argsort([each.accuracy.estimate for each in result], kind="stable")
    return tuple(result[k] for k in order)
