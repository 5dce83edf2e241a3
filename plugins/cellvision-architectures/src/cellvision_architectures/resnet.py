"""A small residual network: the default for images of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from cellvision import Architecture, TrainingPlan, TrainingRecipe
from cellvision_architectures import sizes

if TYPE_CHECKING:
    import keras

_LEAST_SIDE = 20
"""`reduction="auto"` leaves at least this many pixels along the shorter side."""

MOMENTUM = 0.9
"""Momentum of the running statistics. Keras' 0.99 needs some hundred updates to follow the data."""


class ResNet(Architecture):
    """A small residual network for images of any size and some hundred images or more.

    The input is standardised by batch normalisation without weights, so that training starts
    alike for dim and bright 16-bit images. An entry convolution of 3×3 shrinks the image by
    `reduction`. Four stages of `depth` pre-activation blocks follow (batch normalisation, ReLU,
    3×3 convolution, twice; added to the input). Each stage has twice the filters of the one before,
    and all but the first halve the image; shortcuts average before they halve, so that no pixel
    is skipped. The mean over the image and softmax end the network, so the number of weights
    does not depend on the size of the image. There are 702,008 weights at 128×128×3 and two
    classes, of which 1,990 are running statistics.

    By default `reduction` grows with the image, so that an image of 28 pixels costs about as
    much as one of 128: up to 39 pixels are not reduced, 40 to 79 halved, 80 to 159 quartered,
    larger ones divided by eight.

    The idea is that of K. He, X. Zhang, S. Ren and J. Sun (2016), Identity mappings in deep
    residual networks.

    Examples
    --------
    >>> import cellvision as cv
    >>> model = cv.architectures.create("resnet", depth=2).build((64, 64, 3), classes=2)
    >>> model.output_shape
    (None, 2)
    """

    depth: int = Field(default=2, ge=1)
    """Residual blocks in each of the four stages."""

    width: int = Field(default=16, ge=1)
    """Filters in the first stage; the last has eight times as many."""

    reduction: Literal["auto", 1, 2, 4, 8] = "auto"
    """Factor by which the image shrinks before the first stage."""

    def reduction_of(self, input_shape: tuple[int, int, int]) -> int:
        """Return the reduction for images of a shape."""
        if self.reduction != "auto":
            return self.reduction
        side = min(input_shape[:2])
        return next((factor for factor in (8, 4, 2) if side >= factor * _LEAST_SIDE), 1)

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            There are fewer than two classes, or no pixels; any size of image works.
        """
        sizes.check("resnet", input_shape, classes)
        import keras
        from keras import layers

        image = keras.Input(input_shape, name="image")
        # In float32, since bfloat16 would leave 8 bits of a pixel. Keras' epsilon of 0.001 exceeds
        # the variance of dim images.
        x = layers.BatchNormalization(
            momentum=MOMENTUM,
            epsilon=1e-6,
            center=False,
            scale=False,
            dtype="float32",
            name="standardise",
        )(image)
        x = _entry(x, self.width, self.reduction_of(input_shape))
        for stage in range(4):
            for number in range(self.depth):
                stride = 2 if stage > 0 and number == 0 else 1
                name = f"stage_{stage + 1}_block_{number + 1}"
                x = _block(x, self.width * 2**stage, stride, name)
        x = layers.GlobalAveragePooling2D(name="mean")(_activation(x, "last"))
        x = layers.Dense(classes, activation="softmax", dtype="float32", name="classes")(x)
        return keras.Model(image, x, name="resnet")

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:  # noqa: ARG002
        """Train by AdamW with rate 0.001 and weight decay 0.0001."""
        import keras

        return TrainingRecipe(keras.optimizers.AdamW(0.001, weight_decay=0.0001))


def _convolution(filters: int, size: int, stride: int, name: str) -> keras.layers.Layer:
    from keras import layers

    return layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )


def _activation(x: Any, name: str) -> Any:
    from keras import layers

    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _entry(x: Any, filters: int, reduction: int) -> Any:
    """Convolve once or twice; strides and a pooling shrink the image by `reduction`."""
    from keras import layers

    x = _convolution(filters, 3, min(reduction, 2), "entry")(x)
    if reduction == 8:
        x = _convolution(filters, 3, 2, "entry_2")(_activation(x, "entry_1"))
    if reduction >= 4:
        x = layers.MaxPooling2D(3, 2, padding="same", name="entry_pool")(_activation(x, "entry"))
    return x


def _block(x: Any, filters: int, stride: int, name: str) -> Any:
    """Add two convolutions to their input, or to its average where the image is halved."""
    from keras import layers

    shortcut = x
    x = _activation(x, f"{name}_1")
    if stride != 1:
        shortcut = layers.AveragePooling2D(2, padding="same", name=f"{name}_average")(x)
        shortcut = _convolution(filters, 1, 1, f"{name}_shortcut")(shortcut)
    x = _convolution(filters, 3, stride, f"{name}_1_conv")(x)
    x = _convolution(filters, 3, 1, f"{name}_2_conv")(_activation(x, f"{name}_2"))
    return layers.Add(name=f"{name}_add")([shortcut, x])
