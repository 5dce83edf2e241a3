"""AlexNet as a single column, with the recipe of the original experiments.

The original experiments are those that ``docs/reproduction.md`` repeats.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from cellvision import Architecture, TrainingPlan, TrainingRecipe
from cellvision_architectures import sizes

if TYPE_CHECKING:
    import keras

ENTRY = sizes.Window("conv_1", size=11, stride=4)


def column(
    name: str, input_shape: tuple[int, int, int], classes: int, pooled: Collection[int]
) -> keras.Model:
    """Build AlexNet with a 3×3 max pooling, stride 2, after the convolutions in `pooled`.

    Raises
    ------
    errors.ArchitectureError
        The input is too small.
    """
    pools = [sizes.Window(f"pool_{number}", size=3, stride=2) for number in sorted(pooled)]
    sizes.check(name, input_shape, classes, [ENTRY, *pools])
    import keras
    from keras import layers

    decay = keras.regularizers.L2(0.0005)
    stack = [keras.Input(input_shape, name="image")]
    convolutions = ((96, 11), (256, 5), (384, 3), (384, 3), (256, 3))
    for number, (filters, size) in enumerate(convolutions, start=1):
        stack.append(
            layers.Conv2D(
                filters,
                size,
                strides=ENTRY.stride if number == 1 else 1,
                padding="valid" if number == 1 else "same",
                activation="relu",
                kernel_regularizer=decay,
                name=f"conv_{number}",
            )
        )
        if number in pooled:
            stack.append(layers.MaxPooling2D(3, strides=2, name=f"pool_{number}"))
        if number <= 2:
            stack.append(layers.BatchNormalization(name=f"norm_{number}"))
    stack.append(layers.Flatten(name="flat"))
    for number in (1, 2):
        stack += [
            layers.Dropout(0.5, name=f"dropout_{number}"),
            layers.Dense(2048, activation="relu", kernel_regularizer=decay, name=f"dense_{number}"),
        ]
    stack.append(
        layers.Dense(
            classes,
            activation="softmax",
            kernel_regularizer=decay,
            dtype="float32",
            name="classes",
        )
    )
    return keras.Sequential(stack, name=name)


def momentum_sgd() -> keras.optimizers.Optimizer:
    """Return SGD with momentum 0.9 and a rate that decays at every update.

    At update t the rate is 0.01 / (1 + 0.3 t).
    """
    import keras

    rate = keras.optimizers.schedules.InverseTimeDecay(0.01, decay_steps=1, decay_rate=0.3)
    return keras.optimizers.SGD(rate, momentum=0.9)


class AlexNet(Architecture):
    """AlexNet in one column: five large convolutions and 27 million weights.

    An 11×11 convolution of 96 filters (stride 4, no padding), a 5×5 one of 256, 3×3 ones of
    384, 384 and 256 (same padding), ReLU; 3×3 max pooling with stride 2 after the 1st, 2nd and
    5th, batch normalisation after the first two poolings; twice dropout of one half and a dense
    layer of 2048; softmax. L2 of 0.0005 on the weights of each layer. At 256×256×3 with two
    classes it has 26,825,474 weights, of which 704 are the running means and variances of the
    batch normalisation, which are not trained.

    SGD with momentum 0.9 trains it, at a rate of 0.01 with inverse-time decay of 0.3 for each
    update. This recipe of the original experiments almost stops the training after some hundred
    updates; an experiment may choose another optimiser.

    The idea is that of A. Krizhevsky, I. Sutskever and G. E. Hinton (2012), ImageNet
    classification with deep convolutional neural networks.

    Examples
    --------
    >>> import cellvision as cv
    >>> model = cv.architectures.create("alexnet").build((256, 256, 3), classes=2)
    >>> model.count_params()
    26825474
    """

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            Height or width is below 67.
        """
        return column("alexnet", input_shape, classes, pooled={1, 2, 5})

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:  # noqa: ARG002
        """Train by SGD with momentum and inverse-time decay; see `momentum_sgd`."""
        return TrainingRecipe(momentum_sgd())
