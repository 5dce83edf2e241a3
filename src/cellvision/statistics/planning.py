"""Planning: how many groups an interval or a test needs, and what more groups would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import resampling, validation
from cellvision.statistics.accuracy import (
    CROSS_VALIDATION_FACTOR,
    accuracy_interval,
    balanced_accuracy_interval,
)
from cellvision.statistics.permutation import permutation_test
from cellvision.statistics.pilot import Pilot

Floats = NDArray[np.float64]
Study = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
"""Labels, predictions and groups of a simulated study."""

FEWEST_GROUPS = 16
"""Test groups below which a learning curve is refused."""

FARTHEST = 4
"""A learning curve is extended to at most so many times the largest number of groups."""

_EXPONENTS = np.linspace(0.1, 2.0, 39)
_MANY_GROUPS = 2_000  # where the formula agrees with the interval to 1 %
_SIMULATED_GROUPS, _MOST_STUDIES = 1_000, 20  # for the half-width of an interval
_CANDIDATES = (3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96)


def groups_for_interval(pilot: Pilot, half_width: float, confidence: float = 0.95) -> int:
    """Return how many test groups give an accuracy to within `half_width`.

    The fewest whose `accuracy_interval` is so narrow if their accuracies are spread as the pilot
    says. That is about z² p (1 - p) (ICC + (1 - ICC) / images) / half_width², and more close to an
    accuracy of 0 or 1, where that vanishes, and with few groups.

    Examples
    --------
    >>> groups_for_interval(Pilot(accuracy=0.8, correlation=0.2, images=20), half_width=0.05)
    61
    >>> groups_for_interval(Pilot(accuracy=1.0, correlation=0.2, images=20), half_width=0.05)
    20
    """
    validation.check_confidence(confidence)
    if not 0 < half_width < 1:
        raise InvalidInput(f"half_width is {half_width}", "Give a number between 0 and 1.")
    design = pilot.correlation + (1 - pilot.correlation) / pilot.images
    variance = pilot.accuracy * (1 - pilot.accuracy) * design
    by_formula = ceil(resampling.normal_critical(confidence) ** 2 * variance / half_width**2)
    if by_formula > _MANY_GROUPS:
        return by_formula

    def is_enough(number: int) -> bool:
        return _expected_half_width(pilot, number, confidence) <= half_width

    low, high = 1, max(by_formula, 2)  # `low` is too few, `high` will be enough
    while not is_enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _expected_half_width(pilot: Pilot, number: int, confidence: float) -> float:
    """Return the mean half-width of the interval over simulated studies of a number of groups.

    Their groups are quantiles of one beta-binomial distribution, dealt to the studies at random:
    with independent draws, the mean would need many more studies.
    """
    images = max(1, round(pilot.images))
    studies = int(np.clip(_SIMULATED_GROUPS // number, 1, _MOST_STUDIES))
    quantiles = (np.arange(studies * number) + 0.5) / (studies * number)
    right = np.searchsorted(_cumulative_beta_binomial(pilot, images), quantiles) / images
    np.random.default_rng(0).shuffle(right)
    groups = np.repeat(np.arange(number), images)
    intervals = [
        accuracy_interval(np.repeat(part, images), groups, confidence)
        for part in np.split(right, studies)
    ]
    return float(np.mean([(interval.high - interval.low) / 2 for interval in intervals]))


def _cumulative_beta_binomial(pilot: Pilot, images: int) -> Floats:
    """Return the probability of at most 0, 1, ... `images` - 1 right images of a group."""
    from scipy.special import betaln, gammaln

    mean = np.clip(pilot.accuracy, 1e-9, 1 - 1e-9)
    total = 1 / np.clip(pilot.correlation, 1e-6, 1 - 1e-6) - 1
    right = np.arange(images + 1)
    log_p = betaln(right + mean * total, images - right + (1 - mean) * total)
    log_p -= gammaln(right + 1) + gammaln(images - right + 1)
    cumulative = np.cumsum(np.exp(log_p - log_p.max()))
    return np.asarray(cumulative[:-1] / cumulative[-1])


@dataclass(frozen=True)
class PowerEstimate:
    """Simulated probability that a study shows that a network learned.

    Comparisons with controls are not simulated: the verdict *learned* names those that stay open.

    Attributes
    ----------
    groups_per_class : int or None
        The fewest test groups of each class, of the numbers tried, with which p <= level has the
        power; None if none does.
    power : dict
        ``{groups per class: fraction of simulated studies with p <= level}``.
    simulations : int
        Studies simulated for each number.
    at_chance : bool
        Whether the pilot's balanced accuracy is not above chance: no number of groups shows a
        difference that is not there, and nothing is simulated.
    groups_per_class_cross_validated : int or None
        The same of all groups of a cross-validated study. *Learned* then needs p <= level and the
        lower limit of the widened interval of the balanced accuracy above chance.
    power_cross_validated : dict
        ``{groups per class: fraction of simulated studies that meet both}``, of the numbers with
        which p <= level has the power.
    """

    groups_per_class: int | None
    power: dict[int, float]
    simulations: int
    at_chance: bool = False
    groups_per_class_cross_validated: int | None = None
    power_cross_validated: dict[int, float] = field(default_factory=dict)


def groups_for_test(
    pilot: Pilot,
    classes: int | None = None,
    *,
    power: float = 0.8,
    level: float = 0.05,
    simulations: int = 200,
    seed: int = 0,
) -> PowerEstimate:
    """Simulate how many groups of each class the permutation test needs, and the word *learned*.

    On a test set, the word needs p <= level alone, if groups are of one class each and of similar
    size; in a cross-validated study, it also needs an interval above chance. Neither includes
    controls, several experiments, test sets or looks, or batches.

    The statistic is the balanced accuracy. Groups have accuracies from a beta distribution with
    the pilot's recall of their class, or its accuracy, and its correlation; wrong answers fall on
    the other classes alike.

    Parameters
    ----------
    pilot
        From a pilot study (`summarise_pilot`) or from guesses.
    classes
        Number of classes; None: that of the pilot's recalls, or 2.
    power, level
        Fraction of studies that shall have p <= level.
    simulations, seed
        Studies per number of groups, and their seed.

    Raises
    ------
    InvalidInput
        Fewer than two classes, another number of recalls, or a fraction outside 0 to 1.

    Examples
    --------
    >>> constant = Pilot(accuracy=0.9, correlation=0.9, images=20, recalls=(1.0, 0.0))
    >>> groups_for_test(constant).at_chance
    True
    """
    recalls = pilot.recalls or (pilot.accuracy,) * (2 if classes is None else classes)
    if len(recalls) < 2:
        raise InvalidInput(f"{len(recalls)} class", "A test needs two or more.")
    if classes not in (None, len(recalls)):
        raise InvalidInput(
            f"{classes} classes, and the pilot has recalls of {len(recalls)}",
            "Leave out the number of classes, or give an accuracy in place of the recalls.",
        )
    for name, value in (("power", power), ("level", level)):
        if not 0 < value < 1:
            raise InvalidInput(f"{name} is {value}", "Give a number between 0 and 1.")
    if np.mean(recalls) <= 1 / len(recalls) + 1e-9:
        return PowerEstimate(None, {}, 0, at_chance=True)
    rng = np.random.default_rng(seed)
    tested: dict[int, float] = {}
    folded: dict[int, float] = {}
    for number in _CANDIDATES:
        studies = [_simulated_study(pilot, recalls, number, rng) for _ in range(simulations)]
        significant = [study for study in studies if _p(study) <= level]
        tested[number] = len(significant) / simulations
        if tested[number] < power:  # too few already for p alone
            continue
        folded[number] = sum(map(_above_chance_in_folds, significant)) / simulations
        if folded[number] >= power:
            break
    return PowerEstimate(
        _fewest(tested, power),
        tested,
        simulations,
        groups_per_class_cross_validated=_fewest(folded, power),
        power_cross_validated=folded,
    )


def _fewest(reached: dict[int, float], power: float) -> int | None:
    return next((number for number, value in reached.items() if value >= power), None)


def _simulated_study(
    pilot: Pilot, recalls: Sequence[float], number: int, rng: np.random.Generator
) -> Study:
    """Return labels, answers and groups of one study."""
    images, classes = max(1, round(pilot.images)), len(recalls)
    label = np.repeat(np.arange(classes), number)
    group_accuracy = np.repeat(np.asarray(recalls, np.float64), number)
    within = pilot.correlation if pilot.within_classes is None else pilot.within_classes
    varies = (group_accuracy > 0) & (group_accuracy < 1)
    if 0 < within < 1:
        mean, total = group_accuracy[varies], 1 / within - 1
        group_accuracy[varies] = rng.beta(mean * total, (1 - mean) * total)
    elif within == 1:
        group_accuracy = (rng.random(len(label)) < group_accuracy).astype(float)
    labels = np.repeat(label, images)
    right = rng.random(len(labels)) < np.repeat(group_accuracy, images)
    wrong = (labels + rng.integers(1, classes, len(labels))) % classes
    groups = np.repeat(np.arange(len(label)), images)
    return labels, np.where(right, labels, wrong), groups


def _p(study: Study) -> float:
    return permutation_test(*study, permutations=499, seed=1).p


def _above_chance_in_folds(study: Study) -> bool:
    """Whether the interval of pooled folds is above chance, as *learned* requires there."""
    interval = balanced_accuracy_interval(*study).widened(CROSS_VALIDATION_FACTOR)
    return interval.low > 1 / len(np.unique(study[0]))


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
