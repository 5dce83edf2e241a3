"""Memory for batches that is reused once nothing refers to it any more.

Fresh memory comes from the system page by page. For a batch of 20 images of 256×256×3 that takes
longer than copying the pixels.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import DTypeLike

_ALIGNMENT = 64
"""Bytes; TensorFlow and JAX use arrays that start at a multiple of this without a copy."""


def _references(buffers: list[np.ndarray], number: int) -> int:
    return sys.getrefcount(buffers[number])


_UNUSED = _references([np.empty(0)], 0)
"""Reference count of memory that only a list refers to; versions of Python count differently."""


class BufferPool:
    """Provides arrays that reuse the memory of earlier ones if those and all their views are gone.

    Every array and every view of it holds a reference to its memory, in Python or elsewhere, so
    memory that can still be read is never overwritten.

    Examples
    --------
    >>> pool = BufferPool()
    >>> first = pool.array((2, 3), "uint8")
    >>> address = first.ctypes.data
    >>> pool.array((2, 3), "uint8").ctypes.data == address
    False
    >>> del first
    >>> pool.array((2, 3), "uint8").ctypes.data == address
    True
    """

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """Return an array with arbitrary content."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        buffer = self._unused(size + _ALIGNMENT)
        start = -buffer.ctypes.data % _ALIGNMENT
        return buffer[start : start + size].view(dtype).reshape(shape)

    def _unused(self, size: int) -> np.ndarray:
        for number in range(len(self._buffers)):
            if self._buffers[number].size == size and _references(self._buffers, number) == _UNUSED:
                return self._buffers[number]
        buffer = np.empty(size, np.uint8)
        self._buffers.append(buffer)
        return buffer
