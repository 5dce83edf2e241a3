"""Shared by the hand-written predictions: decoding with a pool, and writing the CSV."""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import process

BATCH = 20


def predict_files(predict: Callable[[np.ndarray], np.ndarray]) -> None:
    """Predict a few files to warm up, then all of them, decoding ahead in two threads."""
    task = process.read_task()
    files = sorted(Path(task["folder"], "train").rglob("*.png"))

    def pixels(chunk: list[Path]) -> np.ndarray:
        return np.stack([np.asarray(Image.open(file)) for file in chunk]).astype(np.float32)

    def predict_all(paths: list[Path], out: Path) -> None:
        chunks = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        with ThreadPoolExecutor(2) as pool, out.open("w", newline="") as file:
            writer = csv.writer(file)
            for chunk, batch in zip(chunks, pool.map(pixels, chunks), strict=True):
                probabilities = predict(batch)
                writer.writerows(
                    [path, int(row.argmax()), *row]
                    for path, row in zip(chunk, probabilities, strict=True)
                )

    with tempfile.TemporaryDirectory() as folder:
        predict_all(files[: task["warm"]], Path(folder, "warm.csv"))
        start = time.perf_counter()
        predict_all(files, Path(folder, "all.csv"))
        process.print_output(images_per_s=len(files) / (time.perf_counter() - start))
