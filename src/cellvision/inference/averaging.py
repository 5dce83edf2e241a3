"""Average predictions over the runs of a study, and over orientations of each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellvision.data.orientations import orientations_of, oriented
from cellvision.digests import file_digest
from cellvision.inference.engines import Engine

if TYPE_CHECKING:
    from cellvision.results.run import Run


def distinct_networks(runs: Sequence[Run]) -> list[tuple[Run, int]]:
    """Return the first run with each network, and the number of runs that have it.

    Runs whose last layer is solved exactly have the same network, whatever their seeds.
    """
    counts: dict[str, int] = {}
    first: dict[str, Run] = {}
    for run in runs:
        try:
            network = file_digest(run.folder / "model.keras")
        except OSError:  # opening it says what is wrong
            network = str(run.folder)
        counts[network] = counts.get(network, 0) + 1
        first.setdefault(network, run)
    return [(run, counts[network]) for network, run in first.items()]


class AveragingEngine:
    """The mean probabilities of several networks, and of orientations of each image.

    Parameters
    ----------
    engines
        Engines of the networks.
    weights
        Weight of each network in the mean, such as the number of runs that have it.
    input_shape
        Height, width and channels.
    orientations
        Whether to average over flips and quarter turns as well (test-time augmentation): eight
        orientations of square images, four of others.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        weights: Sequence[int],
        input_shape: tuple[int, int, int],
        *,
        orientations: bool,
    ) -> None:
        self._weighted = tuple(zip(engines, weights, strict=True))
        self.name = engines[0].name
        self.version = engines[0].version
        self.orientations = orientations_of(input_shape) if orientations else (0,)
        self.at_once = min(engine.at_once for engine in engines)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.predict`."""
        total = np.zeros((), np.float64)
        for orientation in self.orientations:
            turned = oriented(pixels, orientation)
            for engine, weight in self._weighted:
                total = total + weight * engine.predict(turned).astype(np.float64)
        mean = total / (len(self.orientations) * sum(weight for _, weight in self._weighted))
        return np.asarray(mean, np.float32)
