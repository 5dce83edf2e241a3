"""Progress of computing features, with an estimate of the remaining time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cellvision.training.earlier_speeds import EarlierSpeeds, machine

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData
    from cellvision.progress import Display
    from cellvision.training.frozen import FrozenSplit

_STEADY_SECONDS = 1.0
"""Seconds of steady work before the time for the rest is estimated."""


class FeatureProgress:
    """Shows how many features are computed, and estimates the time for all passes over images.

    Parameters
    ----------
    display
        Shows progress.
    work
        Features to compute in each pass.
    speeds
        Where the speed is recorded, for an estimate before the next computation.
    """

    def __init__(
        self, display: Display, work: Sequence[int], speeds: EarlierSpeeds | None = None
    ) -> None:
        self._display = display
        self._work = work
        self._speeds = speeds

    def of(self, number: int) -> Callable[[int, int], None]:
        """Return the function that a pass calls with the images done and their total."""
        first: list[tuple[float, float]] = []
        later = sum(self._work[number + 1 :])

        def progress(done: int, total: int) -> None:
            self._display.task("computing features", done, total)
            if done == 0:
                self._expect(self._work[number] + later)
                return
            now, finished = time.perf_counter(), self._work[number] * done / total
            if not first:
                first.append((finished, now))  # the first batch also compiles
            elif now - first[0][1] >= _STEADY_SECONDS:
                speed = (finished - first[0][0]) / (now - first[0][1])
                self._display.remaining((self._work[number] - finished + later) / speed)
                if done == total and self._speeds is not None:
                    self._speeds.record(1 / speed, 0.0)

        return progress

    def _expect(self, features: int) -> None:
        """Estimate the time before the first feature is computed, at the speed of earlier ones."""
        speed = self._speeds.expected() if self._speeds else None
        if speed is not None:
            self._display.remaining(features * speed.seconds_per_image)


def feature_speeds(prepared: PreparedData, split: FrozenSplit) -> EarlierSpeeds:
    """Return where the speed of computing these features on this machine is recorded."""
    import keras

    precision = keras.config.dtype_policy().name
    work = ["features", split.digest, list(prepared.experiment.preprocessing.input_shape)]
    return EarlierSpeeds(machine(precision, prepared.experiment.training.devices), work, 0.0)
