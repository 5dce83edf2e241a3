"""The interval of one proportion, or of any statistic, from images in groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import checks, resampling

RESAMPLES = 2000
_FEWEST_MIXED = 5  # groups that must hold an error (and as many a success) for a bootstrap
_BLOCKS = 200  # more groups than this are left out together when a statistic is costly


@dataclass(frozen=True)
class Interval:
    """An estimate and how sure it is.

    Attributes
    ----------
    estimate, low, high : float
        The value in these images, and the limits.
    method : str
        How the limits were made, in words fit for a report.
    n : int
        Images.
    groups : int or None
        Independent units behind the images; None where every image counts as one.
    warning : str or None
        Why these limits deserve less trust than usual.
    """

    estimate: float
    low: float
    high: float
    method: str
    n: int
    groups: int | None = None
    warning: str | None = None


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion of independent images.

    Parameters
    ----------
    successes, n
        Images that were right, and images in all. Fractions are allowed (an effective sample
        size). With no image at all the interval is [0, 1].
    confidence
        Level, between 0 and 1.

    Raises
    ------
    InvalidInput
        Counts that are negative, not finite, or more successes than images.

    Notes
    -----
    E. B. Wilson (1927), J. Am. Stat. Assoc. 22, 209-212; recommended by Brown, Cai and
    DasGupta (2001), Stat. Sci. 16, 101-133.

    Examples
    --------
    >>> interval = wilson(81, 263)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.2553, 0.3662)
    """
    checks.confidence_level(confidence)
    if not (np.isfinite(n) and 0 <= successes <= n):
        raise InvalidInput(
            f"{successes} successes of {n} images", "Give 0 <= successes <= n, both finite."
        )
    if n == 0:
        return Interval(float("nan"), 0.0, 1.0, "Wilson", 0, warning="no images")
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    estimate = float(successes / n)
    return Interval(
        estimate,
        min(max(float(low), 0.0), estimate),  # rounding must not put the estimate outside
        max(min(float(high), 1.0), estimate),
        "Wilson",
        round(n),
    )


