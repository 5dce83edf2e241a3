"""``cv.predict``: from files to CSV, with whatever engine it chooses."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks import process


def main() -> None:
    """Predict a few files to be warm, then all of them."""
    task = process.task()
    import cellvision as cv

    run = cv.load_run(task["run"])
    files = sorted(Path(task["folder"], "train").rglob("*.png"))
    with tempfile.TemporaryDirectory() as folder:
        cv.predict(run, files[: task["warm"]], Path(folder, "warm.csv"), progress=False)
        start = time.perf_counter()
        cv.predict(run, files, Path(folder, "all.csv"), progress=False)
        process.tell(images_per_s=len(files) / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
