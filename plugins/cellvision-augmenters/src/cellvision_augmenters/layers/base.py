"""What the layers of all augmenters share: random draws per image, compiled, in float32."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

import cellvision as cv

Tensor = Any
"""A tensor of the active backend; docstrings give the shapes."""


class RandomLayer(keras.layers.Layer):  # type: ignore[misc]
    """Changes each image of a batch by its own random draws, in float32, only during training.

    Parameters
    ----------
    seed
        Seed of the draws; the same seed gives the same sequence.
    draws
        How many random numbers each image takes.
    """

    def __init__(self, seed: int, draws: int, **kwargs: Any) -> None:
        # Its own precision, whatever the policy: the network may round, the images must not.
        super().__init__(dtype="float32", autocast=False, **kwargs)
        self.generator = keras.random.SeedGenerator(seed)
        self.draws = draws
        self.compiled_change = cv.fuse_operations(self.change)

    def draw(self, images: Tensor) -> Tensor:
        """Draw (batch, draws) uniform numbers, 0 up to but not including 1."""
        shape = (ops.shape(images)[0], self.draws)
        return keras.random.uniform(shape, dtype="float32", seed=self.generator)

    def call(self, images: Tensor, training: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - as Keras calls it
        """Change images of shape (batch, height, width, channels); keep their dtype."""
        images = ops.convert_to_tensor(images)
        if not training:
            return images
        changed = self.compiled_change(ops.cast(images, "float32"), self.draw(images))
        return ops.cast(changed, images.dtype)

    def compute_output_spec(
        self,
        images: Tensor,
        training: bool = False,  # noqa: FBT001, FBT002 - as Keras calls it
    ) -> keras.KerasTensor:
        """Return the shape and dtype of the input."""
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


def pixel_numbers(side: int) -> tuple[Tensor, Tensor]:
    """Number the rows and columns: (1, side, 1) and (1, 1, side), int32."""
    count = ops.arange(side, dtype="int32")
    return count[None, :, None], count[None, None, :]
