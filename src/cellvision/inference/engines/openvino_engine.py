"""Predictions by OpenVINO, on the processor."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from cellvision.data.image_stats import available_processors
from cellvision.inference.engines import Name, images_at_once
from cellvision.inference.engines.onnxruntime_engine import VALUES


class OpenVinoEngine:
    """OpenVINO; every thread that asks has a stream of its own, so that none waits.

    Parameters
    ----------
    path
        The ``.xml`` of OpenVINO's own format, its ``.bin`` beside it.
    input_shape
        Height, width and channels.
    """

    name: Name = "openvino"

    def __init__(self, path: Path, input_shape: tuple[int, int, int]) -> None:
        import openvino

        self.version: str = openvino.__version__.partition("-")[0]
        self.at_once = images_at_once(input_shape, VALUES, 256)
        core = openvino.Core()
        model = core.read_model(path)
        # Of a fixed size it takes about three quarters of the time.
        model.reshape([self.at_once, *input_shape])
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                # Left to itself it computes in bfloat16 where it can.
                "INFERENCE_PRECISION_HINT": "f32",
                "NUM_STREAMS": available_processors(),
                "INFERENCE_NUM_THREADS": available_processors(),
            },
        )
        self._of_this_thread = threading.local()

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.predict`."""
        if not hasattr(self._of_this_thread, "request"):
            self._of_this_thread.request = self._compiled.create_infer_request()
        missing = self.at_once - len(pixels)
        batch = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
        found = self._of_this_thread.request.infer([batch.astype(np.float32)])
        return np.array(found[0][: len(pixels)], dtype=np.float32)
