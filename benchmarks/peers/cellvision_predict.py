"""``cv.predict``: from files to CSV, with the engine that it chooses after a first prediction."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks import process


def main() -> None:
    """Predict a few files to warm up, then all of them."""
    task = process.read_task()
    import cellvision as cv

    run = cv.load_run(task["run"])
    files = sorted(Path(task["folder"], "train").rglob("*.png"))
    with tempfile.TemporaryDirectory() as folder:
        first_files = files[: task["warm"]]
        cv.predict(
            run, first_files, Path(folder, "warm.csv"), engine=task["before"], progress=False
        )
        start = time.perf_counter()
        predictions = cv.predict(run, files, Path(folder, "all.csv"), progress=False)
        seconds = time.perf_counter() - start
        process.print_output(images_per_s=len(files) / seconds, engine=predictions.attrs["engine"])


if __name__ == "__main__":
    main()
