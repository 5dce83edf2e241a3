"""Predictions by Keras itself: needs nothing more, and starts without a conversion."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from cellvision.inference.convert import float32_model
from cellvision.inference.engines import Name, images_at_once

if TYPE_CHECKING:
    from cellvision.results.run import Run

_VALUES = 2**22
"""Pixel values in a batch: enough to keep every processor busy within one layer."""


class KerasEngine:
    """Keras on whatever device it finds; its backend shares each batch among the processors.

    Parameters
    ----------
    run
        Whose network it is.
    """

    name: Name = "keras"

    def __init__(self, run: Run) -> None:
        from cellvision.backends.startup import start_backend

        start_backend()
        import keras

        self.version: str = keras.__version__
        self.at_once = images_at_once(run.preprocessing.input_shape, _VALUES, 1024)
        self._model = float32_model(run)
        self._size = 0
        self._one_at_a_time = threading.Lock()

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.predict`."""
        with self._one_at_a_time:
            # The last batch becomes as large as the others: one compiled program serves all.
            self._size = max(self._size, len(pixels))
            missing = self._size - len(pixels)
            batch = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
            found = self._model.predict_on_batch(batch)
        return np.asarray(found, dtype=np.float32)[: len(pixels)]
