"""Plain Keras: ``fit`` on arrays, for a network that is read from a file."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks import process


def main() -> None:
    """Train and print the images per second after the first epoch."""
    task = process.read_task()
    import keras

    arrays = np.load(task["arrays"])
    x = arrays["x_train"].astype("float32") / 255
    y = keras.utils.to_categorical(arrays["y_train"], task["classes"])
    model = keras.models.load_model(task["model"], compile=False)
    model.compile(optimizer="adamw", loss="categorical_crossentropy", metrics=["accuracy"])

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            self.ends = [time.perf_counter()]

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.ends.append(time.perf_counter())

    clock = Clock()
    model.fit(x, y, batch_size=task["batch"], epochs=task["epochs"], callbacks=[clock], verbose=0)
    seconds = np.diff(clock.ends)
    process.print_output(images_per_s=len(x) * (len(seconds) - 1) / max(seconds[1:].sum(), 1e-9))


if __name__ == "__main__":
    main()
