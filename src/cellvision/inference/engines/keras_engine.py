"""Predictions by Keras: needs no other package and no conversion."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from cellvision.inference.convert import float32_model
from cellvision.inference.engines import images_per_batch

if TYPE_CHECKING:
    from cellvision.results.run import Run

_BATCH_VALUES = 2**22
"""Pixel values per batch, enough to keep all processors busy within one layer."""


class KerasEngine:
    """Keras on its default device; the backend shares each batch among the processors.

    Parameters
    ----------
    run
        The run with the network.
    """

    name = "keras"

    def __init__(self, run: Run) -> None:
        from cellvision.backends.startup import start_backend

        start_backend()
        import keras

        self.version: str = keras.__version__
        self.at_once = images_per_batch(run.preprocessing.input_shape, _BATCH_VALUES, 1024)
        self._model = float32_model(run)
        self._size = 0
        self._lock = threading.Lock()

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.predict`."""
        with self._lock:
            # Pad the last batch to the size of the others, so that one program is compiled.
            self._size = max(self._size, len(pixels))
            missing = self._size - len(pixels)
            batch = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
            probabilities = self._model.predict_on_batch(batch)
        return np.asarray(probabilities, dtype=np.float32)[: len(pixels)]
