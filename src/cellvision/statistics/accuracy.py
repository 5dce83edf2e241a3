"""Confidence intervals of accuracy and balanced accuracy, for images that come in groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.plurals import counted
from cellvision.statistics import resampling, validation
from cellvision.statistics.intervals import Interval, wilson_interval

Floats = NDArray[np.float64]

CROSS_VALIDATION_FACTOR = 1.3
"""How much the interval of pooled out-of-fold predictions is widened about its estimate."""

FEWEST_GROUPS_OF_A_CLASS = 3
"""Groups of a class below which an interval over all groups warns."""

_FIRST, _FINE = (48, 16), (100, 20)  # points of the integration, means by correlations
_ENOUGH_POINTS = 30  # means with a weight that matters
_CLUSTERED = (0.5, 0.8)  # intraclass correlations between which the limits slide to Wilson's
_NEGLIGIBLE = 1e-7  # share of the largest weight below which a point is left out


def accuracy_interval(
    correct: ArrayLike, groups: ArrayLike | None = None, confidence: float = 0.95
) -> Interval:
    """Compute the interval of an accuracy, for independent images or images in groups.

    The posterior of a beta-binomial model over groups: mean accuracy ~ Beta(1/2, 1/2),
    intraclass correlation ~ uniform. Where the correlation is high, so that a group is all right
    or all wrong, the limits slide to Wilson's interval of as many images as there are groups.

    Parameters
    ----------
    correct
        (n,) booleans, or the fraction of runs (0 to 1) that classify each image correctly.
    groups
        (n,) the group (well, donor) of each image, of any type; None if images are independent.
    confidence
        Level, between 0 and 1.

    Returns
    -------
    Interval
        Wilson's interval if every image is its own group.

    Raises
    ------
    InvalidInput
        There is no image, lengths differ, or values lie outside 0 to 1.

    Notes
    -----
    Measured coverage: the documentation page "Statistics".

    Examples
    --------
    >>> interval = accuracy_interval([True] * 60 + [False] * 20, ["a", "b", "c", "d"] * 20)
    >>> interval.groups, interval.low < 0.75 < interval.high
    (4, True)
    >>> interval.method
    'beta-binomial over groups'
    """
    validation.check_confidence(confidence)
    values = validation.check_fractions(correct)
    n = len(values)
    index = validation.group_index(groups, n, "correct")
    count = int(index.max()) + 1
    if count == n:
        plain = wilson_interval(values.sum(), n, confidence)
        return Interval(
            plain.estimate, plain.low, plain.high, "Wilson", n, None if groups is None else n
        )
    sizes, right = resampling.group_sums(index), resampling.group_sums(index, values)
    right = np.clip(right, 0, sizes)  # sums of fractions can exceed their bounds by rounding
    estimate = float(right.sum() / n)
    posterior = beta_binomial_posterior(right, sizes)
    tail = (1 - confidence) / 2
    low, high = posterior.quantile(tail), posterior.quantile(1 - tail)
    start, end = _CLUSTERED
    slide = float(np.clip((posterior.correlation - start) / (end - start), 0, 1))
    whole = wilson_interval(estimate * count, count, confidence)
    over_groups = float((right / sizes).mean())
    is_unequal = low <= over_groups <= high and not low <= estimate <= high
    return Interval(
        estimate,
        max(min(low, low + (whole.low - low) * slide, estimate), 0.0),
        min(max(high, high + (whole.high - high) * slide, estimate), 1.0),
        "beta-binomial over groups",
        n,
        count,
        _few_groups(count) or (_UNEQUAL if is_unequal else None),
    )


_UNEQUAL = (
    "large groups are right at another rate than small ones, and the interval is of the mean over "
    "groups: it says little about the accuracy over images"
)


def _few_groups(count: int) -> str | None:
    if count == 1:
        return "all images belong to one group: they say almost nothing about other groups"
    if count < 4:
        return f"only {count} groups"
    return None


def cross_validated_accuracy(
    correct: ArrayLike,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    factor: float = CROSS_VALIDATION_FACTOR,
) -> Interval:
    """Compute the interval of an accuracy from pooled out-of-fold predictions.

    Folds share training images, so errors in different folds are correlated, and the interval of
    one test set is too narrow. This one is widened about its estimate.

    Parameters
    ----------
    correct, groups, confidence
        As for `accuracy_interval`, each image once, predicted by the fold that left it out.
    factor
        How much to widen. The default was chosen by simulation ("Statistics").

    Notes
    -----
    Bates, Hastie and Tibshirani (2024), J. Am. Stat. Assoc. 119, 1434-1445; arXiv 2104.00673.
    """
    if factor < 1:
        raise InvalidInput(f"factor is {factor}", "Give 1 or more.")
    interval = accuracy_interval(correct, groups, confidence)
    return interval.widened(factor, reason="cross-validation")


def balanced_accuracy_interval(
    labels: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Compute the interval of a balanced accuracy, the mean recall of the classes.

    The interval of each recall (`accuracy_interval`) is combined with those of the other classes
    by the square-and-add rule. If a group holds several classes their recalls may be correlated;
    then neither side is narrower than that of the plain accuracy.

    Parameters
    ----------
    labels
        (n,) true classes.
    predictions
        (n,) predicted classes, or (runs, n): the mean over runs.
    groups
        (n,) the group of each image; None if images are independent.
    confidence
        Level, between 0 and 1.

    Raises
    ------
    InvalidInput
        There is no image, or lengths differ.

    Notes
    -----
    Square-and-add ("MOVER"): Zou and Donner (2008), Stat. Med. 27, 1693-1702.

    Examples
    --------
    >>> interval = balanced_accuracy_interval(["a"] * 9 + ["b"], ["a"] * 10)
    >>> interval.estimate
    0.5
    """
    truth = validation.check_column(labels, "labels")
    answers = validation.check_runs(predictions, "predictions")
    validation.check_same_length(labels=truth, predictions=answers[0])
    correct = (answers == truth).mean(axis=0)
    index = validation.group_index(groups, len(truth), "labels")
    classes, label = validation.encode(truth)
    recalls = [
        accuracy_interval(
            correct[label == c], None if groups is None else index[label == c], confidence
        )
        for c in range(len(classes))
    ]
    estimate = float(np.mean([recall.estimate for recall in recalls]))
    lower = float(np.sqrt(sum((r.estimate - r.low) ** 2 for r in recalls)) / len(classes))
    upper = float(np.sqrt(sum((r.high - r.estimate) ** 2 for r in recalls)) / len(classes))
    pairs = len(np.unique(index * len(classes) + label))
    count = int(index.max()) + 1
    if pairs > count:  # some group holds several classes
        plain = accuracy_interval(correct, groups, confidence)
        lower = max(lower, plain.estimate - plain.low)
        upper = max(upper, plain.high - plain.estimate)
    fewest = min(r.groups or r.n for r in recalls)
    return Interval(
        estimate,
        max(estimate - lower, 0.0),
        min(estimate + upper, 1.0),
        f"{recalls[0].method}, classes combined by square-and-add",
        len(truth),
        None if groups is None else count,
        f"a class has only {counted(fewest, 'group')}"
        if fewest < FEWEST_GROUPS_OF_A_CLASS
        else None,
    )


