"""The speed of a training: images per second, and the share of time spent waiting for data."""

from __future__ import annotations

import time


class TrainingSpeed:
    """Measures epochs without the first batch of the training, which compiles the network.

    The first epoch is left out as soon as there are others.

    Parameters
    ----------
    images
        Training images of an epoch.
    """

    def __init__(self, images: int) -> None:
        self._images = images
        self._is_compiled = False
        self._is_running = False
        self._begin = self._waited = 0.0
        self._counted = images
        self._measured: list[tuple[int, float, float]] = []

    def start_epoch(self) -> None:
        """Start the clock."""
        self._begin, self._waited, self._counted = time.perf_counter(), 0.0, self._images
        self._is_running = True

    def end_batch(self, done: int, waited: float) -> None:
        """Count a batch.

        Parameters
        ----------
        done
            Images of this epoch so far.
        waited
            Seconds between the end of the last batch and the arrival of this one.
        """
        compiled, self._is_compiled = not self._is_compiled, True
        if compiled and done < self._images:
            self._begin, self._counted = time.perf_counter(), self._images - done
        else:
            self._waited += waited

    def end_epoch(self) -> None:
        """Stop the clock; further calls have no effect."""
        if self._is_running:
            self._is_running = False
            seconds = time.perf_counter() - self._begin
            self._measured.append((self._counted, seconds, self._waited))

    def images_per_second(self) -> float:
        """Return the speed of the epochs that count."""
        images, seconds, _ = self._totals()
        return images / max(seconds, 1e-9)

    def waiting(self) -> float:
        """Return the share of time spent waiting for data, 0 to 1."""
        _, seconds, waited = self._totals()
        return min(waited / max(seconds, 1e-9), 1.0)

    def _totals(self) -> tuple[int, float, float]:
        counting = self._measured[1:] or self._measured
        return (
            sum(images for images, _, _ in counting),
            sum(seconds for _, seconds, _ in counting),
            sum(waited for _, _, waited in counting),
        )
