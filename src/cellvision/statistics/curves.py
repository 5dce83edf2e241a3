"""ROC and precision-recall curves, one class against the rest, with bands over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.statistics import resampling, validation
from cellvision.statistics.accuracy import CROSS_VALIDATION_FACTOR, FEWEST_GROUPS_OF_A_CLASS
from cellvision.statistics.bootstrap import (
    check_resamples,
    jackknife_masks,
    resampled_interval,
)
from cellvision.statistics.intervals import Interval

GRID = 101

_FEWEST_GROUPS_FOR_ROC = 7
"""Groups of a class below which the bootstrap gives the area under its ROC curve too narrow an
interval ("Statistics" has the simulation). That of the average precision is wide enough."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Receiver operating characteristic of one class against the rest.

    Attributes
    ----------
    class_name : str
        The positive class.
    false_positive_rate, true_positive_rate, thresholds : numpy.ndarray
        The curve, as scikit-learn computes it; empty if the class, or the rest, has no image.
    auc : Interval
        Area under the curve; NaN within [0, 1] if the curve is empty.
    grid, band_low, band_high : numpy.ndarray
        (101,) false positive rates, and pointwise limits of the true positive rate at each.
    """

    class_name: str
    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats
    auc: Interval
    grid: Floats
    band_low: Floats
    band_high: Floats


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision against recall of one class against the rest.

    Attributes
    ----------
    class_name : str
        The positive class.
    precision, recall, thresholds : numpy.ndarray
        The curve, as scikit-learn computes it; empty if the class, or the rest, has no image.
    average_precision : Interval
        Area under the steps; NaN within [0, 1] if the curve is empty.
    prevalence : float
        Fraction of images of this class: the precision of guessing.
    grid, band_low, band_high : numpy.ndarray
        (101,) recalls, and pointwise limits of the precision at each.
    """

    class_name: str
    precision: Floats
    recall: Floats
    thresholds: Floats
    average_precision: Interval
    prevalence: float
    grid: Floats
    band_low: Floats
    band_high: Floats


def roc_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    cross_validated: bool = False,
) -> tuple[RocCurve, ...]:
    """Compute one ROC curve per class, with its area and a pointwise band over groups.

    Parameters
    ----------
    labels
        (n,) class numbers from 0, or names with ``class_names``.
    probabilities
        (n, classes) scores from 0 to 1, higher for a more probable class.
    groups
        (n,) the group of each image; None if images are independent.
    class_names
        Names in the order of the columns.
    confidence, resamples, seed
        Level, number of resamples of groups, and their seed.
    cross_validated
        Whether predictions are pooled over folds: intervals and bands are then widened.

    Raises
    ------
    InvalidInput
        There is no image, lengths differ, probabilities lie outside 0 to 1, or a label is
        unknown.

    Notes
    -----
    The band holds at each false positive rate separately, not for the whole curve at once, and
    is widened for few groups. Fawcett (2006), Pattern Recognit. Lett. 27, 861-874. For the
    interval of the area, see `group_bootstrap`.

    Examples
    --------
    >>> curves = roc_curve([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.2, 0.8]])
    >>> curves[1].auc.estimate
    0.75
    """
    from sklearn.metrics import auc
    from sklearn.metrics import roc_curve as points

    grid = np.linspace(0, 1, GRID)
    curves = []
    options = (confidence, resamples, seed)
    predictions = (labels, probabilities, groups, class_names)
    for one in _classes(*predictions, *options, cross_validated=cross_validated):
        if one.problem is not None:
            empty, nothing = np.array([]), one.undefined()
            curves.append(
                RocCurve(one.name, empty, empty, empty, nothing, grid, grid * 0, grid * 0 + 1)
            )
            continue
        false, true, thresholds = points(one.positive, one.scores)
        interval, low, high = one.interval(
            float(auc(false, true)), _roc, grid, _FEWEST_GROUPS_FOR_ROC
        )
        curves.append(RocCurve(one.name, false, true, thresholds, interval, grid, low, high))
    return tuple(curves)


def precision_recall_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    cross_validated: bool = False,
) -> tuple[PrecisionRecallCurve, ...]:
    """Compute one precision-recall curve per class, with average precision and a band.

    More informative than ROC for a rare class. Parameters, errors and band as in `roc_curve`.

    Notes
    -----
    Davis and Goadrich (2006), ICML, 233-240. Precision is not interpolated: scikit-learn's
    average precision is the sum over steps.

    Examples
    --------
    >>> scores = [[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.2, 0.8]]
    >>> curves = precision_recall_curve([0, 0, 1, 1], scores)
    >>> round(curves[1].average_precision.estimate, 3), curves[1].prevalence
    (0.833, 0.5)
    """
    from sklearn.metrics import average_precision_score
    from sklearn.metrics import precision_recall_curve as points

    grid = np.linspace(0, 1, GRID)
    curves = []
    options = (confidence, resamples, seed)
    predictions = (labels, probabilities, groups, class_names)
    for one in _classes(*predictions, *options, cross_validated=cross_validated):
        share = float(one.positive.mean())
        if one.problem is not None:
            empty, nothing = np.array([]), one.undefined()
            curves.append(
                PrecisionRecallCurve(
                    one.name, empty, empty, empty, nothing, share, grid, grid * 0, grid * 0 + 1
                )
            )
            continue
        precision, recall, thresholds = points(one.positive, one.scores)
        area = float(average_precision_score(one.positive, one.scores))
        interval, low, high = one.interval(area, _precision_recall, grid, FEWEST_GROUPS_OF_A_CLASS)
        curves.append(
            PrecisionRecallCurve(
                one.name, precision, recall, thresholds, interval, share, grid, low, high
            )
        )
    return tuple(curves)


