"""Engines that compute predictions: Keras, or a faster program with a converted network.

All compute in float32 and give the same probabilities, to about 0.000001. They differ in the
time they take to start and to compute. All but Keras are opened by exporters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from cellvision.concurrency import available_processors

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Engine", "available_processors", "images_per_batch"]


class Engine(Protocol):
    """Computes the predictions of a network.

    Attributes
    ----------
    name : str
        Name of the Python package that computes, such as ``"keras"``.
    version : str
        Version of the package.
    at_once : int
        Best number of images per call, which is also the largest.
    """

    name: str
    version: str
    at_once: int

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return probabilities; several threads may call it at once.

        Parameters
        ----------
        pixels
            At most `at_once` images, (n, height, width, channels), native intensities.

        Returns
        -------
        numpy.ndarray
            Shape (n, classes), float32.
        """
        ...


def images_per_batch(input_shape: tuple[int, int, int], values: int, most: int) -> int:
    """Return the number of images with this many pixel values in total, from 1 to `most`."""
    return max(1, min(values // math.prod(input_shape), most))
