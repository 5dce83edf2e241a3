"""Refuse sizes of images that neither memory nor the disk of the cache can hold."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.plurals import counted

if TYPE_CHECKING:
    from cellvision.data.preprocessing import Preprocessing

_LARGEST_IMAGE = 2**28
"""Bytes of a prepared image: 16,384 × 16,384 samples, of which the first layer of a network already
makes tens of gigabytes."""


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
            f"{size}an image of {_gigabytes(each)} is more than can be trained on", hint
        )
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if each * images > free:
        raise errors.PreprocessingError(
            f"{size}{counted(images, 'image', 'takes')} at least {_gigabytes(each * images)}, but "
            f"{_gigabytes(free)} are free in the cache {folder}",
            f"{hint}. Or set CELLVISION_CACHE to a folder with more space",
        )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
