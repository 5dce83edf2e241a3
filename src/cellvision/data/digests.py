"""Digests that identify pixels and files, in one place for all of cellvision."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np


def pixel_digest(pixels: np.ndarray) -> str:
    """Return the SHA-256 of an image's shape, dtype and values, in hexadecimal.

    Equal for images of equal shape, dtype and values, whatever their memory layout.
    """
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype.str} ".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