@dataclass(frozen=True, eq=False)
class BetaBinomialPosterior:
    """Posterior of the mean accuracy of groups.

    Attributes
    ----------
    means, weights : numpy.ndarray
        (points,) increasing accuracies, and the probability of each.
    correlation : float
        Posterior mean of the intraclass correlation.
    """

    means: Floats
    weights: Floats
    correlation: float

    def quantile(self, probability: float) -> float:
        """Return the accuracy below which this share of the posterior lies."""
        cumulative = np.cumsum(self.weights) - self.weights / 2
        return float(np.interp(probability, cumulative, self.means))


def beta_binomial_posterior(right: Floats, images: Floats) -> BetaBinomialPosterior:
    """Integrate a beta-binomial model over mean accuracy and intraclass correlation.

    Parameters
    ----------
    right, images
        (groups,) images classified correctly, fractions allowed, and images in all.

    Returns
    -------
    BetaBinomialPosterior
        With means ~ Beta(1/2, 1/2) and correlation ~ uniform a priori.
    """
    # In these angles, mean = sin^2 has the prior Beta(1/2, 1/2) where the angle is uniform, and
    # points of the correlation lie closer together towards 0 and 1. Passes zoom in on the region
    # that matters, so that the resolution does not depend on the number of images.
    mean_range = correlation_range = (0.0, np.pi / 2)
    for points in (_FIRST, _FINE, _FINE, _FINE):
        mean_angles = _midpoints(mean_range, points[0])
        correlation_angles = _midpoints(correlation_range, points[1])
        log_weight = _log_likelihood(right, images, mean_angles, correlation_angles)
        log_weight += np.log(np.sin(2 * correlation_angles))
        weight = np.exp(log_weight - log_weight.max())
        by_mean, by_correlation = weight.max(axis=1), weight.max(axis=0)
        if points == _FINE and (by_mean > _NEGLIGIBLE).sum() >= _ENOUGH_POINTS:
            break
        mean_range = _support(by_mean, mean_angles, mean_range)
        correlation_range = _support(by_correlation, correlation_angles, correlation_range)
    weight /= weight.sum()
    correlation = float((weight * np.sin(correlation_angles) ** 2).sum())
    return BetaBinomialPosterior(np.sin(mean_angles) ** 2, weight.sum(axis=1), correlation)


