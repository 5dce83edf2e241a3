"""Find the image files below a folder, whatever its layout: to predict or to label them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from cellvision import errors
from cellvision.data.files import IMAGE_SUFFIXES, is_phantom

PROVENANCE_TABLES = frozenset({"groups.csv", "manifest.csv"})
"""Tables beside images: no images, and no reason for a warning."""

_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|8BPS|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|BM.{12}[\x0c\x28\x6c\x7c]\0\0\0|P[1-6]\s+(?:#.*\s+)?\d+\s+\d+\s|\0\0\0\x0cjP  "
    rb"|....ftyp(?:avif|hei)|ZISRAWFILE|\xda\xce\xbe\x0a",
    re.DOTALL,
)
"""First bytes of common image formats, for files whose suffix says nothing."""


def walk_files(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the files below a folder, and whether each is an image.

    Linked folders are searched too. Hidden files and folders and provenance tables are left out.
    A file without a known suffix is an image if it begins like one.

    Raises
    ------
    errors.FolderError
        A folder cannot be listed.
    """
    return _walk(folder, frozenset())


def printable(path: Path) -> str:
    """Return a path as text that can be written as UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _walk(folder: Path, ancestors: frozenset[tuple[int, int]]) -> Iterator[tuple[Path, bool]]:
    try:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in ancestors:  # a link back to a folder above
            return
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise errors.FolderError(
            f"{printable(folder)}: cannot be listed: {error.strerror}", "Change its permissions."
        ) from error
    for path in paths:
        if is_phantom(path) or path.name in PROVENANCE_TABLES:
            continue
        if path.is_dir():
            yield from _walk(path, ancestors | {identity})
        else:
            yield path, _is_image(path)


def _is_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return path.is_file() or path.is_symlink()  # reading a broken link says what is wrong
    if not path.is_file() or any(part.suffix.lower() == ".zarr" for part in path.parents):
        return False  # the thousands of chunks of a Zarr are not opened
    try:
        with path.open("rb") as file:
            return _MAGIC.match(file.read(64)) is not None
    except OSError:
        return False
