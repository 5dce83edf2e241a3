"""cellvision on a GPU: a training on the folder, or the features of frozen layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import process
from benchmarks.turns import Turns


def main() -> None:
    """Train, or compute features, in several turns, and print the images per second of each."""
    task = process.read_task()
    turns = Turns(task["turns"], task["processes"])
    speeds = (_features if task["network"] == "scattering" else _training)(task, turns)
    process.print_output(images_per_s=speeds)


def _training(task: dict[str, Any], turns: Turns) -> list[float]:
    import cellvision as cv
    from cellvision.data.prepared import prepare_data
    from cellvision.progress import displayed
    from cellvision.training.trainer import Trainer

    per_turn, seconds = task["epochs"], []
    start: float | None = None

    def at_epoch_end(epoch: int, _: Mapping[str, float]) -> None:
        """Time whole turns: what comes between epochs counts, the first epoch does not."""
        nonlocal start
        if (epoch - 1) % per_turn:
            return
        if start is None:
            turns.ready(task["name"])
            turns.wait()
        else:
            seconds.append(turns.end() - start)
        start = turns.begin()

    experiment = cv.Experiment(
        dataset=cv.datasets.create("folder", path=task["folder"]),
        architecture=cv.architectures.create(task["network"]),
        preprocessing={"size": task["shape"][:2], "channels": "rgb"},
        split={"validation": 0},
        training={
            "epochs": 1 + per_turn * task["repeats"],
            "batch_size": task["batch"],
            "restarts": 0,
        },
        reporters=(),
    )
    prepared = prepare_data(experiment)
    with displayed(show=False) as display:
        Trainer(prepared).fit(0, display, at_epoch_end)
    turns.end()
    return [len(prepared.rows("train")) * per_turn / each for each in seconds]


def _features(task: dict[str, Any], turns: Turns) -> list[float]:
    import keras

    import cellvision as cv

    x, batch, shape = np.load(task["arrays"])["x_train"], task["batch"], tuple(task["shape"])
    model = cv.architectures.create("scattering").build(shape, task["classes"])
    features = keras.Model(model.inputs, model.layers[-2].output)
    pixels = keras.Input(shape, dtype="float32")
    head = keras.Model(pixels, features(keras.layers.Rescaling(1 / 255)(pixels)))
    full = len(x) // batch * batch

    def epoch() -> None:
        for first in range(0, full, batch):
            head.predict_on_batch(x[first : first + batch])

    epoch()
    turns.ready(task["name"])
    turns.wait()
    seconds = []
    for _ in range(task["repeats"]):
        start = turns.begin()
        for _ in range(task["epochs"]):
            epoch()
        seconds.append(turns.end() - start)
    return [full * task["epochs"] / each for each in seconds]


if __name__ == "__main__":
    main()
