"""Whether another program gives the same probabilities as the network."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cellvision import errors

TOLERANCE = 1e-3
"""The largest difference in a probability that is taken for rounding in float32."""


class Predicts(Protocol):
    """Whatever gives probabilities of images."""

    at_once: int

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.predict`."""
        ...


def in_parts(engine: Predicts, pixels: np.ndarray) -> np.ndarray:
    """Give the probabilities of any number of images."""
    starts = range(0, len(pixels), engine.at_once)
    return np.concatenate([engine.predict(pixels[k : k + engine.at_once]) for k in starts])


def check_agrees(
    name: str,
    engine: Predicts,
    pixels: np.ndarray,
    expected: np.ndarray,
    tolerance: float = TOLERANCE,
) -> float:
    """Hold a program's probabilities against those that are known.

    Parameters
    ----------
    name
        What it is, for the message.
    engine
        Gives probabilities.
    pixels
        Images as `Preprocessing.complete` gives them, (n, height, width, channels).
    expected
        Their probabilities, (n, classes).
    tolerance
        The largest difference that is let pass.

    Returns
    -------
    float
        The largest difference.

    Raises
    ------
    errors.ConversionError
        It is above `tolerance`, or not a number.
    """
    found = in_parts(engine, pixels)
    difference = float(np.abs(found.astype(np.float64) - expected).max())
    if not difference <= tolerance:
        raise errors.ConversionError(
            f"{name} gives other probabilities than the network itself: they differ by "
            f"{difference:.2g} on {len(pixels)} image(s), and {tolerance:g} is let pass",
            "Use Keras with model.keras, and tell the authors of cellvision",
        )
    return difference
