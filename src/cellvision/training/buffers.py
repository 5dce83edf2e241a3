"""BufferPool for batches, used again once nobody looks at it any more.

Fresh memory comes from the system page by page: for a batch of 20 images of 256×256×3 that takes
longer than copying the pixels, on the processors that train.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import DTypeLike

_ALIGNED = 64
"""Bytes: where arrays begin at a multiple of it, TensorFlow and JAX need no copy of their own."""


def _references(rooms: list[np.ndarray], number: int) -> int:
    return sys.getrefcount(rooms[number])


_UNUSED = _references([np.empty(0)], 0)
"""What is counted where only a list refers to memory: versions of Python count differently."""


class BufferPool:
    """Gives arrays, in memory of former ones where those and all views of them are gone.

    Whoever is given an array, or makes a view of it, refers to its memory, in Python or not. So
    nothing is ever written over that somebody may still read.

    Examples
    --------
    >>> memory = BufferPool()
    >>> first = memory.array((2, 3), "uint8")
    >>> place = first.ctypes.data
    >>> memory.array((2, 3), "uint8").ctypes.data == place
    False
    >>> del first
    >>> memory.array((2, 3), "uint8").ctypes.data == place
    True
    """

    def __init__(self) -> None:
        self._held: list[np.ndarray] = []

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """Give an array; what is in it is left over."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        room = self._unused(size + _ALIGNED)
        start = -room.ctypes.data % _ALIGNED
        return room[start : start + size].view(dtype).reshape(shape)

    def _unused(self, size: int) -> np.ndarray:
        for number in range(len(self._held)):
            if self._held[number].size == size and _references(self._held, number) == _UNUSED:
                return self._held[number]
        room = np.empty(size, np.uint8)
        self._held.append(room)
        return room
