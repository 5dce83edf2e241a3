"""Remove the cells from an image."""

from __future__ import annotations

import functools
import zlib

import numpy as np

_BINS = 256
_MARGIN = 1 / 20
"""Width of the margin around a cell, as a fraction of the image's shorter side."""

_APART = 3.0
"""Minimal distance of bright from dark pixels, in SDs of the dark ones, to count as cells."""


def cell_regions(pixels: np.ndarray) -> np.ndarray:
    """Mark the cells of a fluorescence image and a margin around them.

    A pixel belongs to a cell if any channel, smoothed by one pixel, exceeds Otsu's threshold of
    that channel in this image. The margin is a twentieth of the image's shorter side, at least
    two pixels. A channel is used only if the means of its bright and dark pixels differ by more
    than 3 SDs of the dark ones; noise alone reaches 2.6. Cells that are darker than the
    background are not found.

    Parameters
    ----------
    pixels
        Shape (height, width, channels).

    Returns
    -------
    numpy.ndarray
        Shape (height, width), bool.
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(pixels.astype(np.float32), (1, 1, 0))
    bright = np.zeros(pixels.shape[:2], dtype=bool)
    for channel in np.moveaxis(smooth, -1, 0):
        above = channel > otsu(channel)
        dark, light = channel[~above], channel[above]
        if light.size and light.mean() - dark.mean() > _APART * dark.std():
            bright |= above
    if not bright.any():
        return bright
    away = ndimage.distance_transform_edt(~bright)
    return np.asarray(away <= max(2, round(min(bright.shape) * _MARGIN)))


def without_cells(pixels: np.ndarray) -> np.ndarray:
    """Fill the cells of an image with background.

    The background is smoothed into the regions of the cells, and noise drawn from the
    background is added so that outlines do not show. The same image gives the same result.

    Parameters
    ----------
    pixels
        Shape (height, width, channels).

    Returns
    -------
    numpy.ndarray
        Same shape and dtype; all zeros if the whole image is marked as cells.
    """
    cells = cell_regions(pixels)
    if cells.all():
        return np.zeros_like(pixels)
    reach = 2 * max(2, round(min(cells.shape) * _MARGIN))
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(pixels).data))
    background = (~cells).astype(np.float32)
    weight = _smooth(background, reach)
    filled = pixels.copy()
    for number in range(pixels.shape[-1]):
        values = pixels[..., number].astype(np.float32)
        level = _smooth(values * background, reach) / np.maximum(weight, 1e-6)
        # Far from any background, the median has to do.
        level = np.where(weight > 1e-3, level, np.median(values[~cells]))
        noise = rng.choice((values - level)[~cells], int(cells.sum()))
        filled[cells, number] = _native(level[cells] + noise, pixels.dtype)
    return filled


def _smooth(channel: np.ndarray, reach: int) -> np.ndarray:
    """Smooth a channel with a Gaussian whose SD is `reach` pixels.

    As products of matrices, because a filter so wide takes several times as long.
    """
    rows, columns = (_smoothing_matrix(length, reach) for length in channel.shape)
    smoothed: np.ndarray = rows @ channel @ columns.T
    return smoothed


@functools.lru_cache(maxsize=4)
def _smoothing_matrix(length: int, reach: int) -> np.ndarray:
    """Return the matrix that smooths the columns of an image of so many rows."""
    from scipy import ndimage

    matrix: np.ndarray = ndimage.gaussian_filter1d(np.eye(length, dtype=np.float32), reach, axis=0)
    return matrix


def _native(values: np.ndarray, dtype: np.dtype[np.generic]) -> np.ndarray:
    if dtype.kind == "f":
        return values.astype(dtype)
    bounds = np.iinfo(dtype)  # type: ignore[type-var]
    rounded: np.ndarray = np.clip(np.rint(values), bounds.min, bounds.max).astype(dtype)
    return rounded


def otsu(values: np.ndarray) -> float:
    """Return the threshold that best separates bright from dark pixels.

    Otsu (1979), IEEE Trans. Syst. Man Cybern. 9, 62-66: of the edges of 256 bins, the one with
    the largest variance between the two sides. If all values are equal, that value.
    """
    low, high = float(values.min()), float(values.max())
    if not low < high:
        return high
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    weight = np.cumsum(counts)[:-1].astype(np.float64)
    middle = (edges[:-1] + edges[1:]) / 2
    total = np.cumsum(counts * middle)
    rest = weight[-1] + counts[-1] - weight
    means = total[:-1] / np.maximum(weight, 1), (total[-1] - total[:-1]) / np.maximum(rest, 1)
    return float(edges[1 + int(np.argmax(weight * rest * (means[0] - means[1]) ** 2))])
