"""Average predictions over the runs of a study, and over orientations of each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellvision.inference.engines import Engine, Name


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
        self.name: Name = engines[0].name
        self.version = engines[0].version
        is_square = input_shape[0] == input_shape[1]
        self.orientations = (8 if is_square else 4) if orientations else 1
        self.at_once = min(engine.at_once for engine in engines)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.predict`."""
        total = np.zeros((), np.float64)
        for number in range(self.orientations):
            turned = np.ascontiguousarray(orient(pixels, number, self.orientations))
            for engine in self._engines:
                total = total + engine.predict(turned).astype(np.float64)
        mean = total / (self.orientations * len(self._engines))
        return np.asarray(mean, np.float32)


def orient(images: np.ndarray, number: int, count: int) -> np.ndarray:
    """Return images in one of eight orientations, or of the four that keep their shape.

    Parameters
    ----------
    images
        Shape (n, height, width, channels).
    number
        Which orientation, from 0 (unchanged).
    count
        8: quarter turns and their mirror images; 4: half turns and their mirror images.
    """
    turns = number % 4 if count == 8 else 2 * (number % 2)
    mirrored = number >= count // 2 and count > 1
    turned = np.rot90(images, turns, axes=(1, 2))
    return turned[:, :, ::-1] if mirrored else turned
