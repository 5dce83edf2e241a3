"""cellvision: ``cv.train`` on the folder; images per second, and accuracy by epoch."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks import process


def main() -> None:
    """Train and print the result of every epoch."""
    task = process.read_task()
    import cellvision as cv

    experiment = cv.Experiment(
        dataset=cv.datasets.create("folder", path=task["folder"]),
        architecture=cv.architectures.create(task["network"]),
        preprocessing={
            "size": task["shape"][:2],
            "channels": "rgb" if task["shape"][2] == 3 else "gray",
        },
        split={"validation": 0 if not task.get("validation") else task["validation"]},
        training={
            "epochs": task["epochs"],
            "batch_size": task["batch"],
            "precision": task["precision"],
            "seed": task.get("seed", 0),
            "restarts": 0,  # peers do not restart either
        },
        reporters=(),
    )
    out = Path(tempfile.mkdtemp(prefix="cellvision-benchmark-"))
    start = time.perf_counter()
    run = cv.train(experiment, out / "run", progress=False)
    total = time.perf_counter() - start
    images = run.scores["train"].n
    seconds = [float(value) for value in run.history["seconds"]]
    process.print_output(
        # Without the first epoch, which also compiles.
        images_per_s=images * (len(seconds) - 1) / sum(seconds[1:]),
        seconds=seconds,
        val_accuracy=[float(value) for value in run.history["val_accuracy"]],
        total_s=total,
        test=run.scores["test"].accuracy,
        precision=run.metadata.environment.precision,
    )
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
