"""The functional variant of the deep network, in which some layers are applied twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import Architecture
from cellvision_architectures import sizes

if TYPE_CHECKING:
    import keras


class DeepFunctional(Architecture):
    """Six 3×3 convolutions, three of which are applied twice with the same weights.

    A convolution of 16 filters at the entry; twice one of 16 and a pooling; one of 32 and a
    pooling; twice one of 32; a pooling; one of 64; twice one of 64; dense layers of 512 and 50;
    softmax. A convolution that is applied twice is one layer, whose weights count once.
    ReLU and same padding throughout; Adam trains it.

    There are four 2×2 poolings, so height and width must be at least 16 pixels. The dense layer
    of 512 grows with the image: 131,232 weights at 28×28×1 with ten classes, 8,486,952 at
    256×256×3 with two.

    Examples
    --------
    >>> import cellvision as cv
    >>> model = cv.architectures.create("deep_functional").build((28, 28, 1), classes=10)
    >>> model.count_params()
    131232
    """

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            Height or width is below 16.
        """
        sizes.check("deep_functional", input_shape, classes, sizes.halving(range(1, 5)))
        import keras
        from keras import layers

        def convolution(filters: int, name: str) -> keras.layers.Layer:
            return layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)

        poolings = (layers.MaxPooling2D(2, name=f"pool_{number}") for number in range(1, 5))
        image = keras.Input(input_shape, name="image")

        x = convolution(16, "entry")(image)
        again = convolution(16, "conv_16_twice")
        for _ in range(2):
            x = next(poolings)(again(x))
        x = next(poolings)(convolution(32, "conv_32")(x))
        again = convolution(32, "conv_32_twice")
        for _ in range(2):
            x = again(x)
        x = next(poolings)(x)
        x = convolution(64, "conv_64")(x)
        again = convolution(64, "conv_64_twice")
        for _ in range(2):
            x = again(x)
        x = layers.Flatten(name="flat")(x)
        x = layers.Dense(512, activation="relu", name="dense_1")(x)
        x = layers.Dense(50, activation="relu", name="dense_2")(x)
        output = layers.Dense(classes, activation="softmax", dtype="float32", name="classes")
        probabilities = output(x)
        return keras.Model(image, probabilities, name="deep_functional")
