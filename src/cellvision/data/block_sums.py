"""Sums of an image's samples in 10 by 10 blocks: one pass for its sketch and its channel means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

SIDE = 10
"""Blocks along each axis; an axis with fewer pixels has one block for each."""

_GATHERED = 2**20
"""Images of at most this many samples are summed by one call. The threads that decode take turns
at Python's lock in every call, so that ten calls for ten bands of rows would take longer."""

_MAX_ROW = 2**20
"""Longer rows, in samples, are summed block by block to limit memory."""


@dataclass(frozen=True, eq=False)
class BlockSums:
    """The samples of an image, summed in blocks.

    Attributes
    ----------
    sums : numpy.ndarray
        Shape (rows, columns, channels), float64; at most `SIDE` rows and columns of blocks. Exact
        for integers of up to 32 bits.
    areas : numpy.ndarray
        Shape (rows, columns): pixels of each block.
    """

    sums: np.ndarray
    areas: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> BlockSums:
        """Sum the pixels of an image.

        An image of up to a million samples is copied; larger ones need memory for ten rows.

        Parameters
        ----------
        pixels
            Shape (height, width, channels), any dtype, finite.
        """
        height, width, channels = pixels.shape
        rows, columns, areas = _blocks(height, width)
        if width * channels > _MAX_ROW:
            sums = [
                [_channel_sums(pixels[top:end, left:right]) for left, right in pairwise(columns)]
                for top, end in pairwise(rows)
            ]
            return cls(np.array(sums), areas)
        lines = _lines(pixels, rows)
        return cls(np.add.reduceat(lines, columns[:-1], axis=1, dtype=np.float64), areas)

    @property
    def block_means(self) -> np.ndarray:
        """Mean of all samples of each block, shape (rows, columns)."""
        means: np.ndarray = self.sums.sum(axis=2) / (self.areas * self.sums.shape[2])
        return means

    @property
    def channel_means(self) -> np.ndarray:
        """Mean of each channel, shape (channels,)."""
        means: np.ndarray = self.sums.sum(axis=(0, 1)) / self.areas.sum()
        return means


@lru_cache(maxsize=64)
def _blocks(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the edges of the blocks along both axes, and the pixels of each block."""
    rows, columns = _edges(height), _edges(width)
    return rows, columns, np.outer(np.diff(rows), np.diff(columns))


def _edges(length: int) -> np.ndarray:
    """Return the edges that divide a length into blocks of whole pixels."""
    count = min(SIDE, length)
    edges: np.ndarray = np.floor(np.arange(count + 1) * (length / count) + 0.5)
    return edges.astype(np.intp)


def _lines(pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Sum the rows of each band of blocks, shape (bands, width, channels)."""
    _, width, channels = pixels.shape
    tallest = int(np.diff(rows).max())
    dtype = _sum_dtype(pixels.dtype, tallest)
    if pixels.size <= _GATHERED:
        members, is_shorter = _members(len(pixels))
        bands = pixels.take(members, axis=0)
        bands[is_shorter, -1] = 0
        lines: np.ndarray = np.add.reduce(bands, axis=1, dtype=dtype)
        return lines
    lines = np.empty((len(rows) - 1, width, channels), dtype)
    for (top, end), line in zip(pairwise(rows), lines, strict=True):
        np.add.reduce(pixels[top:end], axis=0, dtype=dtype, out=line)
    return lines


@lru_cache(maxsize=64)
def _members(height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of each band, as many for each, and which bands have one row less."""
    rows = _edges(height)
    sizes = np.diff(rows)
    members = rows[:-1, np.newaxis] + np.arange(sizes.max())
    return np.minimum(members, height - 1), sizes < sizes.max()


def _channel_sums(block: np.ndarray) -> np.ndarray:
    lines = block.sum(axis=0, dtype=_sum_dtype(block.dtype, len(block)))
    sums: np.ndarray = lines.sum(axis=0, dtype=np.float64)
    return sums


def _sum_dtype(dtype: np.dtype[Any], rows: int) -> type[np.number[Any]]:
    """Return the smallest type that holds the sum of `rows` values: exact for such integers.

    Sums of small integers as floats take ten times as long.
    """
    if dtype.kind in "bu" and dtype.itemsize <= 2:
        largest = rows * (2 ** (8 * dtype.itemsize) - 1)
        return np.uint16 if largest < 2**16 else np.uint32 if largest < 2**32 else np.uint64
    return np.float64
