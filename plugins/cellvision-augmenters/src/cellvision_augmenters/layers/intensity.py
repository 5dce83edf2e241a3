"""Layers that change the values of pixels, not their position."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from cellvision_augmenters.layers.base import RandomLayer, Tensor, pixel_numbers


class BrightnessLayer(RandomLayer):
    """Multiplies each image by a random factor, log-uniform from 1 / (1 + factor) to 1 + factor.

    Parameters
    ----------
    factor
        The strongest change.
    per_channel
        Draw a separate factor for each channel.
    """

    def __init__(self, factor: float, *, per_channel: bool, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, draws=1, **kwargs)
        self.range = math.log1p(factor)
        self.per_channel = per_channel

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Take one draw per channel where each has its own factor."""
        if self.per_channel:
            self.draws = int(input_shape[-1] or 1)
        self.built = True

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Multiply."""
        return images * ops.exp((2 * draws - 1) * self.range)[:, None, None, :]


class EraseLayer(RandomLayer):
    """Replaces a random rectangle of some images by the mean of the image.

    Parameters
    ----------
    probability
        How likely an image loses a rectangle.
    smallest, largest
        The area of the rectangle, as a fraction of the image.
    """

    def __init__(
        self, probability: float, smallest: float, largest: float, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(seed, draws=5, **kwargs)
        self.probability = probability
        self.smallest = smallest
        self.largest = largest

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Draw area, shape and position of a rectangle, and whether to erase it."""
        _, height, width, _ = images.shape
        area = self.smallest + (self.largest - self.smallest) * draws[:, 0]
        ratio = ops.exp((2 * draws[:, 1] - 1) * math.log(2.0))
        inside = rectangle(
            height,
            width,
            ops.sqrt(area * ratio),
            ops.sqrt(area / ratio),
            draws[:, 2],
            draws[:, 3],
        )
        erased = ops.logical_and(inside, draws[:, 4, None, None] < self.probability)
        mean = ops.mean(images, axis=(1, 2), keepdims=True)
        return ops.where(erased[..., None], mean, images)


def rectangle(
    height: int, width: int, tall: Tensor, wide: Tensor, down: Tensor, right: Tensor
) -> Tensor:
    """Mark the pixels of a rectangle that lies within the image.

    Parameters
    ----------
    height, width
        Of the image, in pixels.
    tall, wide
        (batch,), its sides as fractions of the image's; more than 1 counts as 1.
    down, right
        (batch,), its position, from 0 (top, left) to 1 (bottom, right).

    Returns
    -------
    Tensor
        (batch, height, width), bool.
    """

    def span(side: int, share: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        length = ops.round(ops.minimum(share, 1.0) * side)
        start = ops.floor(position * (side - length + 1))
        return start[:, None, None], (start + length)[:, None, None]

    top, bottom = span(height, tall, down)
    left, end = span(width, wide, right)
    rows = ops.cast(pixel_numbers(height)[0], "float32")
    columns = ops.cast(pixel_numbers(width)[1], "float32")
    in_rows = ops.logical_and(rows >= top, rows < bottom)
    return ops.logical_and(in_rows, ops.logical_and(columns >= left, columns < end))
