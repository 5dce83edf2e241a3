"""Average predictions over the runs of a study, and over orientations of each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellvision.data.orientations import orientations_of, oriented
from cellvision.inference.engines import Engine


class AveragingEngine:
    """The mean probabilities of several networks, and of orientations of each image.

    Parameters
    ----------
    engines
        Engines of the networks.
    orientations
        Whether to average over flips and quarter turns as well (test-time augmentation): eight
        orientations of square images, four of others.
    input_shape
        Height, width and channels.
    """

    def __init__(
        self, engines: Sequence[Engine], orientations: bool, input_shape: tuple[int, int, int]
    ) -> None:
        self._engines = engines
        self.name = engines[0].name
        self.version = engines[0].version
        self.orientations = orientations_of(input_shape) if orientations else (0,)
        self.at_once = min(engine.at_once for engine in engines)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.predict`."""
        total = np.zeros((), np.float64)
        for orientation in self.orientations:
            turned = oriented(pixels, orientation)
            for engine in self._engines:
                total = total + engine.predict(turned).astype(np.float64)
        mean = total / (len(self.orientations) * len(self._engines))
        return np.asarray(mean, np.float32)
