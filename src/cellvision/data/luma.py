"""Grey from colour: luma by Rec. ITU-R BT.601, in one place for all of cellvision."""

from __future__ import annotations

import numpy as np

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Weights of Rec. ITU-R BT.601-7, section 2.5.1."""


def luma(pixels: np.ndarray) -> np.ndarray:
    """Convert RGB to grey in the native dtype.

    Parameters
    ----------
    pixels
        Shape (..., 3): red, green and blue, of any integer or float dtype.

    Returns
    -------
    numpy.ndarray
        Shape (..., 1), same dtype; integers are rounded to the nearest. Where red, green and
        blue are equal, the result is exactly that value.

    Examples
    --------
    >>> luma(np.array([[1000, 0, 0], [300, 300, 300]], np.uint16)).ravel().tolist()
    [299, 300]
    """
    red, green, blue = (
        pixels[..., channel : channel + 1].astype(np.float64) for channel in range(3)
    )
    # As differences from green: the three weights do not add up to exactly 1 in binary.
    grey = green + RED * (red - green) + BLUE * (blue - green)
    if pixels.dtype.kind == "f":
        return np.asarray(grey.astype(pixels.dtype))
    return np.asarray(np.rint(grey).astype(pixels.dtype))
