"""The speed of a training: images per second, and the share of time spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Sequence


def waited(due: float, end: float, ready: Sequence[float]) -> float:
    """Return how many seconds batches that were trained together waited for data.

    All batches are taken to need the same time *s*. A batch begins when it is ready and the one
    before it is done, so that the last one ends at the latest of ``due + n s`` and
    ``ready[i] + (n - i) s``; this gives *s*, and what remains of the time was spent waiting.

    Parameters
    ----------
    due
        When the first batch could have begun, in seconds.
    end
        When the last batch was done.
    ready
        When each batch had been made; at least one.

    Returns
    -------
    float
        0 to ``end - due``.

    Examples
    --------
    Two batches of a second each, of which the second came two seconds late:

    >>> waited(10.0, 14.0, [9.0, 13.0])
    2.0
    """
    count = len(ready)
    step = (end - due) / count
    for before, moment in enumerate(ready):
        step = min(step, (end - moment) / (count - before))
    return end - due - count * max(step, 0.0)


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
        """Count a batch, or several that were trained together.

        Parameters
        ----------
        done
            Images of this epoch so far.
        waited
            Seconds that it waited for data.
        """
        compiled, self._is_compiled = not self._is_compiled, True
        if compiled and done < self._images:
            self._begin, self._counted = time.perf_counter(), self._images - done
        elif compiled:  # no batch is left to measure; its data arrive when compiling is done
            self._begin += waited
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