def accuracy_interval(
    correct: ArrayLike,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The interval of an accuracy, for images that are independent or come in groups.

    Parameters
    ----------
    correct
        (n,) booleans, or 0 and 1: was this image classified rightly?
    groups
        (n,) the unit each image came from (any type); None where images are independent.
    confidence
        Level, between 0 and 1.
    seed
        Of the bootstrap; the same seed gives the same limits.

    Returns
    -------
    Interval
        - Wilson, where every image is its own group;
        - BCa bootstrap over groups, where there are enough of them: 15 effective groups or
          more, and errors as well as successes in at least 5;
        - Wilson for the effective sample size otherwise, with a warning that says why.

    Raises
    ------
    InvalidInput
        No image, lengths that differ, or values other than right and wrong.

    Notes
    -----
    Measured coverage and sources: the documentation page "Statistics".

    Examples
    --------
    >>> interval = accuracy_interval([True] * 60 + [False] * 20, ["a", "b", "c", "d"] * 20)
    >>> interval.groups, interval.low < 0.75 < interval.high
    (4, True)
    >>> interval.method
    'Wilson, effective sample size'
    """
    return share_interval(checks.correct_column(correct), groups, confidence, seed)


def share_interval(
    right: NDArray[np.float64],
    groups: ArrayLike | None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The interval of an accuracy, from the share of runs (0 to 1) that got each image right.

    Not public: `accuracy_interval` and the verdict share it. Where shares are not 0 or 1, it
    takes them for as uncertain as whole images, and so is never too narrow for that.
    """
    checks.confidence_level(confidence)
    index = checks.group_index(groups, len(right), "correct")
    n = len(right)
    count = int(index.max()) + 1
    if count == n:
        plain = wilson(right.sum(), n, confidence)
        return Interval(
            plain.estimate, plain.low, plain.high, "Wilson", n, None if groups is None else n
        )
    sizes, totals = resampling.group_sums(index), resampling.group_sums(index, right)
    estimate = float(totals.sum() / n)
    problem = _too_few(totals, sizes)
    if problem is None:
        replicates = resampling.resampled_ratio(totals, sizes, RESAMPLES, seed)
        left_out = resampling.jackknife_ratio(totals, sizes)
        low, high = resampling.bca(estimate, replicates, left_out, sizes, confidence)
        return Interval(estimate, low, high, "bootstrap over groups (BCa)", n, count)
    images = resampling.effective_images(estimate * (1 - estimate), totals, sizes, confidence)
    limits = wilson(min(estimate * images, images), images, confidence)
    return Interval(
        estimate,
        min(limits.low, estimate),
        max(limits.high, estimate),
        "Wilson, effective sample size",
        n,
        count,
        problem,
    )


def _too_few(totals: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
    """Why a bootstrap of this proportion is not to be trusted; None where it is."""
    count = len(sizes)
    if count == 1:
        return "all images are of one group: they say almost nothing about other groups"
    few = _few_groups(sizes)
    if few is not None:
        return few
    wrong, right = int((totals < sizes).sum()), int((totals > 0).sum())
    if min(wrong, right) < _FEWEST_MIXED:
        what, number = ("errors", wrong) if wrong < right else ("right answers", right)
        return f"{what} in only {number} of {count} groups: too few for a bootstrap over groups"
    return None


def _few_groups(sizes: NDArray[np.float64]) -> str | None:
    effective = resampling.effective_groups(sizes)
    if effective >= resampling.ENOUGH_GROUPS:
        return None
    count = len(sizes)
    unequal = "" if effective > count - 0.5 else f", unequal, worth {effective:.1f} equal ones"
    return f"only {count} groups{unequal}: too few for a bootstrap over groups"


def group_bootstrap(
    values: ArrayLike | tuple[ArrayLike, ...],
    groups: ArrayLike | None = None,
    statistic: Callable[..., float] | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The interval of any statistic of images in groups: balanced accuracy, a mean, an area.

    For an accuracy use `accuracy_interval`, which knows more about proportions.

    Parameters
    ----------
    values
        (n, ...) one row an image, or a tuple of such arrays (labels and predictions).
    groups
        (n,) the unit each image came from; None where images are independent.
    statistic
        Called as ``statistic(*values)`` with the rows of a resample; the mean where None. It
        may return NaN where it is undefined (a class is missing): such resamples do not count.
    bounds
        The least and the largest value the statistic can have, such as (0, 1).
    confidence, resamples, seed
        Level, number of resamples, and their seed.

    Returns
    -------
    Interval
        BCa bootstrap over groups; below 15 effective groups, Student's t on the jackknife over
        groups (on the logit scale between bounds), with a warning.

    Raises
    ------
    InvalidInput
        No image, lengths that differ, or a statistic that is undefined on these images.

    Notes
    -----
    Efron (1987), J. Am. Stat. Assoc. 82, 171-185; Hesterberg (2015), Am. Stat. 69, 371-386.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> donors = np.repeat(np.arange(30), 5)
    >>> sizes = rng.normal(10, 1, 150) + np.repeat(rng.normal(0, 1, 30), 5)
    >>> interval = group_bootstrap(sizes, donors, np.median)
    >>> interval.low < interval.estimate < interval.high
    True
    """
    checks.confidence_level(confidence)
    columns = tuple(np.asarray(v) for v in (values if isinstance(values, tuple) else (values,)))
    if not columns or any(c.ndim == 0 or len(c) == 0 for c in columns):
        raise InvalidInput("values is empty", "Give at least one image.")
    checks.same_length(**{f"values {i}": c for i, c in enumerate(columns)})
    if resamples < 100:
        raise InvalidInput(f"resamples is {resamples}", "Give 100 or more.")
    n = len(columns[0])
    index = checks.group_index(groups, n, "values")
    sizes = resampling.group_sums(index)
    count = len(sizes)
    measure: Callable[..., float] = np.mean if statistic is None else statistic
    estimate = float(measure(*columns))
    if not np.isfinite(estimate):
        raise InvalidInput(f"the statistic is {estimate} on these images", "Is a class missing?")
    rows = np.split(np.argsort(index, kind="stable"), np.cumsum(sizes).astype(int)[:-1])

    def of(chosen: NDArray[np.intp]) -> float:
        return float(measure(*(c[chosen] for c in columns)))

    block = np.arange(count) % min(count, _BLOCKS)
    left_out = (
        np.array([of(np.flatnonzero(block[index] != b)) for b in range(block.max() + 1)])
        if count > 1
        else np.array([])
    )
    replicates = (
        np.array(
            [
                of(np.concatenate([rows[g] for g in drawn]))
                for some in resampling.draws(count, resamples, seed, count)
                for drawn in some
            ]
        )
        if _few_groups(sizes) is None
        else np.array([])
    )
    return statistic_interval(
        estimate,
        replicates,
        left_out,
        sizes,
        bounds=bounds,
        confidence=confidence,
        grouped=groups is not None,
    )


def statistic_interval(
    estimate: float,
    replicates: NDArray[np.float64],
    left_out: NDArray[np.float64],
    sizes: NDArray[np.float64],
    *,
    bounds: tuple[float, float] | None,
    confidence: float,
    grouped: bool,
) -> Interval:
    """The interval of a statistic from its resamples and its jackknife.

    Not public: `group_bootstrap` and the curves share it.
    """
    n, count = int(sizes.sum()), len(sizes)
    least, most = bounds if bounds is not None else (-np.inf, np.inf)
    units = "groups" if grouped else "images"
    problem = _few_groups(sizes)
    defined = replicates[np.isfinite(replicates)]
    left = left_out[np.isfinite(left_out)]
    if problem is None and len(defined) < 0.9 * len(replicates):
        problem = f"undefined in {len(replicates) - len(defined)} of {len(replicates)} resamples"
    if problem is not None:
        problem = problem.replace("groups", units)
    variance = resampling.jackknife_variance(left) if len(left) > 1 else 0.0
    flat = variance <= 1e-18 or not least < estimate < most
    if flat and bounds is not None:
        # No scatter, so no resample tells anything: count groups as right or wrong instead.
        width = most - least
        whole = resampling.effective_groups(sizes)
        share = min(max((estimate - least) / width, 0.0), 1.0)
        limits = wilson(share * whole, whole, confidence)
        low, high = least + width * limits.low, least + width * limits.high
        method = f"Wilson, effective number of {units}"
        problem = problem or f"the same value whichever {units} are left out"
    elif problem is None:
        low, high = resampling.bca(estimate, defined, left, sizes, confidence)
        method = f"bootstrap over {units} (BCa)"
    elif len(left) < 2:
        low, high = least, most
        method = "no interval"
    else:
        half = resampling.t_critical(confidence, sizes) * np.sqrt(variance)
        method = f"t, jackknife over {units}"
        if bounds is None or not np.isfinite([least, most]).all():
            low, high = estimate - half, estimate + half
        else:
            share = (estimate - least) / (most - least)
            half = half / ((most - least) * share * (1 - share))
            logit = np.log(share / (1 - share))
            low, high = (
                least + (most - least) / (1 + np.exp(-(logit + side * half))) for side in (-1, 1)
            )
            method += ", logit scale"
    return Interval(
        estimate,
        float(max(min(low, estimate), least)),
        float(min(max(high, estimate), most)),
        method,
        n,
        count if grouped else None,
        problem,
    )
