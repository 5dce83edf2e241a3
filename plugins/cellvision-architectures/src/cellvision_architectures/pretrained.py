"""A network that was trained on other images before."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from cellvision import Architecture, TrainingPlan, TrainingRecipe, errors
from cellvision_architectures import sizes

if TYPE_CHECKING:
    import keras
    import numpy as np


class Pretrained(Architecture):
    """A backbone of keras.applications with weights from a file, and a new last layer.

    The backbone sees images as it was trained to: what its ``preprocess_input`` does is part
    of the model, and an image of one channel is shown to it three times. Its mean over the
    image feeds one dense layer, softmax.

    Nothing is downloaded. The file holds the backbone's weights without its top layers; where
    there is network access, this makes it::

        import keras
        backbone = keras.applications.MobileNetV2(include_top=False, weights="imagenet")
        backbone.save_weights("mobilenetv2.weights.h5")

    Frozen, only the last layer learns, at a rate of 0.001 (Adam). With `fine_tune`, all of it
    learns at 0.00001, except batch normalisation, which stays as it is: a small data set would
    spoil its running means.

    Examples
    --------
    >>> import cellvision as cv
    >>> network = cv.architectures.create("pretrained", backbone="MobileNetV2", random=True)
    >>> network.build((96, 96, 1), classes=2).output_shape
    (None, 2)
    """

    backbone: str = "MobileNetV2"
    """A model of keras.applications by name, such as MobileNetV2, ResNet50V2, EfficientNetB0."""

    weights: Path | None = None
    """File with the backbone's weights, without its top layers (.weights.h5 or .h5)."""

    fine_tune: bool = False
    """Whether the backbone learns too; else it is frozen and only the last layer does."""

    random: bool = False
    """Start from random weights instead of a file; the whole network then learns."""

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.random and self.weights is not None:
            raise ValueError("give either a weights file or random=true, not both")
        return self

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Make the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            There is no such backbone, no weights file or one that does not fit, or the
            backbone cannot take this size or this number of channels.
        """
        name = f"pretrained ({self.backbone})"
        sizes.check(name, input_shape, classes)
        height, width, channels = input_shape
        if channels not in (1, 3):
            raise errors.ArchitectureError(
                f"{name}: takes 1 or 3 channels, not {channels}",
                'Choose them: --set preprocessing.channels=rgb, gray, or a list such as "[0]"',
            )
        self._check_weights(name)
        import keras
        from keras import layers

        make, preprocess = self._find()
        try:
            backbone = make(
                include_top=False,
                weights=None if self.weights is None else str(self.weights),
                input_shape=(height, width, 3),
                pooling="avg",
            )
        except (ValueError, OSError) as error:
            what = " ".join(str(error).split())
            raise errors.ArchitectureError(
                f"{name}: cannot be built for {height}×{width} pixels"
                + (f" with {self.weights}" if self.weights else "")
                + f": {what:.300}",
                "Give images of the size it asks for, or the weights of this very backbone "
                "without its top layers",
            ) from None
        backbone.trainable = self.fine_tune or self.random
        if self.fine_tune and not self.random:
            # Calling the backbone with training=False does not do: within a model that is
            # being trained, Keras passes training=True all the same.
            for layer in backbone.layers:
                if isinstance(layer, layers.BatchNormalization):
                    layer.trainable = False

        image = keras.Input(input_shape, name="image")
        x = image
        if channels == 1:
            x = layers.Concatenate(name="three_channels", dtype="float32")([x, x, x])
        order, scale, offset = _as_affine(preprocess)
        if order != [0, 1, 2]:
            # Stock operations on a symbolic image are saved with the model like layers.
            x = keras.ops.flip(x, axis=-1)
        x = layers.Rescaling(scale, offset, name="preprocess", dtype="float32")(x)
        chances = layers.Dense(classes, activation="softmax", dtype="float32", name="classes")(
            backbone(x)
        )
        return keras.Model(image, chances, name="pretrained")

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:  # noqa: ARG002
        """Train by Adam: rate 0.001, or 0.00001 if weights from a file are fine-tuned."""
        import keras

        rate = 0.00001 if self.fine_tune and not self.random else 0.001
        return TrainingRecipe(keras.optimizers.Adam(rate))

    def _check_weights(self, name: str) -> None:
        if self.weights is None and not self.random:
            raise errors.ArchitectureError(
                f"{name}: no weights file is given, and none is downloaded",
                "Where there is network access: keras.applications."
                f'{self.backbone}(include_top=False, weights="imagenet")'
                f'.save_weights("{self.backbone.lower()}.weights.h5"); then --set '
                "architecture.weights=FILE, or architecture.random=true to start from nothing",
            )
        if self.weights is not None and not self.weights.is_file():
            raise errors.ArchitectureError(
                f"{name}: there is no weights file {self.weights}",
                "Mend architecture.weights; it is relative to the working directory",
            )

    def _find(self) -> tuple[Callable[..., keras.Model], Callable[[Any], Any]]:
        """The backbone's function and its ``preprocess_input``."""
        import keras

        offered = {
            name: make
            for name, make in vars(keras.applications).items()
            if inspect.isfunction(make)
        }
        if self.backbone not in offered:
            raise errors.ArchitectureError(
                f"pretrained: keras.applications has no backbone {self.backbone!r}",
                f"It has {', '.join(sorted(offered))}",
            )
        make = offered[self.backbone]
        family = getattr(keras.applications, make.__module__.rpartition(".")[2])
        return make, family.preprocess_input


def _as_affine(preprocess: Callable[[Any], Any]) -> tuple[list[int], list[float], list[float]]:
    """What a ``preprocess_input`` does to pixels of 0 to 1, as order, scale and offset.

    Each of Keras' own takes pixels of 0 to 255, reverses the channels or not, then scales and
    shifts each channel. Asking it beats repeating its constants.
    """
    import numpy as np

    def answer(red: float, green: float, blue: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        pixel = np.array([red, green, blue], "float32").reshape(1, 1, 1, 3) * 255
        return np.asarray(preprocess(pixel), "float64").reshape(3)

    offset = answer(0, 0, 0)
    slopes = np.stack([answer(*unit) - offset for unit in np.eye(3)])
    order = [int(source) for source in np.abs(slopes).argmax(axis=0)]
    scale = [float(slopes[source, channel]) for channel, source in enumerate(order)]
    return order, scale, [float(value) for value in offset]
