"""SavedModel, for TensorFlow and TensorFlow Serving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

import cellvision as cv
from cellvision import inference

if TYPE_CHECKING:
    from pydantic import JsonValue


class SavedModel(cv.Exporter):
    """SavedModel: a folder, for TensorFlow and TensorFlow Serving."""

    suffix: ClassVar[str] = "_saved_model"
    writes_folder: ClassVar[bool] = True

    def export(self, run: cv.Run, folder: Path) -> Path:
        """Write the folder ``model_saved_model``; see `cellvision.Exporter.export`."""
        return inference.convert_network(run, "tf_saved_model", folder / "model_saved_model")

    def verify(self, run: cv.Run, folder: Path) -> dict[str, JsonValue]:
        """Compare TensorFlow with the record; see `cellvision.Exporter.verify`."""
        import tensorflow as tf

        model = tf.saved_model.load(str(folder / "model_saved_model"))

        def predict(pixels: np.ndarray) -> np.ndarray:
            return np.asarray(model.serve(pixels.astype(np.float32)))

        return inference.compare_with_record(run, "saved_model", predict)
