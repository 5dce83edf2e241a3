"""Attribution maps: integrated gradients, occlusion, and a check with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Probe

_OVERLAP = 2
"""A patch moves by its side over this number, so that patches overlap."""

_SMOOTHING = 64
"""Gradient maps are smoothed by a Gaussian whose SD is the image's side over this number."""


def flat_images(images: np.ndarray) -> np.ndarray:
    """Return an image without content for each image: the median of each of its channels."""
    import numpy as np

    medians = np.median(images, axis=(1, 2), keepdims=True)
    return np.broadcast_to(medians, images.shape).astype(np.float32)


def integrated_gradients(
    probe: Probe, images: np.ndarray, classes: np.ndarray, steps: int
) -> np.ndarray:
    """Attribute the log odds of a class to pixels, on the path from a flat image.

    M. Sundararajan, A. Taly and Q. Yan (2017), arXiv:1703.01365; gradients are taken at the
    midpoints of `steps` equal steps.

    Parameters
    ----------
    probe
        The network.
    images
        Shape (n, height, width, channels), as the network sees them.
    classes
        Number of the class to explain, for each image.
    steps
        Gradients per image.

    Returns
    -------
    numpy.ndarray
        Shape (n, height, width): summed over channels. With enough steps, a map sums to the
        difference in log odds between the image and the flat one.
    """
    import numpy as np

    start = flat_images(images)
    path = images - start
    total = np.zeros(images.shape, np.float64)
    for step in range(steps):
        total += probe.gradients(start + np.float32((step + 0.5) / steps) * path, classes)
    maps: np.ndarray = (total / steps * path).sum(axis=-1)
    return maps


def completeness(
    probe: Probe, images: np.ndarray, classes: np.ndarray, maps: np.ndarray
) -> list[float]:
    """Return the sum of each map of `integrated_gradients` over its exact value; 1 is exact."""
    exact = probe.log_odds(images, classes) - probe.log_odds(flat_images(images), classes)
    sums = maps.sum(axis=(1, 2))
    return [float(a / b) if b else float("nan") for a, b in zip(sums, exact, strict=True)]


def smooth(maps: np.ndarray) -> np.ndarray:
    """Remove detail finer than a 64th of the side of a map."""
    import numpy as np
    from scipy import ndimage

    width = min(maps.shape[1:]) / _SMOOTHING
    return np.asarray(ndimage.gaussian_filter(maps, (0, width, width)))


def occlusion(
    probe: Probe, images: np.ndarray, classes: np.ndarray, fraction: float
) -> tuple[np.ndarray, int]:
    """Measure how far the log odds of a class drop when a square patch is covered.

    M. D. Zeiler and R. Fergus (2014), arXiv:1311.2901. A patch is filled with the median of
    each channel.

    Parameters
    ----------
    probe, images, classes
        See `integrated_gradients`.
    fraction
        Side of a patch over the shorter side of an image.

    Returns
    -------
    maps : numpy.ndarray
        Shape (n, height, width): the mean over the patches that cover a pixel.
    side : int
        Side of a patch in pixels.
    """
    import numpy as np

    count, height, width, _ = images.shape
    side = max(1, round(fraction * min(height, width)))
    filling = flat_images(images)
    before = probe.log_odds(images, classes)
    drops = np.zeros((count, height, width))
    covered = np.zeros((height, width))
    for top in _starts(height, side):
        patches = [(slice(top, top + side), slice(x, x + side)) for x in _starts(width, side)]
        # A row of patches at once: few enough for memory, enough to be fast.
        variants = np.repeat(images, len(patches), axis=0)
        for index, (rows, columns) in enumerate(patches):
            variants[index :: len(patches), rows, columns] = filling[:, rows, columns]
        after = probe.log_odds(variants, np.repeat(classes, len(patches))).reshape(count, -1)
        for index, (rows, columns) in enumerate(patches):
            drops[:, rows, columns] += (before - after[:, index])[:, None, None]
            covered[rows, columns] += 1
    return drops / covered, side


def _starts(length: int, side: int) -> list[int]:
    step = max(1, side // _OVERLAP)
    return sorted({*range(0, length - side + 1, step), length - side})


@dataclass(frozen=True)
class MapSimilarity:
    """How similar maps stay when layers of the network get random weights.

    Attributes
    ----------
    randomised, layers : int
        Number of layers with random weights, counted from the output, and of all layers.
    signed : list of float
        Spearman's rank correlation of the two maps of each image; NaN if one map is constant.
    magnitude : list of float
        The same for absolute values, which also contain the structure of the image.
    """

    randomised: int
    layers: int
    signed: list[float]
    magnitude: list[float]

    @property
    def mean_strength(self) -> float:
        """Mean absolute value of `signed`: an inverted map is not a different map."""
        return _mean([abs(value) for value in self.signed])

    @property
    def mean_magnitude(self) -> float:
        """Mean of `magnitude`."""
        return _mean(self.magnitude)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")


def randomisation_check(
    probe: Probe,
    images: np.ndarray,
    classes: np.ndarray,
    trained_maps: np.ndarray,
    steps: int,
    seed: int,
) -> tuple[list[MapSimilarity], np.ndarray]:
    """Randomise the weights layer by layer from the output, and compare the maps.

    The cascading randomisation of J. Adebayo et al. (2018), arXiv:1810.03292: the map of a
    network with random weights must differ.

    Parameters
    ----------
    probe, images, classes, steps
        See `integrated_gradients`.
    trained_maps
        The smoothed maps of the trained network.
    seed
        Seed of the random weights.

    Returns
    -------
    similarities : list of MapSimilarity
        From the output layer alone to all layers, in at most four steps.
    maps : numpy.ndarray
        The smoothed maps of the network with all layers randomised.
    """
    count = len(probe.layers)
    depths = sorted({1, -(-count // 3), -(-2 * count // 3), count} - {0})
    similarities, maps = [], trained_maps
    for depth in depths:
        maps = smooth(integrated_gradients(probe.redrawn(seed, depth), images, classes, steps))
        pairs = list(zip(trained_maps, maps, strict=True))
        signed = [_rank_correlation(one, other) for one, other in pairs]
        magnitude = [_rank_correlation(abs(one), abs(other)) for one, other in pairs]
        similarities.append(MapSimilarity(depth, count, signed, magnitude))
    return similarities, maps


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    import numpy as np
    from scipy import stats

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(stats.spearmanr(one.ravel(), other.ravel()).statistic)
