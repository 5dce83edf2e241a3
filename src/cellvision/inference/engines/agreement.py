"""Check that a program computes the same probabilities as the network."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cellvision import errors
from cellvision.plurals import counted

TOLERANCE = 1e-3
"""Largest difference between probabilities that counts as rounding in float32."""


class Predictor(Protocol):
    """Anything that computes probabilities of images."""

    at_once: int

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.predict`."""
        ...


def predict_in_batches(engine: Predictor, pixels: np.ndarray) -> np.ndarray:
    """Return the probabilities of any number of images."""
    starts = range(0, len(pixels), engine.at_once)
    return np.concatenate([engine.predict(pixels[k : k + engine.at_once]) for k in starts])


def check_agrees(
    name: str,
    engine: Predictor,
    pixels: np.ndarray,
    expected: np.ndarray,
    tolerance: float = TOLERANCE,
) -> float:
    """Compare a program's probabilities with the expected ones.

    Parameters
    ----------
    name
        Name of the program, for the message.
    engine
        The program.
    pixels
        Images, (n, height, width, channels), as `Preprocessing.expand_channels` returns them.
    expected
        Their probabilities, (n, classes).
    tolerance
        Largest difference that is accepted.

    Returns
    -------
    float
        The largest difference.

    Raises
    ------
    errors.ConversionError
        The difference exceeds `tolerance`, or is not a number.
    """
    probabilities = predict_in_batches(engine, pixels)
    difference = float(np.abs(probabilities.astype(np.float64) - expected).max())
    if not difference <= tolerance:
        raise errors.ConversionError(
            f"{name} computes other probabilities than the network: they differ by "
            f"{difference:.2g} on {counted(len(pixels), 'image')}, more than {tolerance:g}",
            "Use Keras with model.keras, and report this to the author of the exporter.",
        )
    return difference
