"""Keras as its image classification tutorial has it: three convolutions, flips, 20 epochs.

Source: https://www.tensorflow.org/tutorials/images/classification, the final model with its data
augmentation and dropout. Images are read by Pillow, so that 16-bit files work too.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks import process

SIDE = 180


def main() -> None:
    """Train once and print the answers for the test images."""
    task = process.read_task()
    import keras
    from keras import layers

    keras.utils.set_random_seed(task["seed"])
    table = pd.read_csv(task["table"])
    classes = sorted(table["label"].unique())
    labels = table["label"].map(classes.index).to_numpy()
    pixels = np.stack([read(path) for path in table["image"]])
    pixels /= pixels.max()
    of = {name: (table["split"] == name).to_numpy() for name in ("train", "validation", "test")}
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, pixels.shape[-1])),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.RandomZoom(0.1),
            *(
                layer
                for filters in (16, 32, 64)
                for layer in (
                    layers.Conv2D(filters, 3, padding="same", activation="relu"),
                    layers.MaxPooling2D(),
                )
            ),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(len(classes)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    model.fit(
        pixels[of["train"]],
        labels[of["train"]],
        validation_data=(pixels[of["validation"]], labels[of["validation"]]),
        epochs=1 if task["quick"] else 20,
        verbose=0,
    )
    answers = model.predict(pixels[of["test"]], verbose=0).argmax(axis=1)
    process.print_output(predicted=[classes[number] for number in answers])


def read(path: str) -> np.ndarray:
    """Read an image as float32, resized to `SIDE` pixels a side."""
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        if image.mode not in ("RGB", "L"):
            image = image.convert("F" if image.mode.startswith(("I", "F")) else "RGB")
        resized = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
    return resized[..., np.newaxis] if resized.ndim == 2 else resized


if __name__ == "__main__":
    main()
