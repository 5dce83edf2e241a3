"""Planning: how many groups an interval or a test needs, and what more groups would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import resampling, validation
from cellvision.statistics.accuracy import CROSS_VALIDATION_FACTOR, beta_binomial_posterior
from cellvision.statistics.permutation import permutation_test

Floats = NDArray[np.float64]

FEWEST_GROUPS = 16
"""Test groups below which a learning curve is refused."""

FARTHEST = 4
"""A learning curve is extended to at most so many times the largest number of groups."""

_EXPONENTS = np.linspace(0.1, 2.0, 39)
_CANDIDATES = (3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96)


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
    """

    accuracy: float
    correlation: float
    images: float

    def __post_init__(self) -> None:
        for name in ("accuracy", "correlation"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}", "Give a number, 0 to 1.")
        if not self.images >= 1:
            raise InvalidInput(f"images per group is {self.images}", "Give 1 or more.")


def summarise_pilot(correct: ArrayLike, groups: ArrayLike) -> Pilot:
    """Estimate accuracy, correlation and group size from held-out predictions.

    Parameters
    ----------
    correct
        (n,) booleans or fractions of runs that are right.
    groups
        (n,) group of each image.
    """
    values = validation.check_fractions(correct)
    index = validation.group_index(groups, len(values), "correct")
    sizes = resampling.group_sums(index)
    right = np.clip(resampling.group_sums(index, values), 0, sizes)
    posterior = beta_binomial_posterior(right, sizes)
    return Pilot(float(values.mean()), posterior.correlation, float(sizes.mean()))


def groups_for_interval(pilot: Pilot, half_width: float, confidence: float = 0.95) -> int:
    """Return how many test groups give an accuracy to within `half_width`.

    Groups = z² p (1 - p) (ICC + (1 - ICC) / images) / half_width², and close to an accuracy of 0
    or 1, where that vanishes, as many as Wilson's interval needs.

    Examples
    --------
    >>> groups_for_interval(Pilot(accuracy=0.8, correlation=0.2, images=20), half_width=0.05)
    60
    >>> groups_for_interval(Pilot(accuracy=1.0, correlation=0.2, images=20), half_width=0.05)
    9
    """
    validation.check_confidence(confidence)
    if not 0 < half_width < 1:
        raise InvalidInput(f"half_width is {half_width}", "Give a number between 0 and 1.")
    variance = pilot.accuracy * (1 - pilot.accuracy)
    design = pilot.correlation + (1 - pilot.correlation) / pilot.images
    z = resampling.normal_critical(confidence)
    images = max(z**2 * variance / half_width**2, _images_for_wilson(variance, half_width, z))
    return max(ceil(images * design), 2)


def _images_for_wilson(variance: float, half_width: float, z: float) -> float:
    """Return how many independent images give Wilson's interval a half-width."""
    if half_width >= 0.5:
        return 0.0
    # half_width² (1 + z² / n)² = z² variance / n + z⁴ / (4 n²), solved for 1 / n
    square = z**4 * (half_width**2 - 0.25)
    linear = z**2 * (2 * half_width**2 - variance)
    root: float = (-linear - (linear**2 - 4 * square * half_width**2) ** 0.5) / (2 * square)
    return 1 / root


@dataclass(frozen=True)
class PowerEstimate:
    """Simulated power of the permutation test.

    Attributes
    ----------
    groups_per_class : int or None
        The fewest of the numbers tried that reach the power; None if none does.
    power : dict
        ``{groups per class: fraction of simulated studies with p <= level}``.
    simulations : int
        Studies simulated for each number.
    """

    groups_per_class: int | None
    power: dict[int, float]
    simulations: int


def groups_for_test(
    pilot: Pilot,
    classes: int = 2,
    *,
    power: float = 0.8,
    level: float = 0.05,
    simulations: int = 200,
    seed: int = 0,
) -> PowerEstimate:
    """Simulate how many test groups of each class the permutation test needs.

    Groups have accuracies from a beta distribution with the pilot's mean and correlation; wrong
    answers fall on the other classes alike.

    Parameters
    ----------
    pilot
        From a pilot study (`summarise_pilot`) or from guesses.
    classes
        Number of classes.
    power, level
        Fraction of studies that shall have p <= level.
    simulations, seed
        Studies per number of groups, and their seed.

    Raises
    ------
    InvalidInput
        Fewer than two classes, or a fraction outside 0 to 1.
    """
    if classes < 2:
        raise InvalidInput(f"{classes} class", "Give two or more.")
    for name, value in (("power", power), ("level", level)):
        if not 0 < value < 1:
            raise InvalidInput(f"{name} is {value}", "Give a number between 0 and 1.")
    rng = np.random.default_rng(seed)
    reached: dict[int, float] = {}
    for number in _CANDIDATES:
        hits = sum(_simulated_p(pilot, classes, number, rng) <= level for _ in range(simulations))
        reached[number] = hits / simulations
        if reached[number] >= power:
            return PowerEstimate(number, reached, simulations)
    return PowerEstimate(None, reached, simulations)


