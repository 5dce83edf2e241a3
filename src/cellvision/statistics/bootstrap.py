"""Bootstrap over groups: the confidence interval of any statistic of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.plurals import counted
from cellvision.statistics import resampling, validation
from cellvision.statistics.intervals import Interval, wilson_interval

RESAMPLES = 2000
_BLOCKS = 200  # with more groups than this, the jackknife leaves out blocks of groups


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
    """Compute the interval of any statistic of images in groups: a mean, a median, an area.

    For accuracies use `accuracy_interval`; for MCC, F1 and similar, `classification_metrics`.

    Parameters
    ----------
    values
        (n, ...) one row per image, or a tuple of such arrays (labels and predictions).
    groups
        (n,) the group of each image; None if images are independent.
    statistic
        Called as ``statistic(*values)`` with the rows of a resample; the mean if None. Resamples
        for which it returns NaN (a class is missing, say) do not count.
    bounds
        Smallest and largest possible value of the statistic, such as (0, 1).
    confidence, resamples, seed
        Level, number of resamples, and their seed.

    Returns
    -------
    Interval
        BCa bootstrap over groups. Below 15 effective groups: Student's t on the jackknife over
        groups (on the logit scale between bounds), with a warning.

    Raises
    ------
    InvalidInput
        There is no image, lengths differ, or the statistic is undefined on these images.

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
    validation.check_confidence(confidence)
    columns = tuple(np.asarray(v) for v in (values if isinstance(values, tuple) else (values,)))
    if not columns or any(c.ndim == 0 or len(c) == 0 for c in columns):
        raise InvalidInput("values is empty", "Give at least one image.")
    validation.check_same_length(**{f"values {i}": c for i, c in enumerate(columns)})
    check_resamples(resamples)
    index = validation.group_index(groups, len(columns[0]), "values")
    sizes = resampling.group_sums(index)
    count = len(sizes)
    measure: Callable[..., float] = np.mean if statistic is None else statistic
    estimate = float(measure(*columns))
    if not np.isfinite(estimate):
        raise InvalidInput(f"the statistic is {estimate} on these images", "Is a class missing?")
    rows = np.split(np.argsort(index, kind="stable"), np.cumsum(sizes).astype(int)[:-1])

    def measure_rows(chosen: NDArray[np.intp]) -> float:
        return float(measure(*(c[chosen] for c in columns)))

    left_out = [measure_rows(np.flatnonzero(kept[index])) for kept in jackknife_masks(count)]
    replicates: list[float] = []
    if too_few_groups(sizes) is None:
        replicates = [
            measure_rows(np.concatenate([rows[g] for g in drawn]))
            for block in resampling.draws(count, resamples, seed, count)
            for drawn in block
        ]
    return resampled_interval(
        estimate,
        np.array(replicates),
        np.array(left_out),
        sizes,
        bounds=bounds,
        confidence=confidence,
        grouped=groups is not None,
    )


def check_resamples(resamples: int) -> None:
    """Raise InvalidInput for fewer than 100 resamples."""
    if resamples < 100:
        raise InvalidInput(f"resamples is {resamples}", "Give 100 or more.")


def jackknife_masks(groups: int) -> NDArray[np.bool_]:
    """Return (blocks, groups) masks of the groups that remain when a block is left out.

    A block is one group, or several if there are more than 200 groups. A single group cannot be
    left out: no block.
    """
    if groups < 2:
        return np.zeros((0, groups), dtype=bool)
    block = np.arange(groups) % min(groups, _BLOCKS)
    masks: NDArray[np.bool_] = block[None] != np.arange(block.max() + 1)[:, None]
    return masks


def too_few_groups(sizes: NDArray[np.float64]) -> str | None:
    """Return why there are too few groups for a bootstrap; None if there are enough."""
    effective = resampling.effective_groups(sizes)
    if effective >= resampling.ENOUGH_GROUPS:
        return None
    count = len(sizes)
    unequal = "" if effective > count - 0.5 else f", worth {effective:.1f} of equal size"
    return f"only {counted(count, 'group')}{unequal}: too few for a bootstrap over groups"


def resampled_interval(
    estimate: float,
    replicates: NDArray[np.float64],
    left_out: NDArray[np.float64],
    sizes: NDArray[np.float64],
    *,
    bounds: tuple[float, float] | None,
    confidence: float,
    grouped: bool,
    few: NDArray[np.float64] | None = None,
) -> Interval:
    """Compute the interval of a statistic from its resamples and its jackknife values.

    Parameters
    ----------
    estimate
        The statistic of all images.
    replicates, left_out
        Its values in resamples of groups, and with each block of groups left out; NaN if
        undefined.
    sizes
        (groups,) images of each.
    bounds
        Smallest and largest possible value.
    confidence
        Level.
    grouped
        Whether groups are known, for the wording.
    few
        Sizes of the groups that hold a class, if these are too few for an interval that resamples
        all groups; None if every class has enough.
    """
    least, most = bounds if bounds is not None else (-np.inf, np.inf)
    noun = "groups" if grouped else "images"
    problem = too_few_groups(sizes)
    if problem is None and few is not None:
        problem = f"a class has only {counted(len(few), noun.removesuffix('s'))}"
    deciding = sizes if few is None else few
    replicates_defined = replicates[np.isfinite(replicates)]
    left = left_out[np.isfinite(left_out)]
    if problem is None and len(replicates_defined) < 0.9 * len(replicates):
        undefined = len(replicates) - len(replicates_defined)
        problem = f"undefined in {undefined} of {len(replicates)} resamples"
    if problem is not None:
        problem = problem.replace("groups", noun)
    variance = resampling.jackknife_variance(left) if len(left) > 1 else 0.0
    flat = variance <= 1e-18 or not least < estimate < most
    if flat and bounds is not None:
        low, high = _wilson_limits(estimate, bounds, deciding, confidence)
        method = f"Wilson, effective number of {noun}"
        problem = problem or f"leaving out any of the {noun} does not change the value"
    elif problem is None:
        low, high = resampling.bca(estimate, replicates_defined, left, sizes, confidence)
        method = f"bootstrap over {noun} (BCa)"
    elif len(left) < 2 or len(deciding) < 2:
        low, high = least, most
        method = "no interval"
    else:
        half = resampling.t_critical(confidence, deciding) * float(np.sqrt(variance))
        method = f"t, jackknife over {noun}"
        if bounds is None or not np.isfinite([least, most]).all():
            low, high = estimate - half, estimate + half
        else:
            low, high = _logit_limits(estimate, bounds, half)
            method += ", logit scale"
    return Interval(
        estimate,
        float(max(min(low, estimate), least)),
        float(min(max(high, estimate), most)),
        method,
        int(sizes.sum()),
        len(sizes) if grouped else None,
        problem,
    )


def _wilson_limits(
    estimate: float, bounds: tuple[float, float], sizes: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """Limits where no resample varies: count each group as right or wrong."""
    least, most = bounds
    effective = resampling.effective_groups(sizes)
    fraction = min(max((estimate - least) / (most - least), 0.0), 1.0)
    limits = wilson_interval(fraction * effective, effective, confidence)
    return least + (most - least) * limits.low, least + (most - least) * limits.high


def _logit_limits(estimate: float, bounds: tuple[float, float], half: float) -> tuple[float, float]:
    least, most = bounds
    fraction = (estimate - least) / (most - least)
    half = half / ((most - least) * fraction * (1 - fraction))
    logit = np.log(fraction / (1 - fraction))
    low, high = (least + (most - least) / (1 + np.exp(-(logit + side * half))) for side in (-1, 1))
    return float(low), float(high)
