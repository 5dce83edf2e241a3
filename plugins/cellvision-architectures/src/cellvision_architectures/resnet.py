"""A small residual network: the choice for those who only want a good answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from cellvision import Architecture, TrainingPlan, TrainingRecipe
from cellvision_architectures import sizes

if TYPE_CHECKING:
    import keras


class ResNet(Architecture):
    """A small residual network for images of any size, with little to choose.

    For 64 to 256 pixels and some hundred to some thousand images. A 3×3 convolution with stride
    2, then four stages of `depth` pre-activation blocks (batch normalisation, ReLU, 3×3
    convolution, twice; added to what came in). Each stage has twice the filters of the one
    before, and all but the first halve the image. Then come the mean over the image and
    softmax, so that the number of weights does not depend on the size of the image. AdamW
    trains it. With the defaults there are 701,938 weights at three channels and two classes,
    of which 1,952 are the running means and variances of the batch normalisation.

    Those running values follow the data within some ten updates (momentum 0.9, where Keras has
    0.99), since a small data set gives few updates.

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

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Make the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            There are fewer than two classes, or no pixels; any size of image works.
        """
        sizes.check("resnet", input_shape, classes)
        import keras
        from keras import layers

        def convolution(filters: int, size: int, stride: int, name: str) -> keras.layers.Layer:
            return layers.Conv2D(
                filters,
                size,
                strides=stride,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                name=name,
            )

        def activation(x: Any, name: str) -> Any:
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
            return layers.ReLU(name=f"{name}_relu")(x)

        def block(x: Any, filters: int, stride: int, name: str) -> Any:
            shortcut = x
            x = activation(x, f"{name}_1")
            if stride != 1:
                shortcut = convolution(filters, 1, stride, f"{name}_shortcut")(x)
            x = convolution(filters, 3, stride, f"{name}_1_conv")(x)
            x = convolution(filters, 3, 1, f"{name}_2_conv")(activation(x, f"{name}_2"))
            return layers.Add(name=f"{name}_add")([shortcut, x])

        image = keras.Input(input_shape, name="image")
        x = convolution(self.width, 3, 2, "entry")(image)
        for stage in range(4):
            for number in range(self.depth):
                stride = 2 if stage > 0 and number == 0 else 1
                name = f"stage_{stage + 1}_block_{number + 1}"
                x = block(x, self.width * 2**stage, stride, name)
        x = layers.GlobalAveragePooling2D(name="mean")(activation(x, "last"))
        chances = layers.Dense(classes, activation="softmax", dtype="float32", name="classes")(x)
        return keras.Model(image, chances, name="resnet")

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:  # noqa: ARG002
        """Train by AdamW with rate 0.001 and weight decay 0.0001."""
        import keras

        return TrainingRecipe(keras.optimizers.AdamW(0.001, weight_decay=0.0001))
