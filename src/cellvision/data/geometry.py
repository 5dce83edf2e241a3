"""Bring an image to a given size: resize, pad or crop, always in its native dtype."""

from __future__ import annotations

from typing import Literal

import numpy as np

from cellvision import errors

Fit = Literal["resize", "pad", "crop"]


def fit_to_size(pixels: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """Bring one image to a size; see ``preprocessing.fit`` for the three ways.

    Parameters
    ----------
    pixels
        Shape (height, width, channels), any integer or float dtype.
    size
        Height and width in pixels.
    fit
        ``"resize"``, ``"pad"`` or ``"crop"``.

    Returns
    -------
    numpy.ndarray
        Shape (height, width, channels), same dtype.

    Raises
    ------
    errors.PreprocessingError
        `fit` is ``"pad"`` and the image is larger than `size`.
    """
    if fit == "resize":
        return resize(pixels, size)
    height, width = pixels.shape[:2]
    if fit == "pad" and (height > size[0] or width > size[1]):
        needed = f"[{max(height, size[0])},{max(width, size[1])}]"
        raise errors.PreprocessingError(
            f"the image is {height} × {width} pixels, larger than preprocessing.size "
            f"({size[0]} × {size[1]}), and padding cannot shrink it",
            f"Enlarge the canvas: --set preprocessing.size={needed}; or cut the images: "
            "--set preprocessing.fit=crop",
        )
    return pad(crop(pixels, size), size)


def crop(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the central window of at most `size`; an odd rest is cut at the bottom and right."""
    height, width = pixels.shape[:2]
    top, left = max(0, height - size[0]) // 2, max(0, width - size[1]) // 2
    return pixels[top : top + size[0], left : left + size[1]]


def pad(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Centre an image on a canvas filled with the median of its border, channel by channel.

    The median of the border is the background of most micrographs: unlike zero it adds no edge
    and hardly changes the mean. An odd rest is added at the bottom and right.
    """
    height, width, channels = pixels.shape
    if (height, width) == size:
        return np.ascontiguousarray(pixels)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    # The upper of two middle values in an even number of pixels: a median that does occur.
    border = np.sort(_border(pixels), axis=0)
    canvas = np.empty((*size, channels), pixels.dtype)
    canvas[:] = border[len(border) // 2]
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def _border(pixels: np.ndarray) -> np.ndarray:
    """Return the outermost pixels, shape (pixels, channels)."""
    sides = (pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1])
    return np.concatenate(sides)


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize one image with an antialiased bilinear filter, in its native dtype.

    Values are rounded to the nearest integer and never reduced to fewer bits.

    Parameters
    ----------
    pixels
        Shape (height, width, channels), any integer or float dtype.
    size
        Height and width in pixels.

    Returns
    -------
    numpy.ndarray
        Shape (height, width, channels), same dtype.
    """
    from PIL import Image

    height, width = size
    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    bilinear = Image.Resampling.BILINEAR

    def resized(plane: np.ndarray) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray(plane))
        return np.asarray(image.resize((width, height), bilinear))

    if pixels.dtype == np.uint8 and pixels.shape[-1] == 3:
        return resized(pixels)
    if pixels.dtype == np.uint8:
        return np.stack([resized(pixels[..., c]) for c in range(pixels.shape[-1])], axis=-1)
    # 32-bit floats hold every integer of up to 24 bits exactly, so 16 bits lose nothing.
    planes = [resized(pixels[..., c].astype(np.float32)) for c in range(pixels.shape[-1])]
    values = np.stack(planes, axis=-1)
    if pixels.dtype.kind == "f":
        return values.astype(pixels.dtype)
    bounds = np.iinfo(pixels.dtype)
    rounded = np.rint(values.astype(np.float64))
    return np.clip(rounded, bounds.min, bounds.max).astype(pixels.dtype)
