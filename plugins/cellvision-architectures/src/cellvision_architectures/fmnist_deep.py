"""The deep network with fewer poolings, for images of 28×28 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cellvision import Architecture
from cellvision_architectures.deep import plain_network

if TYPE_CHECKING:
    import keras


class FmnistDeep(Architecture):
    """The network `deep` without its last four poolings, for small images (28×28).

    Poolings follow the 1st, 2nd, 3rd and 4th convolution only, unless `pooled` says otherwise.
    At 28×28×1 with ten classes it has 179,728 weights. The dense layer of 512 grows with the
    image: at 256×256 pixels the network would have over eight million weights.

    Examples
    --------
    >>> import cellvision as cv
    >>> model = cv.architectures.create("fmnist_deep").build((28, 28, 1), classes=10)
    >>> model.count_params()
    179728
    """

    dense: int | None = Field(default=50, ge=1)
    """Width of the second dense layer; none with ``None``."""

    pooled: tuple[Annotated[int, Field(ge=1, le=9)], ...] = (1, 2, 3, 4)
    """Numbers of the convolutions, 1 to 9, that are followed by a 2×2 max pooling, which halves
    the image. After the first four, an image of 28×28 pixels is reduced to a single pixel, the
    input of the other five convolutions; with ``(3, 6, 9)`` these get 14×14 or 7×7 pixels."""

    initializer: Literal["glorot_uniform", "he_uniform"] = "glorot_uniform"
    """Distribution of the initial weights. ``"he_uniform"`` keeps the scale of the activations of
    ReLU layers, so that a network does not start dead (He et al., 2015, Delving deep into
    rectifiers); Keras' default halves it at every layer."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            The poolings leave nothing of the image: with four, height or width is below 16.
        """
        return plain_network(
            "fmnist_deep",
            input_shape,
            classes,
            pooled=set(self.pooled),
            dense=self.dense,
            initializer=self.initializer,
        )
