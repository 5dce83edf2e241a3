"""Trust at prediction: sets of classes, abstention, and groups unlike the training data.

All are fitted on out-of-fold (or validation) predictions of groups that the network was not
trained on, and hold for new groups of the same kind. They promise nothing for another plate, cell
line or microscope, and do not recognise unknown classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import resampling, validation
from cellvision.statistics.accuracy import accuracy_interval, cross_validated_accuracy

Floats = NDArray[np.float64]

FEWEST_FOR_ABSTENTION = 10
"""Groups below which no threshold for abstention is given."""

_FRACTIONS = np.linspace(0.2, 1.0, 17)  # of images that are answered, most confident first


@dataclass(frozen=True)
class PredictionSets:
    """Sets of classes that hold the true one with a given probability.

    Attributes
    ----------
    coverage : float
        Probability that the set of an image of a new group holds its class.
    threshold : float
        Classes with at least ``1 - threshold`` probability are in the set.
    groups : int
        Groups on which it was fitted.
    """

    coverage: float
    threshold: float
    groups: int

    def sets(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Return (n, classes): which classes are in the set of each image.

        A set is empty if no class is probable enough: the image resembles none.
        """
        table = validation.check_probabilities(probabilities)
        inside: NDArray[np.bool_] = 1 - table <= self.threshold + 1e-12
        return inside


def fit_prediction_sets(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    *,
    coverage: float = 0.90,
) -> PredictionSets:
    """Fit conformal sets on held-out predictions, with whole groups exchangeable.

    Every group weighs the same, and the new group's share of the mass lies at infinity.

    Parameters
    ----------
    labels
        (n,) class numbers from 0.
    probabilities
        (n, classes) held-out probabilities.
    groups
        (n,) group of each image.
    coverage
        Probability to promise.

    Raises
    ------
    InvalidInput
        There are fewer groups than the coverage needs: 9 for 0.90, 19 for 0.95.

    Notes
    -----
    Dunn, Wasserman and Ramdas (2023), J. Am. Stat. Assoc. 118, 2491-2502; arXiv 1809.07441. Lee,
    Barber and Willett, arXiv 2306.06342.
    """
    validation.check_confidence(coverage)
    label, table, _ = validation.class_probabilities(labels, probabilities, None)
    index = validation.group_index(groups, len(label), "labels")
    sizes = resampling.group_sums(index)
    count = len(sizes)
    needed = ceil(1 / (1 - coverage) - 1 - 1e-9)
    if count < needed:
        raise InvalidInput(
            f"{count} groups for prediction sets of {coverage:.0%}",
            f"Sets need {needed} groups or more.",
        )
    score = 1 - table[np.arange(len(label)), label]
    weight = 1 / ((count + 1) * sizes[index])
    order = np.argsort(score, kind="stable")
    reached = np.cumsum(weight[order])
    first = min(int(np.searchsorted(reached, coverage - 1e-12)), len(order) - 1)
    return PredictionSets(coverage, float(score[order][first]), count)


