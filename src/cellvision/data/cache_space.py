"""Space in the cache: remove what killed processes left, and refuse images that are too large."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.plurals import byte_size, counted

if TYPE_CHECKING:
    from cellvision.data.preprocessing import Preprocessing

_LARGEST_IMAGE = 2**28
"""Bytes of a prepared image: 16,384 × 16,384 samples, of which the first layer of a network already
makes tens of gigabytes."""

_ABANDONED = 3600.0
"""Age in seconds after which an unfinished file or folder counts as abandoned. A process at work
writes to it with every image, batch or file."""


def remove_abandoned(shelf: Path) -> None:
    """Remove the hidden files and folders in which killed processes prepared entries of the cache.

    Parameters
    ----------
    shelf
        A folder of the cache, which need not exist, with entries that `cellvision.atomic_io`
        writes. Those of processes at work stay.
    """
    for path in shelf.glob(".*"):
        with suppress(OSError):  # another process was faster, or the cache is read-only
            written = max(each.stat().st_mtime for each in (path, *path.rglob("*")))
            if time.time() - written < _ABANDONED:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def raise_if_too_large(preprocessing: Preprocessing, images: int, folder: Path) -> None:
    """Refuse images that are too large to prepare, before the first one is decoded.

    The estimate is low: one byte per sample, and one channel where grey images are repeated.

    Parameters
    ----------
    preprocessing
        Size and channels of the prepared images.
    images
        Their number.
    folder
        Folder of the cache; it need not exist.

    Raises
    ------
    errors.PreprocessingError
        One image, or all of them together, are too large.
    """
    height, width = preprocessing.size
    size = f"preprocessing.size is [{height},{width}]: "
    depth = 1 if preprocessing.channels == "rgb" else preprocessing.depth
    each = height * width * depth
    hint = "Choose a smaller preprocessing.size, or cut images into tiles: cellvision prepare slice"
    if each > _LARGEST_IMAGE:
        raise errors.PreprocessingError(
            f"{size}an image of {byte_size(each)} is more than can be trained on", hint
        )
    free = _free_space(folder)
    if each * images > free:
        raise errors.PreprocessingError(
            f"{size}{counted(images, 'image', 'takes')} at least {byte_size(each * images)}, but "
            f"{byte_size(free)} are free in the cache {folder}",
            f"Free some space, or set CELLVISION_CACHE to a folder with more space. Or: {hint}",
        )


def raise_if_full(folder: Path, needed: int) -> None:
    """Refuse to write more into the cache than there is space.

    Parameters
    ----------
    folder
        Folder of the cache; it need not exist.
    needed
        Bytes to write.

    Raises
    ------
    errors.FolderError
        The disk has less space.
    """
    remove_abandoned(folder)
    free = _free_space(folder)
    if needed > free:
        raise errors.FolderError(
            f"{folder}: {byte_size(needed)} are to be written, but {byte_size(free)} are free",
            "Free some space, set CELLVISION_CACHE to another folder, or choose a smaller "
            "preprocessing.size",
        )


def _free_space(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
