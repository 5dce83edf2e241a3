"""What a pilot study says about groups, to plan the next experiment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import resampling, validation
from cellvision.statistics.accuracy import beta_binomial_posterior, correlation_about_means

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pilot:
    """What a pilot study says about groups.

    Attributes
    ----------
    accuracy : float
        Fraction of images classified correctly, 0 to 1.
    correlation : float
        Intraclass correlation of right and wrong within groups, 0 to 1.
    images : float
        Images per group.
    recalls : tuple of float or None
        Fraction of the images of each class classified correctly; None: that of all images.
    within_classes : float or None
        The correlation without the differences between classes; None: `correlation`.
    """

    accuracy: float
    correlation: float
    images: float
    recalls: tuple[float, ...] | None = None
    within_classes: float | None = None

    def __post_init__(self) -> None:
        fractions = {"accuracy": self.accuracy, "correlation": self.correlation}
        fractions |= {f"recall {k}": value for k, value in enumerate(self.recalls or ())}
        if self.within_classes is not None:
            fractions["within_classes"] = self.within_classes
        for name, value in fractions.items():
            if not 0 <= value <= 1:
                raise InvalidInput(f"{name} is {value}", "Give a number, 0 to 1.")
        if not self.images >= 1:
            raise InvalidInput(f"images per group is {self.images}", "Give 1 or more.")


def summarise_pilot(correct: ArrayLike, groups: ArrayLike, labels: ArrayLike) -> Pilot:
    """Estimate accuracy, recalls, correlation and group size from held-out predictions.

    Parameters
    ----------
    correct
        (n,) booleans or fractions of runs that are right.
    groups
        (n,) group of each image.
    labels
        (n,) true class of each image.
    """
    values = validation.check_fractions(correct)
    truth = validation.check_column(labels, "labels")
    validation.check_same_length(correct=values, labels=truth)
    index = validation.group_index(groups, len(values), "correct")
    classes, label = validation.encode(truth)
    recalls = np.array([values[label == c].mean() for c in range(len(classes))])
    right, sizes = _right_and_images(index, values)
    # A group of several classes has a part in each.
    parts, part = np.unique(index * len(classes) + label, return_inverse=True)
    return Pilot(
        float(values.mean()),
        beta_binomial_posterior(right, sizes).correlation,
        float(sizes.mean()),
        tuple(recalls.tolist()),
        correlation_about_means(*_right_and_images(part, values), recalls[parts % len(classes)]),
    )


def _right_and_images(index: NDArray[np.intp], values: Floats) -> tuple[Floats, Floats]:
    images = resampling.group_sums(index)
    # Sums of fractions can exceed their bounds by rounding.
    return np.clip(resampling.group_sums(index, values), 0, images), images
