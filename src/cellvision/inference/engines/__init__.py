"""What computes predictions: Keras, or a quicker program with the network converted for it.

All of them compute in float32 and give the same numbers, to some 1e-6 in probability. They
differ in how long they take to start and to compute.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

Name = Literal["keras", "onnxruntime", "openvino"]


class Engine(Protocol):
    """Computes a network's predictions.

    Attributes
    ----------
    name : str
        ``"keras"``, ``"onnxruntime"`` or ``"openvino"``.
    version : str
        Of the package.
    at_once : int
        How many images it takes best.
    """

    name: Name
    version: str
    at_once: int

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Give probabilities; may be called from several threads at the same time.

        Parameters
        ----------
        pixels
            At most `at_once` images as `Preprocessing.complete` gives them, (n, height, width, channels).

        Returns
        -------
        numpy.ndarray
            Shape (n, classes), float32.
        """
        ...


def images_at_once(input_shape: tuple[int, int, int], values: int, most: int) -> int:
    """How many images have so many pixel values together: 1 to `most`."""
    return int(np.clip(values // int(np.prod(input_shape)), 1, most))
