"""cellvision: ``cv.train`` on the folder; steady images a second, or the way to an accuracy."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks import process


def main() -> None:
    """Train and tell of every epoch."""
    task = process.task()
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
        },
        reporters=(),
    )
    out = Path(tempfile.mkdtemp(prefix="cellvision-benchmark-"))
    start = time.perf_counter()
    run = cv.train(experiment, out / "run", progress=False)
    whole = time.perf_counter() - start
    images = run.scores["train"].n
    seconds = [float(value) for value in run.history["seconds"]]
    process.tell(
        # The first epoch compiles as well.
        images_per_s=images * (len(seconds) - 1) / sum(seconds[1:]),
        seconds=seconds,
        held=[float(value) for value in run.history["val_accuracy"]],
        whole_s=whole,
        test=run.scores["test"].accuracy,
        precision=run.metadata.environment.precision,
    )
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
