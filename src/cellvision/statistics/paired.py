"""Two classifiers, or a network and an expert, on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.statistics import checks, resampling
from cellvision.statistics.intervals import RESAMPLES, Interval

_FEWEST_DISCORDANT = 5  # groups in which the two must differ for a bootstrap


@dataclass(frozen=True)
class McNemar:
    """Who was right where, and McNemar's exact p.

    Attributes
    ----------
    both, only_a, only_b, neither : int
        Images that both, only one, or none of the two classified rightly.
    p : float
        Two-sided exact p of "a and b are equally often right"; 1 where they never differ.
    n : int
        Images.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    p: float
    n: int


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """McNemar's exact test for two classifiers on the same independent images.

    Only images where exactly one of the two is right count; under the null each of them is a
    fair coin. Images of one group are *not* independent coins: then p is too small, and
    `paired_difference` with ``groups`` is the answer to trust.

    Parameters
    ----------
    correct_a, correct_b
        (n,) booleans, or 0 and 1, image by image in the same order.

    Raises
    ------
    InvalidInput
        No image, lengths that differ, or values other than right and wrong.

    Notes
    -----
    Q. McNemar (1947), Psychometrika 12, 153-157; exact: the binomial test of the discordant
    images with p = 1/2.

    Examples
    --------
    >>> test = mcnemar([1] * 10 + [0] * 2, [0] * 9 + [1] * 3)
    >>> test.only_a, test.only_b, round(test.p, 4)
    (9, 2, 0.0654)
    """
    a = checks.correct_column(correct_a, "correct_a").astype(bool)
    b = checks.correct_column(correct_b, "correct_b").astype(bool)
    checks.same_length(correct_a=a, correct_b=b)
    from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar

    table = np.array(
        [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]], dtype=int
    )
    only_a, only_b = int(table[0, 1]), int(table[1, 0])
    p = float(exact_mcnemar(table, exact=True).pvalue) if only_a + only_b else 1.0
    return McNemar(int(table[0, 0]), only_a, only_b, int(table[1, 1]), min(p, 1.0), len(a))


def paired_difference(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The difference of two accuracies on the same images, a minus b, with its interval.

    Parameters
    ----------
    correct_a, correct_b
        (n,) booleans, or 0 and 1, image by image in the same order.
    groups
        (n,) the unit each image came from; None where images are independent.
    confidence, seed
        Level, and seed of the bootstrap.

    Returns
    -------
    Interval
        In [-1, 1]. Bonett-Price where every image is its own group; BCa bootstrap over groups
        where there are 15 effective groups or more and the two differ in at least 5;
        otherwise Bonett-Price for the effective sample size, with a warning. An interval that
        spans zero means: cannot tell.

    Raises
    ------
    InvalidInput
        No image, lengths that differ, or values other than right and wrong.

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
    a = checks.correct_column(correct_a, "correct_a")
    b = checks.correct_column(correct_b, "correct_b")
    return share_difference(a, b, groups, confidence, seed)


def share_difference(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    groups: ArrayLike | None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The same from the shares of runs, 0 to 1, that got each image right.

    Not public: `paired_difference` and the verdict share it.
    """
    checks.confidence_level(confidence)
    checks.same_length(correct_a=a, correct_b=b)
    index = checks.group_index(groups, len(a), "correct_a")
    n, count = len(a), int(index.max()) + 1
    sizes, totals = resampling.group_sums(index), resampling.group_sums(index, a - b)
    estimate = float(totals.sum() / n)
    only_a, only_b = (float(np.mean(np.clip(d, 0, None))) for d in (a - b, b - a))
    discordant = int(np.count_nonzero(np.bincount(index, weights=(a != b).astype(float))))
    warning: str | None = None
    if count == n:
        images, method = float(n), "Bonett-Price"
    else:
        effective = resampling.effective_groups(sizes)
        if effective < resampling.ENOUGH_GROUPS:
            warning = (
                f"only {count} groups, worth {effective:.1f} equal ones: "
                "too few for a bootstrap over groups"
            )
        elif discordant < _FEWEST_DISCORDANT:
            warning = (
                f"the two differ in only {discordant} of {count} groups: "
                "too few for a bootstrap over groups"
            )
        else:
            replicates = resampling.resampled_ratio(totals, sizes, RESAMPLES, seed)
            left_out = resampling.jackknife_ratio(totals, sizes)
            low, high = resampling.bca(estimate, replicates, left_out, sizes, confidence)
            return Interval(estimate, low, high, "paired bootstrap over groups (BCa)", n, count)
        variance = only_a + only_b - estimate**2
        images = resampling.effective_images(variance, totals, sizes, confidence)
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
