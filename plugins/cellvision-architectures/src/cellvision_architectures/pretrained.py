"""Pretrained networks of keras.applications with a new last layer."""

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
    """Backbone of keras.applications with weights from a file, and a new last layer.

    The model includes the preprocessing of the backbone (its ``preprocess_input``) and copies a
    single channel to all three inputs. The backbone's features, averaged over the image, feed one
    softmax layer.

    cellvision downloads no weights. The file contains the weights of the backbone without its top
    layers. Create it on a computer with network access::

        import keras
        backbone = keras.applications.MobileNetV2(include_top=False, weights="imagenet")
        backbone.save_weights("mobilenetv2.weights.h5")

    By default the backbone is frozen, and only the last layer learns (Adam, rate 0.001). With
    `fine_tune`, all layers learn at a rate of 0.00001, except batch normalization: a small data
    set would degrade its running statistics.

    If your images are public, the pretraining may have included them; accuracy on such images is
    optimistic.

    Examples
    --------
    >>> import cellvision as cv
    >>> network = cv.architectures.create("pretrained", backbone="MobileNetV2", random=True)
    >>> network.build((96, 96, 1), classes=2).output_shape
    (None, 2)
    """

    backbone: str = "MobileNetV2"
    """Name of a model in keras.applications, such as MobileNetV2, ResNet50V2, EfficientNetB0."""

    weights: Path | None = None
    """Weights file of the backbone without its top layers (.weights.h5 or .h5)."""

    fine_tune: bool = False
    """Also train the backbone; by default only the last layer learns."""

    random: bool = False
    """Start from random weights instead of a file and train the whole network."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.random and self.weights is not None:
            raise ValueError("give either a weights file or random=true, not both")
        return self

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            The backbone does not exist or does not accept this image size or number of channels,
            or the weights file is missing or does not fit.
        """
        name = f"pretrained ({self.backbone})"
        sizes.check(name, input_shape, classes)
        height, width, channels = input_shape
        if channels not in (1, 3):
            raise errors.ArchitectureError(
                f"{name}: takes 1 or 3 channels, not {channels}",
                'Choose channels: --set preprocessing.channels=rgb, gray, or a list such as "[0]"',
            )
        self._check_weights(name)
        import keras
        from keras import layers

        builder, preprocess = self._find_backbone()
        try:
            backbone = builder(
                include_top=False,
                weights=None if self.weights is None else str(self.weights),
                input_shape=(height, width, 3),
                pooling="avg",
            )
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise errors.ArchitectureError(
                f"{name}: cannot be built for {height}×{width} pixels"
                + (f" with {self.weights}" if self.weights else "")
                + f": {reason:.300}",
                "Use an image size that the backbone supports, and weights of this backbone "
                "without its top layers",
            ) from None
        backbone.trainable = self.fine_tune or self.random
        if self.fine_tune and not self.random:
            # Calling the backbone with training=False is not enough: Keras passes
            # training=True to every layer of a model that is being trained.
            for layer in backbone.layers:
                if isinstance(layer, layers.BatchNormalization):
                    layer.trainable = False

        image = keras.Input(input_shape, name="image")
        x = image
        if channels == 1:
            x = layers.Concatenate(name="three_channels", dtype="float32")([x, x, x])
        order, scale, offset = _as_affine(preprocess)
        if order != [0, 1, 2]:
            # Keras saves operations on symbolic tensors with the model, like layers.
            x = keras.ops.flip(x, axis=-1)
        x = layers.Rescaling(scale, offset, name="preprocess", dtype="float32")(x)
        x = backbone(x)
        last = layers.Dense(classes, activation="softmax", dtype="float32", name="classes")
        return keras.Model(image, last(x), name="pretrained")

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:  # noqa: ARG002
        """Train with Adam at 0.001, or at 0.00001 to fine-tune weights from a file."""
        import keras

        rate = 0.00001 if self.fine_tune and not self.random else 0.001
        return TrainingRecipe(keras.optimizers.Adam(rate))

    def warnings(self) -> tuple[str, ...]:
        """Warn that the pretraining may have included the test images."""
        if self.weights is None:
            return ()
        return (
            f"{self.backbone} starts from pretrained weights ({self.weights.name}): if its "
            "pretraining included these test images, the accuracy is optimistic.",
        )

    def _check_weights(self, name: str) -> None:
        if self.weights is None and not self.random:
            raise errors.ArchitectureError(
                f"{name}: no weights file, and cellvision downloads none",
                "Create one on a computer with network access: keras.applications."
                f'{self.backbone}(include_top=False, weights="imagenet")'
                f'.save_weights("{self.backbone.lower()}.weights.h5"); then --set '
                "architecture.weights=FILE. Or set architecture.random=true to start from "
                "random weights",
            )
        if self.weights is not None and not self.weights.is_file():
            raise errors.ArchitectureError(
                f"{name}: no weights file {self.weights}",
                "Correct architecture.weights; the path is relative to the working directory",
            )

    def _find_backbone(self) -> tuple[Callable[..., keras.Model], Callable[[Any], Any]]:
        """Return the function that builds the backbone, and its ``preprocess_input``."""
        import keras

        builders = {
            name: builder
            for name, builder in vars(keras.applications).items()
            if inspect.isfunction(builder)
        }
        if self.backbone not in builders:
            raise errors.ArchitectureError(
                f"pretrained: keras.applications has no backbone {self.backbone!r}",
                f"Available: {', '.join(sorted(builders))}",
            )
        builder = builders[self.backbone]
        family = getattr(keras.applications, builder.__module__.rpartition(".")[2])
        return builder, family.preprocess_input


def _as_affine(preprocess: Callable[[Any], Any]) -> tuple[list[int], list[float], list[float]]:
    """Return a ``preprocess_input`` as channel order, scale and offset for pixels of 0 to 1.

    Keras' functions expect pixels of 0 to 255, reverse the channels or not, then scale and shift
    each channel. Probing the function avoids copying its constants.
    """
    import numpy as np

    def output(red: float, green: float, blue: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        pixel = np.array([red, green, blue], "float32").reshape(1, 1, 1, 3) * 255
        return np.asarray(preprocess(pixel), "float64").reshape(3)

    offset = output(0, 0, 0)
    slopes = np.stack([output(*unit) - offset for unit in np.eye(3)])
    order = [int(source) for source in np.abs(slopes).argmax(axis=0)]
    scale = [float(slopes[source, channel]) for channel, source in enumerate(order)]
    return order, scale, [float(value) for value in offset]