def _roc(true: Floats, false: Floats, grid: Floats) -> tuple[Floats, Floats]:
    """Areas (m,) and true positive rates at the grid (m, grid) from cumulative counts (m, k)."""
    start = np.zeros((len(true), 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        hit = np.concatenate([start, true / true[:, -1:]], axis=1)
        alarm = np.concatenate([start, false / false[:, -1:]], axis=1)
    area = np.trapezoid(hit, alarm, axis=1)
    return area, np.stack([np.interp(grid, a, h) for a, h in zip(alarm, hit, strict=True)])


def _precision_recall(true: Floats, false: Floats, grid: Floats) -> tuple[Floats, Floats]:
    """The same for average precision and the precision at each recall."""
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = true / true[:, -1:]
        precision = np.where(true + false > 0, true / (true + false), 0.0)
    area = (np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1)
    at = [
        p[np.minimum(np.searchsorted(r, grid - 1e-12), len(r) - 1)]
        for r, p in zip(recall, precision, strict=True)
    ]
    return area, np.stack(at)


def _widened(curve: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Widen a band about a curve, which need not lie within it."""
    below = np.clip(curve - low, 0, None) * (CROSS_VALIDATION_FACTOR - 1)
    above = np.clip(high - curve, 0, None) * (CROSS_VALIDATION_FACTOR - 1)
    return np.clip(low - below, 0, 1), np.clip(high + above, 0, 1)


@dataclass(frozen=True, eq=False)
class _OneClass:
    """One class against the rest, with what resampling needs."""

    name: str
    positive: NDArray[np.bool_]
    scores: Floats
    index: NDArray[np.intp]
    grouped: bool
    confidence: float
    resamples: int
    seed: int
    cross_validated: bool

    @property
    def problem(self) -> str | None:
        if not self.positive.any():
            return f"no image of class {self.name}"
        if self.positive.all():
            return f"every image is of class {self.name}"
        return None

    def _few_groups(self, fewest: int) -> Floats | None:
        """Return the sizes of the groups with or without the class, if either are below `fewest`.

        Few groups of a rare class say little, however many others there are.
        """
        sides = [np.bincount(self.index[rows]) for rows in (self.positive, ~self.positive)]
        sizes = min((side[side > 0] for side in sides), key=len).astype(np.float64)
        return sizes if len(sizes) < fewest else None

    def undefined(self) -> Interval:
        count = int(self.index.max()) + 1 if self.grouped else None
        n = len(self.index)
        return Interval(float("nan"), 0.0, 1.0, "no interval", n, count, self.problem)

    def interval(
        self, estimate: float, shape: Any, grid: Floats, fewest: int
    ) -> tuple[Interval, Floats, Floats]:
        """Return the interval of the area, and the band on the grid.

        With fewer than `fewest` groups of the class, or of the rest, these decide the width.
        """
        sizes = np.bincount(self.index).astype(np.float64)
        count = len(sizes)
        few = self._few_groups(fewest)
        # One column per distinct score, best first; equal scores cannot be told apart.
        order = np.argsort(-self.scores, kind="stable")
        positive, index, scores = self.positive[order], self.index[order], self.scores[order]
        last = np.flatnonzero(np.append(np.diff(scores) != 0, True))

        def measure_weights(weights: Floats) -> tuple[Floats, Floats]:
            images = weights[:, index]
            true = np.cumsum(images * positive, axis=1)[:, last]
            false = np.cumsum(images * ~positive, axis=1)[:, last]
            area, at = shape(true, false, grid)
            usable = (true[:, -1] > 0) & (false[:, -1] > 0)
            return np.where(usable, area, np.nan), at[usable]

        parts = [
            measure_weights(weights)
            for weights in resampling.group_weights(count, self.resamples, self.seed, len(scores))
        ]
        replicates = np.concatenate([area for area, _ in parts])
        at_grid = np.concatenate([values for _, values in parts])
        left_out = [
            measure_weights(kept[None].astype(np.float64))[0] for kept in jackknife_masks(count)
        ]
        interval = resampled_interval(
            estimate,
            replicates,
            np.concatenate(left_out) if left_out else np.array([]),
            sizes,
            bounds=(0.0, 1.0),
            confidence=self.confidence,
            grouped=self.grouped,
            few=few,
        )
        if self.cross_validated:
            interval = interval.widened(CROSS_VALIDATION_FACTOR, reason="cross-validation")
        if len(at_grid) == 0 or count == 1 or (few is not None and len(few) == 1):
            return interval, grid * 0, grid * 0 + 1
        from scipy.special import ndtr

        tail = float(
            ndtr(-resampling.few_groups_critical(self.confidence, sizes if few is None else few))
        )
        low, high = np.quantile(at_grid, [tail, 1 - tail], axis=0)
        if self.cross_validated:
            (curve,) = measure_weights(np.ones((1, count)))[1]
            low, high = _widened(curve, low, high)
        return interval, low, high


def _classes(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike | None,
    class_names: Sequence[str] | None,
    confidence: float,
    resamples: int,
    seed: int,
    *,
    cross_validated: bool,
) -> list[_OneClass]:
    validation.check_confidence(confidence)
    check_resamples(resamples)
    label, table, names = validation.class_probabilities(labels, probabilities, class_names)
    index = validation.group_index(groups, len(label), "labels")
    return [
        _OneClass(
            name,
            label == number,
            table[:, number],
            index,
            groups is not None,
            confidence,
            resamples,
            seed,
            cross_validated,
        )
        for number, name in enumerate(names)
    ]
