"""Keras: ``model.predict`` on files read by ``image_dataset_from_directory``."""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path

from benchmarks import process


def main() -> None:
    """Predict once to warm up, then again."""
    task = process.read_task()
    import keras

    model = keras.models.load_model(Path(task["run"], "model.keras"), compile=False)

    def predict_all(out: Path) -> int:
        images = keras.utils.image_dataset_from_directory(
            Path(task["folder"], "train"),
            label_mode=None,
            batch_size=20,
            image_size=task["shape"][:2],
            shuffle=False,
            verbose=False,
        )
        probabilities = model.predict(images, verbose=0)
        with out.open("w", newline="") as file:
            csv.writer(file).writerows(
                [name, int(row.argmax()), *row]
                for name, row in zip(images.file_paths, probabilities, strict=True)
            )
        return len(probabilities)

    with tempfile.TemporaryDirectory() as folder:
        predict_all(Path(folder, "warm.csv"))
        start = time.perf_counter()
        count = predict_all(Path(folder, "all.csv"))
        process.print_output(images_per_s=count / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
