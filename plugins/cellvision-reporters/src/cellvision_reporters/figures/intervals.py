"""Intervals of accuracies in figures and tables, wider for predictions pooled over folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import statistics

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cellvision import Run


def accuracy_interval(
    run: Run, correct: ArrayLike, groups: ArrayLike | None
) -> statistics.Interval:
    """Return the 95 % interval of an accuracy on images of a run.

    Parameters
    ----------
    run
        The run that predicted the images.
    correct
        (n,) booleans, or the fraction of runs that are right.
    groups
        (n,) group of each image; None if groups are unknown.
    """
    if run.cross_validated:
        return statistics.cross_validated_accuracy(correct, groups)
    return statistics.accuracy_interval(correct, groups)