def _simulated_p(pilot: Pilot, classes: int, number: int, rng: np.random.Generator) -> float:
    images = max(1, round(pilot.images))
    label = np.repeat(np.arange(classes), number)
    group_accuracy = np.full(len(label), pilot.accuracy)
    if 0 < pilot.correlation < 1 and 0 < pilot.accuracy < 1:
        total = 1 / pilot.correlation - 1
        group_accuracy = rng.beta(
            pilot.accuracy * total, (1 - pilot.accuracy) * total, size=len(label)
        )
    elif pilot.correlation == 1:
        group_accuracy = (rng.random(len(label)) < pilot.accuracy).astype(float)
    labels = np.repeat(label, images)
    right = rng.random(len(labels)) < np.repeat(group_accuracy, images)
    wrong = (labels + rng.integers(1, classes, len(labels))) % classes
    groups = np.repeat(np.arange(len(label)), images)
    return permutation_test(
        labels, np.where(right, labels, wrong), groups, permutations=499, seed=1
    ).p


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Accuracy against the number of training groups, a - b n^-c.

    Attributes
    ----------
    groups : numpy.ndarray
        (points,) numbers of training groups: those measured, and beyond.
    accuracy, low, high : numpy.ndarray
        (points,) fitted accuracy with 95 % limits, widened 1.3 times.
    measured : int
        How many of the points were measured.
    a, b, c : float
        The fit.
    """

    groups: Floats
    accuracy: Floats
    low: Floats
    high: Floats
    measured: int
    a: float
    b: float
    c: float


def learning_curve(
    sizes: Sequence[int],
    correct: ArrayLike,
    groups: ArrayLike,
    *,
    at: Sequence[int] | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> LearningCurve:
    """Fit a learning curve to networks trained on nested subsets of groups.

    It never gives a number of groups for a target accuracy: inverting so flat a curve turns a
    small error into a large one.

    Parameters
    ----------
    sizes
        Numbers of training groups, three different ones or more.
    correct
        (sizes, n) booleans or fractions of runs that are right, on the same test images.
    groups
        (n,) group of each test image; 16 or more.
    at
        Numbers of training groups at which to extend the curve, at most 4 times the largest
        measured; None: twice and 4 times.
    resamples, seed
        Bootstrap over test groups.

    Raises
    ------
    InvalidInput
        There are too few sizes or test groups, or `at` goes too far.

    Notes
    -----
    R. L. Figueroa et al. (2012), BMC Med. Inform. Decis. Mak. 12, 8.
    """
    x = np.asarray(sizes, dtype=np.float64)
    rows = np.stack([validation.check_fractions(row) for row in np.atleast_2d(correct)])
    if len(np.unique(x)) < 3 or len(rows) != len(x) or (x < 1).any():
        raise InvalidInput(
            f"{len(rows)} rows for {len(np.unique(x))} different sizes",
            "Give three sizes or more, and one row of answers for each.",
        )
    index = validation.group_index(groups, rows.shape[1], "correct")
    images = resampling.group_sums(index)
    if len(images) < FEWEST_GROUPS:
        raise InvalidInput(
            f"{len(images)} test groups", f"A learning curve needs {FEWEST_GROUPS} or more."
        )
    beyond = np.asarray([2 * x.max(), 4 * x.max()] if at is None else at, dtype=np.float64)
    if (beyond > FARTHEST * x.max()).any() or (beyond < 1).any():
        raise InvalidInput(
            f"the curve cannot be extended to {beyond.max():g} groups",
            f"Ask for at most {FARTHEST * x.max():g}, {FARTHEST} times the largest size.",
        )
    totals = np.stack([resampling.group_sums(index, row) for row in rows], axis=1)
    points = np.concatenate([x, beyond])
    a, b, c = _fit(x, (totals.sum(axis=0) / images.sum())[None])
    fitted = a - b * points**-c
    replicates = [
        _fit(x, weights @ totals / (weights @ images)[:, None])
        for weights in resampling.group_weights(len(images), resamples, seed, len(images))
    ]
    curves = np.concatenate([q[0] - q[1] * points ** -q[2] for q in replicates])
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    factor = CROSS_VALIDATION_FACTOR
    return LearningCurve(
        points,
        fitted[0],
        np.clip(fitted[0] - factor * np.maximum(fitted[0] - low, 0), 0, 1),
        np.clip(fitted[0] + factor * np.maximum(high - fitted[0], 0), 0, 1),
        len(x),
        *(float(q[0, 0]) for q in (a, b, c)),
    )


def _fit(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Fit a - b x^-c with a <= 1 and b >= 0 to each row of y; columns (rows, 1)."""
    best = np.full(len(y), np.inf)
    result = np.zeros((3, len(y)))
    for c in _EXPONENTS:
        z = x**-c
        centred = z - z.mean()
        b = np.maximum(-(y @ centred) / (centred**2).sum(), 0.0)
        a = y.mean(axis=1) + b * z.mean()
        over = a > 1  # on the boundary a = 1 the best slope is another one
        b = np.where(over, np.maximum(((1 - y) @ z) / (z**2).sum(), 0.0), b)
        a = np.where(over, 1.0, a)
        error = ((y - (a[:, None] - b[:, None] * z)) ** 2).sum(axis=1)
        better = error < best
        best = np.where(better, error, best)
        result = np.where(better, np.stack([a, b, np.full(len(y), c)]), result)
    a, b, c = (row[:, None] for row in result)
    return a, b, c
