"""Which parts of an image speak for a class: integrated gradients and occlusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Probe

_OVERLAP = 2
"""A patch is moved by its side over this number, so that patches overlap."""

_BLURRED = 64
"""Maps of gradients are smoothed by a Gaussian whose SD is the image's side over this number."""


def flat(images: np.ndarray) -> np.ndarray:
    """Give each image's stand-in without content: the median of each of its channels."""
    import numpy as np

    medians = np.median(images, axis=(1, 2), keepdims=True)
    return np.broadcast_to(medians, images.shape).astype(np.float32)


def integrated_gradients(
    probe: Probe, images: np.ndarray, classes: np.ndarray, steps: int
) -> np.ndarray:
    """How much each pixel adds to the log odds of a class, on the way from a flat image.

    M. Sundararajan, A. Taly and Q. Yan (2017), arXiv:1703.01365; the way is walked in `steps`
    middles of equal steps.

    Parameters
    ----------
    probe
        The network.
    images
        Shape (n, height, width, channels), as the network sees them.
    classes
        The number of the class to explain, for each image.
    steps
        Gradients an image.

    Returns
    -------
    numpy.ndarray
        Shape (n, height, width): summed over channels. The sum of a map is the difference in log
        odds between the image and the flat one, where the steps were small enough.
    """
    import numpy as np

    start = flat(images)
    way = images - start
    total = np.zeros(images.shape, np.float64)
    for step in range(steps):
        total += probe.gradients(start + np.float32((step + 0.5) / steps) * way, classes)
    maps: np.ndarray = (total / steps * way).sum(axis=-1)
    return maps


def completeness(
    probe: Probe, images: np.ndarray, classes: np.ndarray, maps: np.ndarray
) -> list[float]:
    """The sum of each map of `integrated_gradients` over what it should be; 1 is right."""
    due = probe.log_odds(images, classes) - probe.log_odds(flat(images), classes)
    sums = maps.sum(axis=(1, 2))
    return [float(a / b) if b else float("nan") for a, b in zip(sums, due, strict=True)]


def smoothed(maps: np.ndarray) -> np.ndarray:
    """Maps of gradients without what is finer than a 64th of their side."""
    import numpy as np
    from scipy import ndimage

    width = min(maps.shape[1:]) / _BLURRED
    return np.asarray(ndimage.gaussian_filter(maps, (0, width, width)))


def occlusion(
    probe: Probe, images: np.ndarray, classes: np.ndarray, share: float
) -> tuple[np.ndarray, int]:
    """By how much the log odds of a class fall when a square patch is covered.

    M. D. Zeiler and R. Fergus (2014), arXiv:1311.2901. A patch is filled with the median of
    each channel.

    Parameters
    ----------
    probe, images, classes
        As for `integrated_gradients`.
    share
        Side of a patch over the shorter side of an image.

    Returns
    -------
    maps : numpy.ndarray
        Shape (n, height, width): the mean over the patches that cover a pixel.
    side : int
        Of a patch, in pixels.
    """
    import numpy as np

    count, height, width, _ = images.shape
    side = max(1, round(share * min(height, width)))
    filling = flat(images)
    before = probe.log_odds(images, classes)
    falls = np.zeros((count, height, width))
    covered = np.zeros((height, width))
    for top in _starts(height, side):
        places = [(slice(top, top + side), slice(x, x + side)) for x in _starts(width, side)]
        # A row of patches at once: few enough to keep in memory, enough to be quick.
        varied = np.repeat(images, len(places), axis=0)
        for number, (rows, columns) in enumerate(places):
            varied[number :: len(places), rows, columns] = filling[:, rows, columns]
        after = probe.log_odds(varied, np.repeat(classes, len(places))).reshape(count, -1)
        for number, (rows, columns) in enumerate(places):
            falls[:, rows, columns] += (before - after[:, number])[:, None, None]
            covered[rows, columns] += 1
    return falls / covered, side


def _starts(length: int, side: int) -> list[int]:
    step = max(1, side // _OVERLAP)
    return sorted({*range(0, length - side + 1, step), length - side})


@dataclass(frozen=True)
class Likeness:
    """How much maps stay the same when layers of the network forget what they learned.

    Attributes
    ----------
    layers, of : int
        How many layers were drawn anew, from the output inwards, and how many there are.
    signed : list of float
        For each image, Spearman's rank correlation of the two maps; NaN where one is flat.
    magnitude : list of float
        The same of their absolute values, which hold the image's own structure as well.
    """

    layers: int
    of: int
    signed: list[float]
    magnitude: list[float]

    @property
    def strength(self) -> float:
        """The mean of `signed` without its sign: a map turned inside out is no other map."""
        return _mean([abs(value) for value in self.signed])

    @property
    def magnitude_mean(self) -> float:
        """The mean of `magnitude`."""
        return _mean(self.magnitude)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")


def forgetting(
    probe: Probe,
    images: np.ndarray,
    classes: np.ndarray,
    before: np.ndarray,
    steps: int,
    seed: int,
) -> tuple[list[Likeness], np.ndarray]:
    """Redraw the weights layer by layer from the output inwards, and compare the maps.

    The cascading randomisation of J. Adebayo et al. (2018), arXiv:1810.03292: a map of a
    network that has forgotten everything must be another one.

    Parameters
    ----------
    probe, images, classes, steps
        As for `integrated_gradients`.
    before
        The smoothed maps of the trained network.
    seed
        Of the new weights.

    Returns
    -------
    likeness : list of Likeness
        From the output layer alone to all layers, in at most four steps.
    maps : numpy.ndarray
        Those of the network with all layers redrawn, smoothed.
    """
    count = len(probe.layers)
    depths = sorted({1, -(-count // 3), -(-2 * count // 3), count} - {0})
    found, maps = [], before
    for depth in depths:
        maps = smoothed(integrated_gradients(probe.redrawn(seed, depth), images, classes, steps))
        signed = [_rank_correlation(*pair) for pair in zip(before, maps, strict=True)]
        sizes = [_rank_correlation(abs(a), abs(b)) for a, b in zip(before, maps, strict=True)]
        found.append(Likeness(depth, count, signed, sizes))
    return found, maps


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    import numpy as np
    from scipy import stats

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(stats.spearmanr(one.ravel(), other.ravel()).statistic)
