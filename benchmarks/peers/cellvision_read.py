"""cellvision: decode and store images in the first epoch, gather batches in the second."""

from __future__ import annotations

import itertools
import os
import shutil
import time

from benchmarks import process


def main() -> None:
    """Read the folder as a training does, and iterate over the batches of an epoch."""
    task = process.read_task()
    import keras

    import cellvision as cv
    from cellvision.data.prepared import prepare_data
    from cellvision.training.batches import BatchLoader

    experiment = cv.Experiment(
        dataset=cv.datasets.create("folder", path=task["folder"]),
        preprocessing={"size": task["shape"][:2], "channels": "rgb"},
        split={"validation": 0},
        training={"batch_size": task["batch"]},
        reporters=(),
    )
    # Once before the clock starts, to import everything; then from a cold cache again.
    prepare_data(experiment)
    keras.backend.backend()
    shutil.rmtree(os.environ["CELLVISION_CACHE"])
    start = time.perf_counter()
    prepared = prepare_data(experiment)
    first = len(prepared.pixels) / (time.perf_counter() - start)
    rows = prepared.rows("train")
    with BatchLoader(prepared, rows, task["batch"], seed=0) as loader:
        start = time.perf_counter()
        for _ in itertools.islice(loader.batches(), loader.steps):
            pass
        second = len(rows) / (time.perf_counter() - start)
    process.print_output(rates=[first, second])


if __name__ == "__main__":
    main()
