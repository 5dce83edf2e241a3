"""Predictions by OpenVINO on the processor."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from cellvision import inference
from cellvision_exporters.engines.onnxruntime_engine import BATCH_VALUES


class OpenVinoEngine:
    """OpenVINO; every calling thread has its own stream.

    Parameters
    ----------
    path
        The ``.xml`` file of OpenVINO's format, with its ``.bin`` file beside it.
    input_shape
        Height, width and channels.
    """

    name = "openvino"

    def __init__(self, path: Path, input_shape: tuple[int, int, int]) -> None:
        import openvino

        self.version: str = openvino.__version__.partition("-")[0]
        self.at_once = inference.images_per_batch(input_shape, BATCH_VALUES, 256)
        core = openvino.Core()
        model = core.read_model(path)
        # A fixed size takes about three quarters of the time.
        model.reshape([self.at_once, *input_shape])
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                # By default it computes in bfloat16 if the processor can.
                "INFERENCE_PRECISION_HINT": "f32",
                "NUM_STREAMS": inference.available_processors(),
                "INFERENCE_NUM_THREADS": inference.available_processors(),
            },
        )
        self._local = threading.local()

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `cellvision.inference.Engine.predict`."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        missing = self.at_once - len(pixels)
        batch = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
        outputs = self._local.request.infer([batch.astype(np.float32)])
        return np.array(outputs[0][: len(pixels)], dtype=np.float32)
