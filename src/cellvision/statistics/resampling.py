"""Bootstrap and jackknife over whole groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ENOUGH_GROUPS = 15
"""Effective number of groups from which the bootstrap is used ("Statistics" has the simulation)."""

_CHUNK = 2_000_000  # numbers held in memory at once


def group_sums(index: NDArray[np.intp], values: Floats | None = None) -> Floats:
    """Sum the values of each group; without values, count its images."""
    return np.bincount(index, weights=values).astype(np.float64)


def effective_groups(sizes: Floats) -> float:
    """Number of groups of equal size with the same weight (Kish 1965): n^2 / sum of sizes^2."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def normal_critical(confidence: float) -> float:
    """Return the two-sided quantile of the normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2))


def t_critical(confidence: float, sizes: Floats) -> float:
    """Return the two-sided quantile of Student's t with effective groups - 1 degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(max(effective_groups(sizes) - 1, 1.0), 0.5 + confidence / 2))


def draws(groups: int, resamples: int, seed: int, width: int) -> Iterator[NDArray[np.intp]]:
    """Draw groups with replacement; yield blocks (rows, groups), `resamples` rows in all.

    `width` is how many numbers the caller holds per row.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // max(groups, width))
    for start in range(0, resamples, rows):
        yield rng.integers(0, groups, (min(rows, resamples - start), groups))


def group_weights(groups: int, resamples: int, seed: int, width: int) -> Iterator[Floats]:
    """Yield, in blocks (rows, groups), how often each group occurs in each resample."""
    for drawn in draws(groups, resamples, seed, width):
        offsets = np.arange(len(drawn))[:, None] * groups
        counts = np.bincount((drawn + offsets).ravel(), minlength=len(drawn) * groups)
        yield counts.reshape(len(drawn), groups).astype(np.float64)


def resampled_ratio(totals: Floats, sizes: Floats, resamples: int, seed: int) -> Floats:
    """Mean over images in each resample of groups: sum of totals / sum of sizes."""
    groups = len(sizes)
    return np.concatenate(
        [
            totals[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
            for drawn in draws(groups, resamples, seed, groups)
        ]
    )


def jackknife_ratio(totals: Floats, sizes: Floats) -> Floats:
    """Mean over images with each group left out once."""
    left_out: Floats = (totals.sum() - totals) / (sizes.sum() - sizes)
    return left_out


def jackknife_variance(left_out: Floats) -> float:
    """Return the variance of an estimate, from its values with each group left out once."""
    count = len(left_out)
    return float((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum())


def bca(
    estimate: float, replicates: Floats, left_out: Floats, sizes: Floats, confidence: float
) -> tuple[float, float]:
    """Compute bias-corrected and accelerated limits (Efron 1987), widened for few groups.

    Student's t times sqrt(G / (G - 1)) replaces the normal quantile (Hesterberg 2015); otherwise
    a bootstrap over 20 groups is too narrow.
    """
    from scipy.special import ndtr, ndtri

    count = len(replicates)
    # Half of the ties count as below: accuracies are discrete.
    below = (np.sum(replicates < estimate) + 0.5 * np.sum(replicates == estimate)) / count
    bias = ndtri(np.clip(below, 1 / (count + 1), count / (count + 1)))
    deviation = left_out.mean() - left_out
    spread = (deviation**2).sum() ** 1.5
    acceleration = (deviation**3).sum() / (6 * spread) if spread > 0 else 0.0
    critical = few_groups_critical(confidence, sizes)
    limits = []
    for quantile in (-critical, critical):
        shifted = bias + quantile
        # Kept positive: past its pole the correction would swap the two limits.
        stretch = max(1 - acceleration * shifted, 0.05)
        limits.append(float(np.quantile(replicates, ndtr(bias + shifted / stretch))))
    return min(limits[0], estimate), max(limits[1], estimate)


def few_groups_critical(confidence: float, sizes: Floats) -> float:
    """Return the quantile that widens a bootstrap over few groups (Hesterberg 2015)."""
    groups = len(sizes)
    return float(t_critical(confidence, sizes) * np.sqrt(groups / (groups - 1)))


def effective_images(
    image_variance: float, totals: Floats, sizes: Floats, confidence: float
) -> float:
    """Return how many independent images carry as much information as these groups.

    ``image_variance / jackknife variance``, times (z / t)^2 because the variance is estimated
    from few groups (Korn and Graubard 1998). At most the number of images, at least the effective
    number of groups, which remains if the images of each group all agree.
    """
    images, fewest = float(sizes.sum()), effective_groups(sizes)
    if len(sizes) == 1 or image_variance <= 0:  # no scatter from which to estimate clustering
        return fewest
    variance = jackknife_variance(jackknife_ratio(totals, sizes))
    if variance <= image_variance / images * 1e-9:  # groups agree more than chance allows
        return images
    information = image_variance / variance
    shrink = (normal_critical(confidence) / t_critical(confidence, sizes)) ** 2
    return float(np.clip(information * shrink, fewest, images))
