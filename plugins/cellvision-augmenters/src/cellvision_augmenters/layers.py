"""The Keras layers of the augmenters: each says where a new pixel is taken from.

Keras' own random layers are not used, for four reasons. Under mixed precision they compute in
the precision of the network, which would round 16-bit pixels to 8 bits. Its rotation and
translation turn just-in-time compilation off for the whole model that they are part of, which
on JAX means a training step that is not compiled at all. Its flip in both directions draws once
for both, so that no image is flipped in one of them alone. And on two CPU cores they would cost
a third of the training time of a small network.

The layers are part of training alone; they are not saved with a model. This module imports
keras, and is itself imported by `build` only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any
"""A tensor of the backend in use; the shapes are in the docstrings."""


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Fuse a function's many small operations into one, where Keras would not do it.

    JAX compiles the whole training step, and so does TensorFlow on a GPU. On a CPU TensorFlow
    does not, and what follows would be four to eight times slower there. TensorFlow for macOS
    comes without the compiler.
    """
    if keras.backend.backend() != "tensorflow" or sys.platform == "darwin":
        return function
    import tensorflow

    fused: Callable[..., Tensor] = tensorflow.function(function, jit_compile=True)
    return fused


class RandomLayer(keras.layers.Layer):  # type: ignore[misc]
    """Changes each image of a batch by draws of its own, in float32, and only while training.

    Parameters
    ----------
    seed
        Seed of the draws; the same seed gives the same sequence of them.
    draws
        How many random numbers an image takes.
    fill_mode
        What is outside of an image: "reflect" (itself, mirrored at the edge), "nearest" (its
        edge, drawn out) or "constant" (0).
    """

    def __init__(self, seed: int, draws: int, fill_mode: str = "nearest", **kwargs: Any) -> None:
        # A precision of its own, whatever the policy: the network may round, the images not.
        super().__init__(dtype="float32", autocast=False, **kwargs)
        self.generator = keras.random.SeedGenerator(seed)
        self.draws = draws
        self.fill_mode = fill_mode
        self.compiled_change = compiled(self.change)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Change images of shape (batch, height, width, channels); their dtype is kept."""
        images = ops.convert_to_tensor(images)
        if not training:
            return images
        shape = (ops.shape(images)[0], self.draws)
        draws = keras.random.uniform(shape, dtype="float32", seed=self.generator)
        return ops.cast(self.compiled_change(ops.cast(images, "float32"), draws), images.dtype)

    def compute_output_spec(self, images: Tensor, training: bool = False) -> keras.KerasTensor:
        """What goes out has the shape and dtype of what comes in."""
        del training
        return keras.KerasTensor(images.shape, images.dtype)

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Change a batch of float32 images.

        Parameters
        ----------
        images
            (batch, height, width, channels), float32.
        draws
            (batch, draws), float32, uniform, 0 up to but not including 1.

        Returns
        -------
        Tensor
            The changed images, of the same shape and dtype.
        """
        raise NotImplementedError

    def pick(self, images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Take pixels from each image, those outside it by the fill mode.

        Parameters
        ----------
        images
            (batch, height, width, channels).
        rows, columns
            int32, that together broadcast to (batch, height, width).
        """
        batch, height, width, channels = shape = ops.shape(images)
        size = height * width
        rows = ops.broadcast_to(rows, (batch, *rows.shape[1:]))
        if self.fill_mode == "constant":
            # A frame of zeros, which stands for all that is outside.
            images = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
            rows, columns, height, width = rows + 1, columns + 1, height + 2, width + 2
        place = self.inside(rows, height) * width + self.inside(columns, width)
        picked = ops.take_along_axis(
            ops.reshape(images, (batch, height * width, channels)),
            ops.reshape(place, (batch, size, 1)),
            axis=1,
        )
        return ops.reshape(picked, shape)

    def inside(self, place: Tensor, side: int) -> Tensor:
        """Bring rows or columns that are outside, back inside, to 0 .. side - 1."""
        if self.fill_mode == "reflect":
            place = ops.mod(place, 2 * side)
            return ops.where(place < side, place, 2 * side - 1 - place)
        return ops.clip(place, 0, side - 1)


def numbers(side: int) -> tuple[Tensor, Tensor]:
    """The numbers of rows and columns as (1, side, 1) and (1, 1, side), int32."""
    count = ops.arange(side, dtype="int32")
    return count[None, :, None], count[None, None, :]


class RotationLayer(RandomLayer):
    """Turns each image about its centre by up to `radians` either way."""

    def __init__(
        self, radians: float, interpolation: str, fill_mode: str, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(seed, draws=1, fill_mode=fill_mode, **kwargs)
        self.radians = radians
        self.interpolation = interpolation

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Take each pixel from where the turn brings it from."""
        _, height, width, _ = ops.shape(images)
        middle_row = (ops.cast(height, "float32") - 1) / 2
        middle_column = (ops.cast(width, "float32") - 1) / 2
        angle = (2 * draws[:, :, None] - 1) * self.radians
        cosine, sine = ops.cos(angle), ops.sin(angle)
        down = ops.cast(numbers(height)[0], "float32") - middle_row
        right = ops.cast(numbers(width)[1], "float32") - middle_column
        rows = sine * right + cosine * down + middle_row
        columns = cosine * right - sine * down + middle_column
        if self.interpolation == "nearest":
            return self.pick(
                images, ops.cast(ops.round(rows), "int32"), ops.cast(ops.round(columns), "int32")
            )
        above, before = ops.floor(rows), ops.floor(columns)
        share_below, share_after = (rows - above)[..., None], (columns - before)[..., None]
        row, column = ops.cast(above, "int32"), ops.cast(before, "int32")
        upper = self.pick(images, row, column) * (1 - share_after)
        upper += self.pick(images, row, column + 1) * share_after
        lower = self.pick(images, row + 1, column) * (1 - share_after)
        lower += self.pick(images, row + 1, column + 1) * share_after
        return upper * (1 - share_below) + lower * share_below


class TranslationLayer(RandomLayer):
    """Moves each image by whole pixels, up to these fractions of its height and width."""

    def __init__(
        self, height: float, width: float, fill_mode: str, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(seed, draws=2, fill_mode=fill_mode, **kwargs)
        self.fractions = (height, width)

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Take each pixel from where the move brings it from."""
        _, height, width, _ = ops.shape(images)
        down, right = (
            self.distance(draws[:, axis, None, None], side, self.fractions[axis])
            for axis, side in enumerate((height, width))
        )
        return self.pick(images, numbers(height)[0] - down, numbers(width)[1] - right)

    def distance(self, draw: Tensor, side: int, fraction: float) -> Tensor:
        """A whole number of pixels; each from -most to most is equally likely."""
        most = ops.floor(ops.cast(side, "float32") * fraction)
        return ops.cast(ops.floor(draw * (2 * most + 1)) - most, "int32")


class FlipLayer(RandomLayer):
    """Mirrors each image, with probability one half for each direction that is asked for."""

    def __init__(self, horizontal: bool, vertical: bool, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, draws=2, **kwargs)
        self.horizontal = horizontal
        self.vertical = vertical

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Take each pixel from its place in the mirror."""
        _, height, width, _ = ops.shape(images)
        rows, columns = numbers(height)[0], numbers(width)[1]
        mirrored = draws[:, :, None, None] < 0.5
        if self.vertical:
            rows = ops.where(mirrored[:, 0], height - 1 - rows, rows)
        if self.horizontal:
            columns = ops.where(mirrored[:, 1], width - 1 - columns, columns)
        return self.pick(images, rows, columns)
