"""Predictions by ONNX Runtime on the processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cellvision import inference

BATCH_VALUES = 2**18
"""Pixel values per batch, so that what passes between layers fits into a processor's cache."""


class OnnxRuntimeEngine:
    """ONNX Runtime; every calling thread computes its own images.

    Parameters
    ----------
    path
        An ONNX file.
    input_shape
        Height, width and channels.
    """

    name = "onnxruntime"

    def __init__(self, path: Path, input_shape: tuple[int, int, int]) -> None:
        import onnxruntime

        self.version: str = onnxruntime.__version__
        self.at_once = inference.images_per_batch(input_shape, BATCH_VALUES, 256)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `cellvision.inference.Engine.predict`."""
        outputs = self._session.run(None, {self._input: pixels.astype(np.float32)})
        return np.asarray(outputs[0], dtype=np.float32)
