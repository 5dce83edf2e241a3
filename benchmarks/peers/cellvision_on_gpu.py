"""cellvision on a GPU: ``cv.train`` on the folder, or the features of frozen layers."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import process


def main() -> None:
    """Train, or compute features, at each batch size, and print the images per second."""
    task = process.read_task()
    speed = _features if task["network"] == "scattering" else _training
    speeds = {str(batch): speed(task, batch) for batch in task["batches"]}
    process.print_output(images_per_s=speeds)


def _training(task: dict[str, Any], batch: int) -> float:
    import cellvision as cv

    experiment = cv.Experiment(
        dataset=cv.datasets.create("folder", path=task["folder"]),
        architecture=cv.architectures.create(task["network"]),
        preprocessing={"size": task["shape"][:2], "channels": "rgb"},
        split={"validation": 0},
        training={"epochs": task["epochs"], "batch_size": batch, "restarts": 0},
        reporters=(),
    )
    out = Path(tempfile.mkdtemp(prefix="cellvision-benchmark-"))
    run = cv.train(experiment, out / "run", progress=False)
    seconds, images = [float(value) for value in run.history["seconds"]], run.scores["train"].n
    shutil.rmtree(out)
    return images * (len(seconds) - 1) / sum(seconds[1:])


def _features(task: dict[str, Any], batch: int) -> float:
    import keras

    import cellvision as cv

    x = np.load(task["arrays"])["x_train"]
    model = cv.architectures.create("scattering").build(tuple(task["shape"]), task["classes"])
    head = keras.Model(model.inputs, model.layers[-2].output)
    seconds, full = [], len(x) // batch * batch
    for _ in range(task["epochs"]):
        start = time.perf_counter()
        for first in range(0, full, batch):
            head.predict_on_batch(x[first : first + batch].astype(np.float32) / 255)
        seconds.append(time.perf_counter() - start)
    return full * (len(seconds) - 1) / sum(seconds[1:])


if __name__ == "__main__":
    main()
