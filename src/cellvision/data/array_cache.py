"""Arrays on disk, such as features and the images of controls: computed once, memory-mapped.

One file per key, beside the cached pixels: a NumPy array (``.npy``) and, behind it, a checksum of
its bytes. It appears whole or not at all. A file that does not match its checksum or the expected
shape is computed again.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cellvision import atomic_io, errors
from cellvision.data.cache_space import raise_if_full, remove_abandoned
from cellvision.user_folders import cache_folder

_TRAILER = 12
"""Bytes behind the array: ``cv1`` with a line break, then the checksum in eight hex digits."""

_log = logging.getLogger(__name__)


def array_file(shelf: str, key: str) -> Path:
    """Path of the array with a key on a shelf of the cache, whether it exists or not."""
    return cache_folder() / shelf / f"{key}.npy"


def open_array(
    shelf: str,
    key: str,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    compute: Callable[[np.ndarray], None],
) -> np.ndarray:
    """Open an array, computing it if the cache does not hold it.

    Parameters
    ----------
    shelf
        Folder in the cache for arrays of this kind, such as ``features``.
    key
        Names all that the array depends on.
    shape, dtype
        Its shape and dtype.
    compute
        Fills an array of that shape and dtype.

    Returns
    -------
    numpy.ndarray
        Memory-mapped and read-only.

    Raises
    ------
    errors.FolderError
        The cache cannot be written, or has too little space.
    """
    path = array_file(shelf, key)
    array = _open(path, shape, dtype)
    if array is not None:
        return array
    raise_if_full(path.parent, math.prod(shape) * dtype.itemsize)
    try:
        _write(path, shape, dtype, compute)
    except OSError as error:
        if isinstance(error, errors.CellvisionError):
            raise
        raise errors.FolderError(
            f"{path.parent}: cannot be written: {error.strerror or error}",
            "Free some space or grant write permission, or set CELLVISION_CACHE to another folder",
        ) from error
    array = _open(path, shape, dtype)
    if array is None:
        raise errors.CellvisionError(
            f"{path} cannot be read back",
            "The disk may be failing; set CELLVISION_CACHE to another folder",
        )
    return array


def _write(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    compute: Callable[[np.ndarray], None],
) -> None:
    remove_abandoned(path.parent)
    with atomic_io.path(path) as temporary:
        if 0 in shape:
            np.save(temporary, np.zeros(shape, dtype))
        else:
            target = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
            compute(target)
            target.flush()
            del target
        checksum = _checksum(temporary, temporary.stat().st_size)
        with temporary.open("ab") as file:
            file.write(b"cv1\n" + f"{checksum:08x}".encode())


def _open(path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> np.ndarray | None:
    try:
        size = path.stat().st_size - _TRAILER
        with path.open("rb") as file:
            file.seek(max(0, size))
            trailer = file.read()
        if trailer != b"cv1\n" + f"{_checksum(path, size):08x}".encode():
            raise ValueError("the checksum does not match")
        array: np.ndarray = np.load(path, mmap_mode=None if 0 in shape else "r")
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"it holds {array.shape}, {array.dtype}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # noqa: BLE001 - the file may hold anything
        _log.warning("%s is damaged and is computed again: %s", path, errors.summarize(error))
        return None
    return array


def _checksum(path: Path, size: int) -> int:
    """CRC-32 of the first bytes of a file."""
    checksum = 0
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, 2**22))):
            checksum = zlib.crc32(block, checksum)
            size -= len(block)
    return checksum
