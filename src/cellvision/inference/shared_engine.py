"""Start the engine of some networks once, for one prediction or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellvision.inference.averaging import AveragingEngine, distinct_networks
from cellvision.inference.engines import Engine
from cellvision.inference.engines.selection import choose_engine

if TYPE_CHECKING:
    from cellvision.results.run import Run


class SharedEngine:
    """The engine of some networks: the first prediction starts it, and all use it.

    Parameters
    ----------
    runs
        The runs whose networks are averaged.
    engine
        Name of the engine, or ``"auto"``.
    images
        Number of images of all predictions, by which ``"auto"`` chooses.
    tta
        Whether to average over orientations as well.
    """

    def __init__(self, runs: Sequence[Run], engine: str, images: int, *, tta: bool) -> None:
        self._runs = runs
        self._choice = engine
        self._images = images
        self._tta = tta
        self._started: tuple[Engine, str] | None = None

    def start(self, sample: np.ndarray, before_keras: Callable[[], None]) -> tuple[Engine, str]:
        """Start an engine for each network, unless that was done before.

        Parameters
        ----------
        sample
            Some of the images, on which a conversion is compared with Keras.
        before_keras
            Called before Keras starts, which takes seconds.

        Returns
        -------
        engine : Engine
            The average of all networks.
        averaged : str
            What it averages; empty for a single network and orientation.
        """
        if self._started is None:
            self._started = self._start(sample, before_keras)
        return self._started

    def _start(self, sample: np.ndarray, before_keras: Callable[[], None]) -> tuple[Engine, str]:
        distinct, counts = zip(*distinct_networks(self._runs), strict=True)
        work = self._images * len(distinct)
        first = choose_engine(self._choice, distinct[0], sample, work, before_keras)
        # All networks get the engine of the first.
        others = (choose_engine(first.name, run, sample, work) for run in distinct[1:])
        engines = [first, *others]
        if len(self._runs) == 1 and not self._tta:
            return first, ""
        shape = self._runs[0].preprocessing.input_shape
        average = AveragingEngine(engines, counts, shape, orientations=self._tta)
        parts = [f"{len(self._runs)} runs"] if len(self._runs) > 1 else []
        parts += [f"{len(average.orientations)} orientations"] if self._tta else []
        return average, f"mean of {' and '.join(parts)}"
