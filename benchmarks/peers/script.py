"""The page's script: all images as rescaled float32 arrays in memory, ``fit``, batches of 20.

KERAS_BACKEND names the backend, as everywhere in Keras.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import process

if TYPE_CHECKING:
    import keras

POOLED = {"deep": {1, 2, 3, 4, 6, 7, 8, 9}, "fmnist_deep": {1, 2, 3, 4}}


def network(name: str, shape: list[int], classes: int) -> keras.Model:
    """Build the page's network with Keras."""
    import keras
    from keras import layers

    stack = [keras.Input(shape)]
    for number, filters in enumerate((16, 16, 16, 32, 32, 32, 64, 64, 64), start=1):
        stack.append(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        if number in POOLED[name]:
            stack.append(layers.MaxPooling2D(2))
    stack += [layers.Flatten(), layers.Dense(512, activation="relu")]
    if name == "fmnist_deep":
        stack.append(layers.Dense(50, activation="relu"))
    stack.append(layers.Dense(classes, activation="softmax", dtype="float32"))
    model = keras.Sequential(stack)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    """Train, evaluate and print the result of every epoch."""
    task = process.read_task()
    start = time.perf_counter()
    import keras

    keras.utils.set_random_seed(task.get("seed", 0))
    arrays = np.load(task["arrays"])
    count = -(-len(arrays["y_train"]) // task.get("part", 1))
    x = arrays["x_train"][:count].astype("float32") / 255
    y = keras.utils.to_categorical(arrays["y_train"][:count], task["classes"])
    x_test = arrays["x_test"].astype("float32") / 255
    y_test = keras.utils.to_categorical(arrays["y_test"], task["classes"])
    model = network(task["network"], task["shape"], task["classes"])

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            self.ends = [time.perf_counter()]

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.ends.append(time.perf_counter())

    clock = Clock()
    history = model.fit(
        x,
        y,
        batch_size=task["batch"],
        epochs=task["epochs"],
        validation_split=task.get("validation") or 0.0,
        callbacks=[clock],
        verbose=0,
    )
    test = model.evaluate(x_test, y_test, verbose=0)[1] if task.get("evaluate", True) else None
    seconds = np.diff(clock.ends)
    process.print_output(
        images_per_s=len(x) * (len(seconds) - 1) / max(seconds[1:].sum(), 1e-9),
        seconds=seconds.tolist(),
        val_accuracy=history.history.get("val_accuracy", []),
        total_s=time.perf_counter() - start,
        test=test,
    )


if __name__ == "__main__":
    main()
