"""``cv.predict``: from files to CSV, with whatever engine it chooses after a first prediction."""

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
        few = files[: task["warm"]]
        cv.predict(run, few, Path(folder, "warm.csv"), engine=task["before"], progress=False)
        start = time.perf_counter()
        found = cv.predict(run, files, Path(folder, "all.csv"), progress=False)
        seconds = time.perf_counter() - start
        process.tell(images_per_s=len(files) / seconds, engine=found.attrs["engine"])


if __name__ == "__main__":
    main()
