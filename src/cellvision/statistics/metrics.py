"""Metrics of a classifier from its confusion matrix, each with an interval over groups.

Which to report (Maier-Hein, Reinke et al. 2024, Nat. Methods 21, 195-212, "Metrics Reloaded"):
balanced accuracy if classes are unequal and all matter equally; weighted kappa if classes are
ordered; expected cost if errors have known costs; MCC or macro-F1 to compare with work that
reports them. Both depend on how frequent the classes are, so compare only equal prevalences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import accuracy, resampling, validation
from cellvision.statistics.bootstrap import (
    RESAMPLES,
    check_resamples,
    jackknife_masks,
    resampled_interval,
)
from cellvision.statistics.intervals import Interval

Floats = NDArray[np.float64]
KappaWeights = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True, eq=False)
class ClassificationMetrics:
    """Metrics of one classifier on one test set.

    Attributes
    ----------
    accuracy, balanced_accuracy : Interval
        From 0 to 1 (`accuracy_interval`, `balanced_accuracy_interval`).
    mcc : Interval
        Matthews correlation coefficient, -1 to 1; 0 by chance.
    macro_f1 : Interval
        Mean F1 of the classes, 0 to 1.
    weighted_kappa : Interval or None
        Quadratically weighted kappa of ordered classes, -1 to 1; None if classes have no order.
    expected_cost : Interval or None
        Mean cost per image, in the unit of the costs; None without costs.
    """

    accuracy: Interval
    balanced_accuracy: Interval
    mcc: Interval
    macro_f1: Interval
    weighted_kappa: Interval | None
    expected_cost: Interval | None


def classification_metrics(
    labels: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    ordered_classes: Sequence[object] | None = None,
    costs: Mapping[tuple[object, object], float] | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ClassificationMetrics:
    """Compute the metrics that papers report, each with an interval over groups.

    Parameters
    ----------
    labels, predictions
        (n,) true and predicted classes.
    groups
        (n,) the group of each image; None if images are independent.
    ordered_classes
        The classes in their order, for weighted kappa; None if they have none.
    costs
        Cost of each error, ``{(true class, predicted class): cost}``; pairs left out cost
        nothing. None: no expected cost.
    confidence, resamples, seed
        Level, number of bootstrap resamples, and their seed.

    Raises
    ------
    InvalidInput
        There is no image, lengths differ, `ordered_classes` lacks a class, or `costs` names an
        unknown one.

    Examples
    --------
    >>> labels = ["G1", "S", "G2"] * 20
    >>> predictions = ["G1", "S", "S"] * 20
    >>> costs = {("G2", "S"): 3.0}
    >>> metrics = classification_metrics(labels, predictions, costs=costs)
    >>> round(metrics.mcc.estimate, 3), metrics.expected_cost.estimate
    (0.612, 1.0)
    """
    validation.check_confidence(confidence)
    check_resamples(resamples)
    truth = validation.check_column(labels, "labels")
    answer = validation.check_column(predictions, "predictions")
    validation.check_same_length(labels=truth, predictions=answer)
    label, predicted, classes = validation.encode_together(truth, answer, ("labels", "predictions"))
    tables = _GroupTables.build(label, predicted, len(classes), groups, (confidence, resamples))

    def interval(
        measure: Callable[[Floats], Floats], bounds: tuple[float, float] | None
    ) -> Interval:
        return tables.interval(measure, bounds, seed)

    kappa = cost = None
    if ordered_classes is not None:
        weights = _order_weights(classes, ordered_classes)
        kappa = interval(lambda tables: weighted_kappa(tables, weights), (-1.0, 1.0))
    if costs is not None:
        matrix = _cost_matrix(classes, costs)
        limits = (float(matrix.min()), float(matrix.max()))
        cost = interval(
            lambda tables: mean_cost(tables, matrix), limits if limits[0] < limits[1] else None
        )
    return ClassificationMetrics(
        accuracy.accuracy_interval(label == predicted, groups, confidence),
        accuracy.balanced_accuracy_interval(label, predicted, groups, confidence),
        interval(matthews_correlation, (-1.0, 1.0)),
        interval(macro_f1, (0.0, 1.0)),
        kappa,
        cost,
    )


def kappa_interval(
    a: ArrayLike,
    b: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    weights: KappaWeights = "none",
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Compute the interval of Cohen's kappa over groups.

    Parameters
    ----------
    a, b
        (n,) the two answers on each image.
    groups
        (n,) the group of each image; None if images are independent.
    weights
        Of disagreements: ``"none"``, or by the distance of the classes in sorted order.
    confidence, resamples, seed
        Level, number of bootstrap resamples, and their seed.

    Returns
    -------
    Interval
        In [-1, 1]; NaN if both always gave the same one answer.
    """
    validation.check_confidence(confidence)
    check_resamples(resamples)
    first, second = validation.check_column(a, "a"), validation.check_column(b, "b")
    validation.check_same_length(a=first, b=second)
    x, y, classes = validation.encode_together(first, second, ("a", "b"))
    tables = _GroupTables.build(x, y, max(len(classes), 2), groups, (confidence, resamples))
    rank = np.arange(max(len(classes), 2), dtype=np.float64)
    distance = np.abs(rank[:, None] - rank)
    matrix = {"none": (distance > 0) * 1.0, "linear": distance, "quadratic": distance**2}[weights]
    return tables.interval(lambda tables: weighted_kappa(tables, matrix), (-1.0, 1.0), seed)


