"""Pillow in one thread: decoding alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import process


def main() -> None:
    """Decode every file once."""
    files = sorted(Path(process.read_task()["folder"], "train").rglob("*.*"))
    start = time.perf_counter()
    for file in files:
        with Image.open(file) as image:
            np.asarray(image)
    process.print_output(rates=[len(files) / (time.perf_counter() - start)] * 2)


if __name__ == "__main__":
    main()