def correlation_about_means(right: Floats, images: Floats, means: Floats) -> float:
    """Return the posterior mean of the intraclass correlation of groups whose means are known.

    Parameters
    ----------
    right, images, means
        (groups,) images classified correctly, images in all, and the mean accuracy of such groups.
        Groups of a mean of 0 or 1 say nothing.
    """
    angles = _midpoints((0.0, np.pi / 2), 200)
    log_weight = np.log(np.sin(2 * angles))
    for mean in np.unique(means[(means > 0) & (means < 1)]):
        groups = means == mean
        mean_angle = np.arcsin(np.sqrt([mean]))
        log_weight += _log_likelihood(right[groups], images[groups], mean_angle, angles)[0]
    weight = np.exp(log_weight - log_weight.max())
    return float((weight * np.sin(angles) ** 2).sum() / weight.sum())


def _midpoints(limits: tuple[float, float], points: int) -> Floats:
    low, high = limits
    return np.asarray(low + (high - low) * (np.arange(points) + 0.5) / points)


def _support(weight: Floats, points: Floats, limits: tuple[float, float]) -> tuple[float, float]:
    """Return the range of points with a weight that matters, and one step beyond."""
    inside = np.flatnonzero(weight > _NEGLIGIBLE * weight.max())
    step = points[1] - points[0]
    return (
        float(max(points[inside[0]] - 1.5 * step, limits[0])),
        float(min(points[inside[-1]] + 1.5 * step, limits[1])),
    )


def _log_likelihood(
    right: Floats, images: Floats, mean_angles: Floats, correlation_angles: Floats
) -> Floats:
    """Log likelihood of the groups, (means, correlations), up to a constant."""
    from scipy.special import gammaln

    total = 1 / np.sin(correlation_angles) ** 2 - 1
    alpha = np.outer(np.sin(mean_angles) ** 2, total)
    beta = np.outer(np.cos(mean_angles) ** 2, total)

    def rising(base: Floats, counts: Floats) -> Floats:
        """Sum of log rising factorials; equal counts are computed once."""
        values, times = np.unique(np.round(counts[counts > 0], 9), return_counts=True)
        result: Floats = -times.sum() * gammaln(base)
        for value, time in zip(values, times, strict=True):
            result += time * gammaln(base + value)
        return result

    return np.asarray(
        rising(alpha, right) + rising(beta, images - right) - rising(total, images)[None]
    )
