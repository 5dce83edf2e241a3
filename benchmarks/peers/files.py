"""What the hand-written predictions share: decoding with a pool, and writing the CSV."""

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
    """Predict a few files to be warm, then all of them, decoding ahead in two threads."""
    task = process.task()
    files = sorted(Path(task["folder"], "train").rglob("*.png"))

    def pixels(chunk: list[Path]) -> np.ndarray:
        return np.stack([np.asarray(Image.open(file)) for file in chunk]).astype(np.float32)

    def all_of(wanted: list[Path], out: Path) -> None:
        chunks = [wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)]
        with ThreadPoolExecutor(2) as pool, out.open("w", newline="") as file:
            writer = csv.writer(file)
            for chunk, batch in zip(chunks, pool.map(pixels, chunks), strict=True):
                found = predict(batch)
                writer.writerows(
                    [name, int(row.argmax()), *row] for name, row in zip(chunk, found, strict=True)
                )

    with tempfile.TemporaryDirectory() as folder:
        all_of(files[: task["warm"]], Path(folder, "warm.csv"))
        start = time.perf_counter()
        all_of(files, Path(folder, "all.csv"))
        process.tell(images_per_s=len(files) / (time.perf_counter() - start))
