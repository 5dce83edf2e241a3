"""Keras from a folder: ``image_dataset_from_directory``, ``fit``, ``evaluate``, save."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import process
from benchmarks.peers.script import network


def main() -> None:
    """Train on the folder, or only read it for the number of epochs in ``read``."""
    task = process.read_task()
    import keras

    def images(split: str) -> Any:
        return keras.utils.image_dataset_from_directory(
            Path(task["folder"]) / split,
            label_mode="categorical",
            batch_size=task["batch"],
            image_size=task["shape"][:2],
            color_mode="rgb" if task["shape"][2] == 3 else "grayscale",
            verbose=False,
        )

    train = images("train")
    if task.get("read"):
        rates = []
        for _ in range(task["read"]):
            start = time.perf_counter()
            count = sum(len(labels) for _, labels in train)
            rates.append(count / (time.perf_counter() - start))
        process.print_output(rates=rates)
        return

    def scaled(pixels: Any, labels: Any) -> tuple[Any, Any]:
        return pixels / 255, labels

    model = network(task["network"], task["shape"], task["classes"])
    model.fit(train.map(scaled).prefetch(2), epochs=task["epochs"], verbose=0)
    test = model.evaluate(images("test").map(scaled), verbose=0)[1]
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
    process.print_output(test=test)


if __name__ == "__main__":
    main()
