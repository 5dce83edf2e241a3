"""Predictions by ONNX Runtime, on the processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cellvision.inference.engines import Name, images_at_once

VALUES = 2**18
"""Pixel values in a batch: what fits a processor's own cache between two layers."""


class OnnxRuntimeEngine:
    """ONNX Runtime; every thread that asks computes its own images, so that none waits.

    Parameters
    ----------
    path
        An ONNX file.
    input_shape
        Height, width and channels.
    """

    name: Name = "onnxruntime"

    def __init__(self, path: Path, input_shape: tuple[int, int, int]) -> None:
        import onnxruntime

        self.version: str = onnxruntime.__version__
        self.at_once = images_at_once(input_shape, VALUES, 256)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.predict`."""
        found = self._session.run(None, {self._input: pixels.astype(np.float32)})
        return np.asarray(found[0], dtype=np.float32)
