"""The orientations of an image: quarter turns of the image and of its mirror image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ORIENTATIONS = 8
"""Number of orientations of a square image; others keep their shape in half of them."""


def orientations_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the orientations that keep a shape: all eight if it is square, otherwise four.

    Parameters
    ----------
    shape
        Height and width; further axes are ignored.
    """
    step = 1 if shape[0] == shape[1] else 2
    return tuple(range(0, ORIENTATIONS, step))


def oriented(images: np.ndarray, orientation: int) -> np.ndarray:
    """Turn images by quarter turns, and mirror them for orientations of 4 to 7.

    Parameters
    ----------
    images
        Shape (n, height, width, channels); square for odd orientations.
    orientation
        0 to 7: number of quarter turns, plus 4 for the mirror image.

    Raises
    ------
    ValueError
        There is no such orientation, or it would change the shape.
    """
    if not 0 <= orientation < ORIENTATIONS:
        raise ValueError(f"orientation {orientation} is not one of 0 to {ORIENTATIONS - 1}")
    if orientation % 2 and images.shape[1] != images.shape[2]:
        raise ValueError(
            f"images of {images.shape[1]}×{images.shape[2]} pixels are not square: "
            "only orientations 0, 2, 4 and 6 keep their shape"
        )
    mirrored = images[:, :, ::-1] if orientation >= 4 else images
    return np.ascontiguousarray(np.rot90(mirrored, orientation % 4, axes=(1, 2)))
