"""Layers that move pixels: each says from where a new pixel is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from cellvision_augmenters.layers.base import RandomLayer, Tensor, pixel_numbers


class SamplingLayer(RandomLayer):
    """Takes each new pixel from somewhere in the old image.

    Parameters
    ----------
    seed, draws
        As for `RandomLayer`.
    fill_mode
        What lies outside an image: "reflect" (the image mirrored at its edge), "nearest" (the
        nearest pixel of the edge) or "constant" (0).
    """

    def __init__(self, seed: int, draws: int, fill_mode: str, **kwargs: Any) -> None:
        super().__init__(seed, draws, **kwargs)
        self.fill_mode = fill_mode

    def pick(self, images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Take pixels at whole positions from each image; the fill mode gives those outside.

        Parameters
        ----------
        images
            (batch, height, width, channels).
        rows, columns
            int32; they broadcast to (batch, height, width).
        """
        batch, height, width, channels = shape = ops.shape(images)
        size = height * width
        rows = ops.broadcast_to(rows, (batch, *rows.shape[1:]))
        if self.fill_mode == "constant":
            # A frame of zeros stands for everything outside.
            images = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
            rows, columns, height, width = rows + 1, columns + 1, height + 2, width + 2
        position = self.inside(rows, height) * width + self.inside(columns, width)
        picked = ops.take_along_axis(
            ops.reshape(images, (batch, height * width, channels)),
            ops.reshape(position, (batch, size, 1)),
            axis=1,
        )
        return ops.reshape(picked, shape)

    def interpolate(self, images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Take pixels at fractional positions, as the weighted mean of the four around them.

        Parameters
        ----------
        images
            (batch, height, width, channels).
        rows, columns
            float32, (batch, height, width).
        """
        above, before = ops.floor(rows), ops.floor(columns)
        below_weight, after_weight = (rows - above)[..., None], (columns - before)[..., None]
        row, column = ops.cast(above, "int32"), ops.cast(before, "int32")
        upper = self.pick(images, row, column) * (1 - after_weight)
        upper += self.pick(images, row, column + 1) * after_weight
        lower = self.pick(images, row + 1, column) * (1 - after_weight)
        lower += self.pick(images, row + 1, column + 1) * after_weight
        return upper * (1 - below_weight) + lower * below_weight

    def inside(self, position: Tensor, side: int) -> Tensor:
        """Map rows or columns outside the image to 0 .. side - 1."""
        if self.fill_mode == "reflect":
            position = ops.mod(position, 2 * side)
            return ops.where(position < side, position, 2 * side - 1 - position)
        return ops.clip(position, 0, side - 1)


class RotationLayer(SamplingLayer):
    """Turns each image about its centre by up to `radians` either way."""

    def __init__(
        self, radians: float, interpolation: str, fill_mode: str, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(seed, draws=1, fill_mode=fill_mode, **kwargs)
        self.radians = radians
        self.interpolation = interpolation

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Take each pixel from where the rotation brings it from."""
        _, height, width, _ = ops.shape(images)
        middle_row = (ops.cast(height, "float32") - 1) / 2
        middle_column = (ops.cast(width, "float32") - 1) / 2
        angle = (2 * draws[:, :, None] - 1) * self.radians
        cosine, sine = ops.cos(angle), ops.sin(angle)
        down = ops.cast(pixel_numbers(height)[0], "float32") - middle_row
        right = ops.cast(pixel_numbers(width)[1], "float32") - middle_column
        rows = sine * right + cosine * down + middle_row
        columns = cosine * right - sine * down + middle_column
        if self.interpolation == "bilinear":
            return self.interpolate(images, rows, columns)
        return self.pick(
            images, ops.cast(ops.round(rows), "int32"), ops.cast(ops.round(columns), "int32")
        )


class ZoomLayer(SamplingLayer):
    """Shows a window of each image, or more than the image, at its full size.

    Parameters
    ----------
    least, most
        The factor by which the image grows, drawn on a logarithmic scale.
    """

    def __init__(self, least: float, most: float, fill_mode: str, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, draws=3, fill_mode=fill_mode, **kwargs)
        self.least = least
        self.most = most

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Take each pixel from its place in the window."""
        _, height, width, _ = images.shape
        step = (1 / self.most) * (self.most / self.least) ** draws[:, 0, None, None]
        rows, columns = (
            # The distance of the outer pixels' centres, so that a factor of 1 changes nothing.
            (side - 1) * (1 - step) * draws[:, axis + 1, None, None]
            + step * ops.cast(pixel_numbers(side)[axis], "float32")
            for axis, side in enumerate((height, width))
        )
        rows = ops.broadcast_to(rows, (ops.shape(images)[0], height, 1))
        return self.interpolate(images, rows, columns)


class ElasticLayer(SamplingLayer):
    """Bends each image by a smooth random field.

    Random displacements of up to `distance` (a fraction of the longer side) at the knots of a
    `grid` × `grid` lattice are joined by cubic B-splines, which never exceed them.
    """

    def __init__(
        self, distance: float, grid: int, fill_mode: str, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(seed, draws=2 * grid * grid, fill_mode=fill_mode, **kwargs)
        self.distance = distance
        self.grid = grid

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Take each pixel from its displaced position."""
        _, height, width, _ = images.shape
        pixels = self.distance * max(height, width)
        knots = ops.reshape((2 * draws - 1) * pixels, (-1, 2, self.grid, self.grid))
        field = ops.matmul(
            ops.matmul(spline_weights(height, self.grid), knots),
            spline_weights(width, self.grid).T,
        )
        rows = ops.cast(pixel_numbers(height)[0], "float32") + field[:, 0]
        columns = ops.cast(pixel_numbers(width)[1], "float32") + field[:, 1]
        return self.interpolate(images, rows, columns)


def spline_weights(side: int, knots: int) -> np.ndarray:
    """Weigh `knots` evenly spaced values for each pixel of a side, by cubic B-splines.

    Returns
    -------
    numpy.ndarray
        (side, knots), float32, at least 0; each row sums to 1. The first and last knot continue
        beyond the edges.
    """
    position = np.linspace(0, knots - 1, side)
    first = np.minimum(np.floor(position).astype(int), knots - 1)
    t = position - first
    cubics = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((side, knots), np.float32)
    for offset, cubic in enumerate(cubics, start=-1):
        np.add.at(weights, (np.arange(side), np.clip(first + offset, 0, knots - 1)), cubic / 6)
    return weights


class TranslationLayer(SamplingLayer):
    """Moves each image by whole pixels.

    Parameters
    ----------
    height, width
        The farthest move: a number of pixels where it is an int, a fraction of the side where
        it is a float.
    """

    def __init__(
        self, height: float, width: float, fill_mode: str, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(seed, draws=2, fill_mode=fill_mode, **kwargs)
        self.farthest = (height, width)

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Take each pixel from where the move brings it from."""
        _, height, width, _ = ops.shape(images)
        down, right = (
            self.distance(draws[:, axis, None, None], side, self.farthest[axis])
            for axis, side in enumerate((height, width))
        )
        return self.pick(images, pixel_numbers(height)[0] - down, pixel_numbers(width)[1] - right)

    def distance(self, draw: Tensor, side: int, farthest: float) -> Tensor:
        """Draw a whole number of pixels, uniformly from -most to most."""
        most = ops.cast(farthest, "float32")
        if isinstance(farthest, float):
            most = ops.floor(ops.cast(side, "float32") * farthest)
        return ops.cast(ops.floor(draw * (2 * most + 1)) - most, "int32")


class FlipLayer(RandomLayer):
    """Mirrors each image, with probability one half in each direction that is enabled."""

    def __init__(self, *, horizontal: bool, vertical: bool, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, draws=2, **kwargs)
        self.horizontal = horizontal
        self.vertical = vertical

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Choose between each image and its mirror image."""
        mirrored = draws[:, :, None, None, None] < 0.5
        if self.vertical:
            images = ops.where(mirrored[:, 0], ops.flip(images, axis=1), images)
        if self.horizontal:
            images = ops.where(mirrored[:, 1], ops.flip(images, axis=2), images)
        return images


class DihedralLayer(RandomLayer):
    """Gives each image one of its eight orientations, or of four where it is not square.

    Parameters
    ----------
    mirror
        Whether to show mirror images.
    quarter_turns
        Whether rows may become columns.
    """

    def __init__(self, *, mirror: bool, quarter_turns: bool, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, draws=3, **kwargs)
        self.mirror = mirror
        self.quarter_turns = quarter_turns

    def change(self, images: Tensor, draws: Tensor) -> Tensor:
        """Mirror rows, mirror columns and swap both, each with probability one half."""
        chosen = draws[:, :, None, None, None] < 0.5
        swaps = self.quarter_turns and images.shape[1] == images.shape[2]
        rows, columns, swapped = chosen[:, 0], chosen[:, 1], chosen[:, 2]
        if not self.mirror:  # a turn mirrors twice, or not at all
            columns = ops.logical_xor(rows, swapped) if swaps else rows
        images = ops.where(rows, ops.flip(images, axis=1), images)
        images = ops.where(columns, ops.flip(images, axis=2), images)
        return ops.where(swapped, ops.swapaxes(images, 1, 2), images) if swaps else images
