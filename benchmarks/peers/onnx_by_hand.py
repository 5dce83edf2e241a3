"""ONNX Runtime: the run's model exported, then applied to decoded files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks import process
from benchmarks.peers.files import predict_files


def main() -> None:
    """Export and predict."""
    task = process.read_task()
    import keras
    import onnxruntime

    model = keras.models.load_model(Path(task["run"], "model.keras"), compile=False)
    model(np.zeros((1, *task["shape"]), np.float32))  # otherwise Keras has nothing to export
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "model.onnx"))
        model.export(path, format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    predict_files(lambda batch: session.run(None, {name: batch})[0])


if __name__ == "__main__":
    main()
