"""LiteRT, formerly TensorFlow Lite, for phones and small boards."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import cellvision as cv
from cellvision import inference

if TYPE_CHECKING:
    from pydantic import JsonValue


class LiteRt(cv.Exporter):
    """LiteRT (formerly TensorFlow Lite): one file, for phones and small boards."""

    suffix: ClassVar[str] = ".tflite"

    def export(self, run: cv.Run, folder: Path) -> Path:
        """Write ``model.tflite``; see `cellvision.Exporter.export`."""
        return inference.convert_network(run, "litert", folder / "model.tflite")

    def verify(self, run: cv.Run, folder: Path) -> dict[str, JsonValue]:
        """Compare LiteRT with the record; see `cellvision.Exporter.verify`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorFlow recommends ai_edge_litert
            interpreter = _interpreter()(model_path=str(folder / "model.tflite"))
        interpreter.allocate_tensors()
        source = interpreter.get_input_details()[0]["index"]
        result = interpreter.get_output_details()[0]["index"]

        def predict(pixels: np.ndarray) -> np.ndarray:
            interpreter.set_tensor(source, pixels.astype(np.float32))
            interpreter.invoke()
            return np.asarray(interpreter.get_tensor(result))

        return inference.compare_with_record(run, "litert", predict, at_once=1)


def _interpreter() -> Any:
    """Return the class that runs LiteRT files: that of LiteRT, or of TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        return tf.lite.Interpreter
    return Interpreter
