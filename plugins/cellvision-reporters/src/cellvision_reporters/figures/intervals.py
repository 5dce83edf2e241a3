"""Intervals of accuracies in figures and tables, wider for predictions pooled over folds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cellvision import statistics

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cellvision import Run


def accuracy_interval(run: Run, images: Iterable[str], correct: ArrayLike) -> statistics.Interval:
    """Return the 95 % interval of an accuracy on images of a run.

    Parameters
    ----------
    run
        The run that predicted the images.
    images
        (n,) their names; the interval is over their independent units.
    correct
        (n,) booleans, or the fraction of runs that are right.
    """
    groups = run.independent_units(images)
    if run.cross_validated:
        return statistics.cross_validated_accuracy(correct, groups)
    return statistics.accuracy_interval(correct, groups)