def matthews_correlation(tables: Floats) -> Floats:
    """Matthews correlation of confusion matrices (..., classes, classes); rows are true classes."""
    n = tables.sum(axis=(-2, -1))
    true, predicted = tables.sum(axis=-1), tables.sum(axis=-2)
    right = np.trace(tables, axis1=-2, axis2=-1)
    above = right * n - (true * predicted).sum(axis=-1)
    spread = (n**2 - (true**2).sum(axis=-1)) * (n**2 - (predicted**2).sum(axis=-1))
    result: Floats = np.where(spread > 0, above / np.sqrt(np.where(spread > 0, spread, 1)), 0.0)
    return result


def macro_f1(tables: Floats) -> Floats:
    """Mean F1 of the classes that occur, of confusion matrices (..., classes, classes)."""
    right = np.diagonal(tables, axis1=-2, axis2=-1)
    both = tables.sum(axis=-1) + tables.sum(axis=-2)
    present = both > 0
    f1 = np.where(present, 2 * right / np.where(present, both, 1), 0.0)
    result: Floats = f1.sum(axis=-1) / present.sum(axis=-1)
    return result


def weighted_kappa(tables: Floats, weights: Floats) -> Floats:
    """Weighted kappa of confusion matrices; NaN where both always gave the same one answer."""
    n = tables.sum(axis=(-2, -1))
    true, predicted = tables.sum(axis=-1), tables.sum(axis=-2)
    observed = (tables * weights).sum(axis=(-2, -1))
    expected = np.einsum("...i,...j,ij->...", true, predicted, weights) / n
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.where(expected > 0, 1 - observed / expected, np.nan)
    return result


def mean_cost(tables: Floats, costs: Floats) -> Floats:
    """Mean cost per image of confusion matrices (..., classes, classes)."""
    result: Floats = (tables * costs).sum(axis=(-2, -1)) / tables.sum(axis=(-2, -1))
    return result


@dataclass(frozen=True, eq=False)
class _GroupTables:
    """Confusion matrices of groups; resampling groups is adding up their matrices."""

    tables: Floats  # (groups, classes * classes)
    sizes: Floats
    classes: int
    grouped: bool
    confidence: float
    resamples: int

    @classmethod
    def build(
        cls,
        label: NDArray[np.intp],
        predicted: NDArray[np.intp],
        classes: int,
        groups: ArrayLike | None,
        settings: tuple[float, int],
    ) -> _GroupTables:
        index = validation.group_index(groups, len(label), "labels")
        count, cells = int(index.max()) + 1, classes * classes
        cell = index * cells + label * classes + predicted
        tables = np.bincount(cell, minlength=count * cells).reshape(count, cells)
        sizes = resampling.group_sums(index)
        return cls(tables.astype(np.float64), sizes, classes, groups is not None, *settings)

    def interval(
        self,
        measure: Callable[[Floats], Floats],
        bounds: tuple[float, float] | None,
        seed: int,
    ) -> Interval:
        def of_weights(weights: Floats) -> Floats:
            shape = (len(weights), self.classes, self.classes)
            return measure((weights @ self.tables).reshape(shape))

        count = len(self.sizes)
        estimate = float(of_weights(np.ones((1, count)))[0])
        if not np.isfinite(estimate):
            return Interval(
                estimate,
                *(bounds or (-np.inf, np.inf)),
                "no interval",
                int(self.sizes.sum()),
                count if self.grouped else None,
                "undefined on these images",
            )
        replicates = [
            of_weights(weights)
            for weights in resampling.group_weights(
                count, self.resamples, seed, max(count, self.classes**2)
            )
        ]
        masks = jackknife_masks(count).astype(np.float64)
        return resampled_interval(
            estimate,
            np.concatenate(replicates),
            of_weights(masks) if len(masks) else np.array([]),
            self.sizes,
            bounds=bounds,
            confidence=self.confidence,
            grouped=self.grouped,
        )


def _order_weights(classes: NDArray[np.generic], ordered: Sequence[object]) -> Floats:
    ranks = {str(name): rank for rank, name in enumerate(ordered)}
    unknown = [str(name) for name in classes if str(name) not in ranks]
    if unknown or len(ranks) != len(ordered):
        problem = f"no place for {unknown[0]}" if unknown else "a class twice"
        raise InvalidInput(f"ordered_classes has {problem}", "List every class once, in order.")
    rank = np.array([ranks[str(name)] for name in classes], dtype=np.float64)
    return np.asarray((rank[:, None] - rank) ** 2)


def _cost_matrix(
    classes: NDArray[np.generic], costs: Mapping[tuple[object, object], float]
) -> Floats:
    number = {str(name): position for position, name in enumerate(classes)}
    matrix = np.zeros((len(number), len(number)))
    for (true, predicted), cost in costs.items():
        if not np.isfinite(cost):
            raise InvalidInput(f"the cost of ({true}, {predicted}) is {cost}", "Give a number.")
        if str(true) in number and str(predicted) in number:
            matrix[number[str(true)], number[str(predicted)]] = cost
    if not any(str(true) in number for true, _ in costs):
        raise InvalidInput(
            "costs names none of the classes", f"The classes are {', '.join(number)}."
        )
    return matrix
