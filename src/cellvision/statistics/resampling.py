"""Resampling whole groups: the bootstrap, the jackknife, and the interval from both."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ENOUGH_GROUPS = 15
"""Effective groups from which the bootstrap is used; the documentation shows the simulation."""

_CHUNK = 2_000_000  # numbers held at once while resampling


def group_sums(index: NDArray[np.intp], values: Floats | None = None) -> Floats:
    """The sum of each group's values; how many images it has where there are none."""
    return np.bincount(index, weights=values).astype(np.float64)


def effective_groups(sizes: Floats) -> float:
    """Groups of equal size that would weigh as much (Kish 1965): n^2 / sum of squared sizes."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def normal_critical(confidence: float) -> float:
    """Return the two-sided quantile of the normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2))


def t_critical(confidence: float, sizes: Floats) -> float:
    """Student's t, with as many degrees of freedom as effective groups less one."""
    from scipy.special import stdtrit

    return float(stdtrit(max(effective_groups(sizes) - 1, 1.0), 0.5 + confidence / 2))


def draws(groups: int, resamples: int, seed: int, width: int) -> Iterator[NDArray[np.intp]]:
    """Groups drawn with replacement, (some, groups) at a time, ``resamples`` rows in all.

    ``width`` is how many numbers the caller holds a row.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // max(groups, width))
    for start in range(0, resamples, rows):
        yield rng.integers(0, groups, (min(rows, resamples - start), groups))


def resampled_ratio(totals: Floats, sizes: Floats, resamples: int, seed: int) -> Floats:
    """Mean over images in each resample of groups: sum of totals over sum of sizes."""
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
    """Bias-corrected and accelerated limits (Efron 1987), widened for few groups.

    The normal quantile is replaced by Student's t times sqrt(G / (G - 1)) (Hesterberg 2015),
    without which a bootstrap over 20 groups is too narrow.
    """
    from scipy.special import ndtr, ndtri

    count = len(replicates)
    # Half of the ties count as below: accuracies are discrete.
    below = (np.sum(replicates < estimate) + 0.5 * np.sum(replicates == estimate)) / count
    bias = ndtri(np.clip(below, 1 / (count + 1), count / (count + 1)))
    deviation = left_out.mean() - left_out
    spread = (deviation**2).sum() ** 1.5
    acceleration = (deviation**3).sum() / (6 * spread) if spread > 0 else 0.0
    groups = len(sizes)
    critical = t_critical(confidence, sizes) * np.sqrt(groups / (groups - 1))
    limits = []
    for quantile in (-critical, critical):
        shifted = bias + quantile
        # Kept positive: past its pole the correction would swap the two limits.
        stretch = max(1 - acceleration * shifted, 0.05)
        limits.append(float(np.quantile(replicates, ndtr(bias + shifted / stretch))))
    return min(limits[0], estimate), max(limits[1], estimate)


def effective_images(
    image_variance: float, totals: Floats, sizes: Floats, confidence: float
) -> float:
    """Independent images that would carry as much information as these groups.

    ``image_variance / jackknife variance``, times (z / t)^2 for a variance that is itself
    estimated from few groups (Korn and Graubard 1998). Never more than the images, and never
    fewer than the effective groups, which is what is left when a group's images all agree.
    """
    images, fewest = float(sizes.sum()), effective_groups(sizes)
    if len(sizes) == 1 or image_variance <= 0:  # no scatter to learn the clustering from
        return fewest
    variance = jackknife_variance(jackknife_ratio(totals, sizes))
    if variance <= image_variance / images * 1e-9:  # groups more alike than chance makes them
        return images
    information = image_variance / variance
    shrink = (normal_critical(confidence) / t_critical(confidence, sizes)) ** 2
    return float(np.clip(information * shrink, fewest, images))
