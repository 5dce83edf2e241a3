"""Check how the images fill the intensity range: hot pixels, pedestals, brighter test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.plurals import counted

if TYPE_CHECKING:
    from cellvision.data.image_stats import ImageStats
    from cellvision.data.pixel_cache import StoredPixels
    from cellvision.data.preprocessing import Preprocessing

STANDARD_BIT_DEPTHS = (8, 10, 12, 14, 16)
"""The bit depths of scientific cameras."""

_FEW_SAMPLES = 1e-4
"""Fraction of samples below which the higher bit depth looks like an accident."""

_SMALL_RANGE = 0.2
"""A network starts with nearly uniform images if they span less of the scale than this."""

_SMALL_RANGE_ON_PEDESTAL = 0.3
"""The same for images whose darkest pixels are brighter than half of their brightest ones."""


def standard_bit_depth(high: float) -> int | None:
    """Return the smallest standard bit depth that holds an intensity; None above 16 bits."""
    return next((bits for bits in STANDARD_BIT_DEPTHS if high <= 2**bits - 1), None)


def counts_above(pixels: np.ndarray) -> tuple[int, ...]:
    """Count the samples that exceed 8, 10, 12 and 14 bits.

    Parameters
    ----------
    pixels
        One image, any dtype; counts are zero for float images, which have no bit depth.

    Returns
    -------
    tuple of int
        One count for each standard bit depth below 16.
    """
    lower = STANDARD_BIT_DEPTHS[:-1]
    if pixels.dtype.kind not in "ui" or pixels.dtype.itemsize == 1:
        return (0,) * len(lower)
    high = int(pixels.max())
    return tuple(
        int(np.count_nonzero(pixels > 2**bits - 1)) if high > 2**bits - 1 else 0 for bits in lower
    )


def training_range(
    preprocessing: Preprocessing, stored: StoredPixels, training: Sequence[bool]
) -> tuple[float, float]:
    """Return the intensities that become 0 and 1, chosen by the training images.

    Parameters
    ----------
    preprocessing
        The rule for choosing them.
    stored
        The images and their statistics.
    training
        Whether each image that could be read is trained on; at least one is.

    Raises
    ------
    errors.PreprocessingError
        The range must be declared; see `Preprocessing.intensity_range`.
    """
    stats = [stat for stat in stored.stats if stat.status == "read"]
    trained = [stat for stat, chosen in zip(stats, training, strict=True) if chosen]
    darkest = min(trained, key=lambda stat: _stored_range(stat)[0])
    brightest = max(trained, key=lambda stat: _stored_range(stat)[1])
    low, high = _stored_range(darkest)[0], _stored_range(brightest)[1]
    try:
        return preprocessing.intensity_range(stored.pixels.dtype, low, high)
    except errors.PreprocessingError as error:
        if stored.pixels.dtype.kind == "f":  # it is true of all images
            raise
        image = darkest.image if low < 0 else brightest.image
        raise errors.PreprocessingError(f"{error.what}, in {image!r}", error.hint) from None


def intensity_warnings(
    preprocessing: Preprocessing,
    stored: StoredPixels,
    training: Sequence[bool],
    zero: float,
    one: float,
) -> list[str]:
    """Return what a reader should know about the intensity range, one line each.

    Parameters
    ----------
    preprocessing
        How the range was chosen.
    stored
        The images and their statistics.
    training
        Whether each image that could be read is trained on.
    zero, one
        The intensities that become 0 and 1.
    """
    if preprocessing.intensity == "per_image":
        return ["Every image is stretched separately: absolute intensity is lost."]
    stats = [stat for stat in stored.stats if stat.status == "read"]
    warnings = []
    brighter = sum(
        _stored_range(stat)[1] > one
        for stat, trained in zip(stats, training, strict=True)
        if not trained
    )
    if brighter:
        warnings.append(
            f"{counted(brighter, 'image', 'is')} brighter than the intensity that becomes 1 "
            f"({one:g})."
        )
    chosen = np.flatnonzero(np.asarray(training, bool))
    hot = _hot_pixels(stored, chosen, one) if preprocessing.intensity == "bit_depth" else []
    warnings += hot
    # Hot pixels explain a small range, and their remedy is another one.
    if preprocessing.intensity in ("bit_depth", "dtype") and not hot:
        ranges = np.array([_stored_range(stats[row]) for row in chosen]).reshape(-1, 2)
        warnings += _small_range(ranges[:, 0], ranges[:, 1], zero, one)
    return warnings


def _stored_range(stat: ImageStats) -> tuple[float, float]:
    """Return an image's range as the network sees it: black and white are stored as 0 and 255."""
    scale = 255.0 if stat.dtype == "bool" else 1.0
    return (stat.low or 0.0) * scale, (stat.high or 0.0) * scale


def _hot_pixels(stored: StoredPixels, chosen: np.ndarray, one: float) -> list[str]:
    """Warn if only a few samples need the bit depth that scales all images."""
    bits = standard_bit_depth(one)
    if bits is None or bits == STANDARD_BIT_DEPTHS[0] or not len(chosen):
        return []
    stats = [stat for stat in stored.stats if stat.status == "read"]
    samples = sum(int(np.prod(stats[row].shape or (0,))) for row in chosen)
    counts = np.array([stored.counts_above[row] for row in chosen])
    enough = np.flatnonzero(counts.sum(axis=0) < _FEW_SAMPLES * samples)
    if not len(enough):
        return []
    lower = STANDARD_BIT_DEPTHS[int(enough[0])]
    if lower >= bits:
        return []
    brightest = max(chosen, key=lambda row: stats[row].high or 0.0)
    few = int(counts[:, enough[0]].sum())
    images = int((counts[:, enough[0]] > 0).sum())
    return [
        f"Only {few} of {samples} samples, in {counted(images, 'image')}, exceed {lower} bits, but "
        f"they scale all images to {bits} bits: the largest is {stats[brightest].high:g} in "
        f"{stats[brightest].image!r}. If these are hot pixels, set "
        f"preprocessing.intensity={2**lower - 1}."
    ]


def _small_range(lows: np.ndarray, highs: np.ndarray, zero: float, one: float) -> list[str]:
    """Warn if the training images fill a small part of the scale, as on a pedestal."""
    if not len(lows):
        return []
    low, high = float(np.median(lows)), float(np.median(highs))
    span = (high - low) / (one - zero)
    limit = _SMALL_RANGE_ON_PEDESTAL if low > high / 2 else _SMALL_RANGE
    if not 0 < span < limit:
        return []
    suggested = f"[{np.percentile(lows, 1):.10g},{np.percentile(highs, 99):.10g}]"
    return [
        f"Training images fill only {span:.1%} of the intensity scale {zero:g} to {one:g} "
        f"(typically {low:g} to {high:g}), so a network may hardly learn. If other images stay "
        f"within that range, declare it: --set preprocessing.intensity={suggested}."
    ]
