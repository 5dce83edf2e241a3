"""Compare two classifiers, or a network and an expert, on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.plurals import counted
from cellvision.statistics import resampling, validation
from cellvision.statistics.accuracy import beta_binomial_posterior
from cellvision.statistics.bootstrap import RESAMPLES
from cellvision.statistics.intervals import Interval

_FEWEST_DISCORDANT = 5  # groups in which the two must differ for a bootstrap


@dataclass(frozen=True)
class McNemar:
    """Counts of images that both, one or neither classified correctly, and McNemar's exact p.

    Attributes
    ----------
    both, only_a, only_b, neither : int
        Number of images classified correctly by both, by one only, or by neither.
    p : float
        Two-sided exact p of "a and b are equally often right"; 1 if they never differ.
    n : int
        Number of images.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    p: float
    n: int


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Run McNemar's exact test for two classifiers on the same independent images.

    Only images that exactly one of the two classifies correctly count; under the null each is a
    fair coin toss. Images of one group are not independent: then p is too small; use the interval
    of `paired_difference` with ``groups``.

    Parameters
    ----------
    correct_a, correct_b
        (n,) booleans, or 0 and 1, for the same images in the same order.

    Raises
    ------
    InvalidInput
        There is no image, lengths differ, or values are not right or wrong.

    Notes
    -----
    Q. McNemar (1947), Psychometrika 12, 153-157; exact: binomial test of the discordant images
    with p = 1/2.

    Examples
    --------
    >>> test = mcnemar([1] * 10 + [0] * 2, [0] * 9 + [1] * 3)
    >>> test.only_a, test.only_b, round(test.p, 4)
    (9, 2, 0.0654)
    """
    a = validation.check_binary(correct_a, "correct_a")
    b = validation.check_binary(correct_b, "correct_b")
    validation.check_same_length(correct_a=a, correct_b=b)
    from scipy.stats import binomtest

    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(~a & b))
    p = float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return McNemar(int(np.sum(a & b)), only_a, only_b, int(np.sum(~a & ~b)), p, len(a))


def paired_difference(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    *,
    weights: ArrayLike | None = None,
) -> Interval:
    """Compute the difference of two accuracies on the same images, a minus b, with its interval.

    Parameters
    ----------
    correct_a, correct_b
        (n,) booleans, or the fraction of runs (0 to 1) that are right, for the same images in the
        same order.
    groups
        (n,) the group of each image; None if images are independent.
    confidence, seed
        Level, and seed of the bootstrap.
    weights
        (n,) positive weights of the images, for a difference of balanced accuracies
        (`balanced_weights`); None for equal weights.

    Returns
    -------
    Interval
        In [-1, 1]. Bonett-Price if every image is its own group; BCa bootstrap over groups if
        there are at least 15 effective groups and the two differ in at least 5; otherwise
        Bonett-Price for the effective sample size, with a warning. If the two differ in fewer
        than 5 groups, that size is at most what the posterior mean of the correlation within
        groups suggests (beta-binomial model of the images on which they differ).

    Raises
    ------
    InvalidInput
        There is no image, lengths differ, or values lie outside 0 to 1.

    Notes
    -----
    Bonett and Price (2012), J. Educ. Behav. Stat. 37, 479-488: add one to each of the two
    discordant counts.

    Examples
    --------
    >>> a, b = [1] * 90 + [0] * 10, [1] * 70 + [0] * 30
    >>> interval = paired_difference(a, b)
    >>> round(interval.estimate, 2), interval.low > 0
    (0.2, True)
    """
    validation.check_confidence(confidence)
    a = validation.check_fractions(correct_a, "correct_a")
    b = validation.check_fractions(correct_b, "correct_b")
    validation.check_same_length(correct_a=a, correct_b=b)
    weight = _normalised(weights, len(a))
    index = validation.group_index(groups, len(a), "correct_a")
    n, count = len(a), int(index.max()) + 1
    difference = (a - b) * weight
    sizes = resampling.group_sums(index, weight)
    totals = resampling.group_sums(index, difference)
    estimate = float(totals.sum() / n)
    warning = None if count == n else _few_discordant(index, a != b, sizes)
    if count < n and warning is None:
        replicates = resampling.resampled_ratio(totals, sizes, RESAMPLES, seed)
        left_out = resampling.jackknife_ratio(totals, sizes)
        low, high = resampling.bca(estimate, replicates, left_out, sizes, confidence)
        return Interval(estimate, low, high, "paired bootstrap over groups (BCa)", n, count)
    only_a, only_b = (float(np.mean(np.clip(d, 0, None))) for d in (difference, -difference))
    images, method = float(n), "Bonett-Price"
    if count < n:
        variance = only_a + only_b - estimate**2
        measured = resampling.effective_images(variance, totals, sizes, confidence)
        images = _effective_images(index, a != b, sizes, measured)
        method = "Bonett-Price, effective sample size"
    first = (images * only_a + 1) / (images + 2)
    second = (images * only_b + 1) / (images + 2)
    half = resampling.normal_critical(confidence) * np.sqrt(
        (first + second - (first - second) ** 2) / (images + 2)
    )
    low, high = first - second - half, first - second + half
    return Interval(
        estimate,
        float(max(min(low, estimate), -1.0)),
        float(min(max(high, estimate), 1.0)),
        method,
        n,
        None if groups is None else count,
        warning,
    )


def balanced_weights(labels: ArrayLike) -> NDArray[np.float64]:
    """Return image weights with which an accuracy becomes a balanced accuracy; their mean is 1."""
    classes, label = validation.encode(validation.check_column(labels, "labels"))
    images = np.bincount(label)
    weights: NDArray[np.float64] = len(label) / (len(classes) * images[label])
    return weights


def _normalised(weights: ArrayLike | None, n: int) -> NDArray[np.float64]:
    if weights is None:
        return np.ones(n)
    weight = validation.check_column(weights, "weights").astype(np.float64)
    validation.check_same_length(correct_a=np.empty(n), weights=weight)
    if not ((weight > 0) & np.isfinite(weight)).all():
        raise InvalidInput("weights are not all positive", "Give one positive number per image.")
    return np.asarray(weight / weight.mean())


def _effective_images(
    index: NDArray[np.intp],
    differ: NDArray[np.bool_],
    sizes: NDArray[np.float64],
    measured: float,
) -> float:
    """Correct the measured effective number of images if the two differ in few groups.

    A few groups say little about clustering. One image that differs does not prove that images of a
    group are independent, and answers that never differ do not prove that whole groups differ.
    """
    discordant = resampling.group_sums(index, differ.astype(np.float64))
    if len(sizes) == 1 or np.count_nonzero(discordant) >= _FEWEST_DISCORDANT:
        return measured
    correlation = beta_binomial_posterior(discordant, resampling.group_sums(index)).correlation
    images, fewest = float(sizes.sum()), resampling.effective_groups(sizes)
    likely = images / (1 + (images / fewest - 1) * correlation)
    return min(likely, measured) if discordant.any() else likely


def _few_discordant(
    index: NDArray[np.intp], differ: NDArray[np.bool_], sizes: NDArray[np.float64]
) -> str | None:
    """Return why a bootstrap of the difference cannot be trusted; None if it can."""
    effective = resampling.effective_groups(sizes)
    if effective < resampling.ENOUGH_GROUPS:
        return (
            f"only {counted(len(sizes), 'group')}, worth {effective:.1f} of equal size: "
            "too few for a bootstrap over groups"
        )
    discordant = int(np.count_nonzero(np.bincount(index, weights=differ.astype(float))))
    if discordant < _FEWEST_DISCORDANT:
        return (
            f"the two differ in only {discordant} of {len(sizes)} groups: "
            "too few for a bootstrap over groups"
        )
    return None