@dataclass(frozen=True)
class AbstentionRule:
    """Answer only images whose predicted class is probable enough.

    Attributes
    ----------
    accuracy : float
        Accuracy promised for the images that are answered.
    threshold : float
        Smallest probability of the predicted class that is answered; above 1: none is.
    answered : float
        Fraction of the fitted images that are answered.
    groups : int
        Groups on which it was fitted.
    """

    accuracy: float
    threshold: float
    answered: float
    groups: int

    def answers(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """Return (n,): which images are answered."""
        table = validation.check_probabilities(probabilities)
        confident: NDArray[np.bool_] = table.max(axis=1) >= self.threshold
        return confident


def fit_abstention(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    *,
    accuracy: float = 0.90,
    confidence: float = 0.90,
    cross_validated: bool = False,
) -> AbstentionRule:
    """Find the lowest probability above which answers are accurate enough.

    Thresholds are tried from the most confident fifth of the images down, until the lower limit of
    the accuracy over groups (`accuracy_interval`) falls below the promise; the last one that held
    is taken. Such a fixed sequence needs no correction for the number of thresholds.

    Parameters
    ----------
    labels, probabilities, groups
        Held-out predictions, as for `fit_prediction_sets`.
    accuracy
        Accuracy to promise for the images that are answered.
    confidence
        One-sided level of the limit: the promise is broken in at most 1 - confidence of fits.
    cross_validated
        Whether predictions are pooled over folds: the limit is then widened, because predictions
        of one fold share a network.

    Raises
    ------
    InvalidInput
        There are fewer than 10 groups.

    Notes
    -----
    Fixed-sequence testing of a risk: Angelopoulos, Bates, Candès, Jordan and Lei (2025), Ann.
    Appl. Stat. 19, 1641-1662; arXiv 2110.01052.
    """
    validation.check_confidence(accuracy)
    validation.check_confidence(confidence)
    label, table, _ = validation.class_probabilities(labels, probabilities, None)
    index = validation.group_index(groups, len(label), "labels")
    count = int(index.max()) + 1
    if count < FEWEST_FOR_ABSTENTION:
        raise InvalidInput(
            f"{count} groups for abstention", f"It needs {FEWEST_FOR_ABSTENTION} groups or more."
        )
    claimed, right = table.max(axis=1), table.argmax(axis=1) == label
    rule = AbstentionRule(accuracy, 2.0, 0.0, count)
    interval_of = cross_validated_accuracy if cross_validated else accuracy_interval
    for threshold in np.unique(np.quantile(claimed, 1 - _FRACTIONS))[::-1]:
        kept = claimed >= threshold
        # The two-sided level whose lower limit has the one-sided confidence.
        limit = interval_of(right[kept], index[kept], 2 * confidence - 1)
        if len(np.unique(index[kept])) < FEWEST_FOR_ABSTENTION or limit.low < accuracy:
            if rule.answered > 0:
                break
            continue
        rule = AbstentionRule(accuracy, float(threshold), float(kept.mean()), count)
    return rule


@dataclass(frozen=True, eq=False)
class UnlikeGroups:
    """Flag groups that lie farther from the training data than held-out groups do.

    Attributes
    ----------
    distances : numpy.ndarray
        (groups,) median distance of each held-out group, sorted.
    level : float
        Fraction of groups of the same kind that are flagged by chance, at most.
    """

    distances: Floats
    level: float

    def p_value(self, distances: ArrayLike) -> float:
        """Return the rank p of a new group, from the distances of its images."""
        values = validation.check_column(distances, "distances").astype(np.float64)
        farther = int((self.distances >= np.median(values)).sum())
        return (1 + farther) / (len(self.distances) + 1)

    def is_unlike(self, distances: ArrayLike) -> bool:
        """Return whether a new group is unlike the training data."""
        return self.p_value(distances) <= self.level


def fit_unlike_groups(
    distances: ArrayLike, groups: ArrayLike, *, level: float = 0.05
) -> UnlikeGroups:
    """Fit the flag on distances of held-out groups from the training data.

    Parameters
    ----------
    distances
        (n,) distance of each held-out image from the training images (in features, say).
    groups
        (n,) group of each image.
    level
        False flags to allow.

    Raises
    ------
    InvalidInput
        There are fewer groups than the level needs: 19 for 0.05.
    """
    validation.check_confidence(level)
    values = validation.check_column(distances, "distances").astype(np.float64)
    index = validation.group_index(groups, len(values), "distances")
    count = int(index.max()) + 1
    needed = ceil(1 / level - 1 - 1e-9)
    if count < needed:
        raise InvalidInput(
            f"{count} groups to flag unlike ones", f"The flag needs {needed} groups or more."
        )
    medians = np.array([np.median(values[index == g]) for g in range(count)])
    return UnlikeGroups(np.sort(medians), level)
