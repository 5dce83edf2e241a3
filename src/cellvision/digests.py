"""Digests that identify pixels and files, in one place for all of cellvision."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_BLOCK_BYTES = 2**20
"""Pixels are copied in blocks of this size, so that temporary arrays stay small."""

_FIRST_BYTES = 2**16
"""Read first: most files are smaller, and memory for a whole block takes longer to allocate."""


def pixel_digest(pixels: np.ndarray) -> str:
    """Return the SHA-256 of an image's shape, dtype and values, in hexadecimal.

    Equal for images of equal shape, dtype and values, whatever their memory layout.
    """
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype.str} ".encode())
    if pixels.flags.c_contiguous:
        digest.update(pixels.data)
    else:
        rows = max(1, _BLOCK_BYTES // max(1, pixels[:1].nbytes))
        for start in range(0, len(pixels), rows):
            digest.update(pixels[start : start + rows].tobytes())
    return digest.hexdigest()


def native_digest(pixels: np.ndarray) -> str:
    """Return the digest of pixels of any byte order, as that of the native order."""
    native = pixels if pixels.dtype.isnative else pixels.astype(pixels.dtype.newbyteorder("="))
    return pixel_digest(native)


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    OSError
        The file cannot be read, or it is a pipe or device, which would be waited for.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - as below
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - Path.open takes twice as long
        digest = hashlib.sha256(file.read(_FIRST_BYTES))
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()
