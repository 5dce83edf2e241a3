"""The deep network: nine small convolutions, and about 180,000 weights."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pydantic import Field

from cellvision import Architecture
from cellvision_architectures import sizes

if TYPE_CHECKING:
    import keras

FILTERS = (16, 16, 16, 32, 32, 32, 64, 64, 64)
"""Filters of the nine convolutions, first to last."""


def plain_network(
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    pooled: Collection[int],
    dense: int | None,
    initializer: str = "glorot_uniform",
) -> keras.Model:
    """Build nine convolutions, with a 2×2 max pooling after those whose number is in `pooled`.

    Convolutions are numbered from 1. ReLU follows the pooling if there is one: outputs and
    gradients are the same as in the usual order, and ReLU then processes a quarter of the values.

    Raises
    ------
    errors.ArchitectureError
        The input is too small.
    """
    sizes.check(name, input_shape, classes, sizes.halving(sorted(pooled)))
    import keras
    from keras import layers

    stack = [keras.Input(input_shape, name="image")]
    for number, filters in enumerate(FILTERS, start=1):
        activation = None if number in pooled else "relu"
        stack.append(
            layers.Conv2D(
                filters,
                3,
                padding="same",
                activation=activation,
                kernel_initializer=initializer,
                name=f"conv_{number}",
            )
        )
        if number in pooled:
            stack.append(layers.MaxPooling2D(2, name=f"pool_{number}"))
            stack.append(layers.ReLU(name=f"relu_{number}"))
    stack.append(layers.Flatten(name="flat"))
    for number, units in enumerate((512, dense), start=1):
        if units is not None:
            stack.append(
                layers.Dense(
                    units,
                    activation="relu",
                    kernel_initializer=initializer,
                    name=f"dense_{number}",
                )
            )
    stack.append(layers.Dense(classes, activation="softmax", dtype="float32", name="classes"))
    return keras.Sequential(stack, name=name)


class Deep(Architecture):
    """Nine 3×3 convolutions, eight poolings: small, for images of 256×256 pixels and more.

    The convolutions have 16, 16, 16, 32, 32, 32, 64, 64 and 64 filters (same padding, ReLU); a
    2×2 max pooling follows the 1st, 2nd, 3rd, 4th, 6th, 7th, 8th and 9th, and there ReLU follows
    the pooling, which gives the same values in less time. Then come a dense layer of 512, the
    optional one of `dense`, and softmax. Adam trains it. At 256×256×3 with two classes it has
    154,882 weights, 179,608 with ``dense=50``.

    Each pooling halves the image, so height and width must be at least 256 pixels.

    Examples
    --------
    >>> import cellvision as cv
    >>> model = cv.architectures.create("deep", dense=50).build((256, 256, 3), classes=2)
    >>> model.count_params()
    179608
    """

    dense: int | None = Field(default=None, ge=1)
    """Width of a second dense layer, such as 50; none by default."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            Height or width is below 256.
        """
        return plain_network(
            "deep", input_shape, classes, pooled={1, 2, 3, 4, 6, 7, 8, 9}, dense=self.dense
        )
