"""Features on disk: computed once, memory-mapped, in a file that appears whole or not at all.

One file per key, beside the cached pixels: a NumPy array (``.npy``) and, behind it, a checksum of
its bytes. A file that does not match its checksum or the expected shape is computed again.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cellvision import atomic_io, errors
from cellvision.data.cache_space import remove_abandoned
from cellvision.user_folders import cache_folder

_TRAILER = 12
"""Bytes behind the array: ``cv1`` with a line break, then the checksum in eight hex digits."""

_log = logging.getLogger(__name__)


def feature_file(key: str) -> Path:
    """Path of the features with a key, whether they exist or not."""
    return cache_folder() / "features" / f"{key}.npy"


def open_features(
    key: str, shape: tuple[int, ...], compute: Callable[[np.ndarray], None]
) -> np.ndarray:
    """Open features, computing them if the cache does not hold them.

    Parameters
    ----------
    key
        Names all that the features depend on.
    shape
        Their shape.
    compute
        Fills a float32 array of that shape.

    Returns
    -------
    numpy.ndarray
        float32, memory-mapped and read-only.

    Raises
    ------
    errors.FolderError
        The cache cannot be written.
    """
    path = feature_file(key)
    features = _open(path, shape)
    if features is not None:
        return features
    try:
        _write(path, shape, compute)
    except OSError as error:
        raise errors.FolderError(
            f"{cache_folder()}: the features cannot be written: {error.strerror or error}",
            "Free some space or grant write permission, or set CELLVISION_CACHE to another folder",
        ) from error
    features = _open(path, shape)
    if features is None:
        raise errors.CellvisionError(
            f"{path}: the cached features cannot be read back",
            "The disk may be failing; set CELLVISION_CACHE to another folder",
        )
    return features


def _write(path: Path, shape: tuple[int, ...], compute: Callable[[np.ndarray], None]) -> None:
    remove_abandoned(path.parent)
    with atomic_io.path(path) as temporary:
        if 0 in shape:
            np.save(temporary, np.zeros(shape, np.float32))
        else:
            target = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
            compute(target)
            target.flush()
            del target
        checksum = _checksum(temporary, temporary.stat().st_size)
        with temporary.open("ab") as file:
            file.write(b"cv1\n" + f"{checksum:08x}".encode())


def _open(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        size = path.stat().st_size - _TRAILER
        with path.open("rb") as file:
            file.seek(max(0, size))
            trailer = file.read()
        if trailer != b"cv1\n" + f"{_checksum(path, size):08x}".encode():
            raise ValueError("the checksum does not match")
        features = np.load(path, mmap_mode=None if 0 in shape else "r")
        if features.shape != shape or features.dtype != np.float32:
            raise ValueError(f"it holds {features.shape}, {features.dtype}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # noqa: BLE001 - the file may hold anything
        _log.warning("%s is damaged and is computed again: %s", path, errors.summarize(error))
        return None
    opened: np.ndarray = features
    return opened


def _checksum(path: Path, size: int) -> int:
    """CRC-32 of the first bytes of a file."""
    checksum = 0
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, 2**22))):
            checksum = zlib.crc32(block, checksum)
            size -= len(block)
    return checksum
