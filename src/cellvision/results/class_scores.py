"""Precision, recall and F1 of each class on one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cellvision import statistics
from cellvision.result_model import ResultModel

_NAMED = 5
"""Classes that a warning names."""


class ClassScore(ResultModel):
    """How well a network recognises one class on one split."""

    n: int
    """Number of images of the class."""

    predicted: int
    """Number of images that are predicted to be of the class."""

    precision: float | None
    """Fraction of the images predicted as the class that belong to it; None if there is none."""

    recall: float | None
    """Fraction of the images of the class that are predicted as it; None if there is none."""

    recall_low: float | None
    """Lower limit of the 95 % interval of the recall, over groups where they are known."""

    recall_high: float | None
    """Upper limit of that interval."""

    f1: float | None
    """Harmonic mean of precision and recall; None without images and predictions of the class."""


def score_classes(
    labels: np.ndarray,
    predicted: np.ndarray,
    groups: np.ndarray | None,
    class_names: Sequence[str],
    *,
    cross_validated: bool = False,
) -> dict[str, ClassScore]:
    """Score every class.

    Parameters
    ----------
    labels, predicted
        Class numbers, shape (images,).
    groups
        The group of each image, shape (images,); None if groups are unknown.
    class_names
        The classes, in the order of their numbers.
    cross_validated
        Whether the predictions are pooled over folds: the intervals are then wider.
    """
    interval_of = (
        statistics.cross_validated_accuracy if cross_validated else statistics.accuracy_interval
    )
    scores = {}
    for number, name in enumerate(class_names):
        of_class = labels == number
        n, count = int(of_class.sum()), int((predicted == number).sum())
        right = predicted[of_class] == number
        hits = int(right.sum())
        low = high = None
        if n:
            interval = interval_of(right, None if groups is None else groups[of_class])
            low, high = interval.low, interval.high
        scores[name] = ClassScore(
            n=n,
            predicted=count,
            precision=hits / count if count else None,
            recall=hits / n if n else None,
            recall_low=low,
            recall_high=high,
            f1=2 * hits / (n + count) if n + count else None,
        )
    return scores


def never_predicted(split: str, classes: Mapping[str, ClassScore]) -> list[str]:
    """Warn of classes with images in a split that are never predicted there, in one line.

    Parameters
    ----------
    split
        Name of the split.
    classes
        Its classes.
    """
    missed = {name: score.n for name, score in classes.items() if score.n and not score.predicted}
    if not missed:
        return []
    hidden = "Balanced accuracy and the table of classes show it; accuracy hides it."
    if len(missed) == 1:
        ((name, n),) = missed.items()
        wrong = "its only image is" if n == 1 else f"all {n} images of it are"
        return [f"{split}: class {name!r} is never predicted ({wrong} wrong). {hidden}"]
    named = [
        f"{name!r} ({n} image{'s' if n != 1 else ''})" for name, n in list(missed.items())[:_NAMED]
    ]
    more = f" and {len(missed) - _NAMED} more" if len(missed) > _NAMED else ""
    return [
        f"{split}: {len(missed)} of {len(classes)} classes are never predicted: "
        f"{', '.join(named)}{more}. {hidden}"
    ]
