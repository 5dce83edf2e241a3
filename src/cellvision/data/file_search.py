"""Find the image files below a folder, whatever its layout: to predict or to label them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
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

MAX_FOLDER_DEPTH = 100
"""Folders below this depth are not searched; nobody nests images so deeply."""


class FolderVisits:
    """Decides which folders a search enters, so that links cannot make it endless.

    Links are followed. Not entered are a folder within itself and, within a linked folder, a link
    to a folder that was entered before: folders that all link to each other have more paths than
    anybody can list.
    """

    def __init__(self) -> None:
        self._entered: set[tuple[int, int]] = set()

    def enter(self, folder: Path, above: Trail) -> Trail | None:
        """Return the trail of what is in a folder; None if it is not to be entered.

        Parameters
        ----------
        folder
            The folder.
        above
            The trail of the folder that holds it; `NO_TRAIL` for the root.

        Raises
        ------
        OSError
            It cannot be looked at.
        """
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        is_link = bool(above.folders) and folder.is_symlink()
        again = is_link and above.is_linked and identity in self._entered
        if again or identity in above.folders or len(above.folders) > MAX_FOLDER_DEPTH:
            return None
        self._entered.add(identity)
        return Trail(above.folders | {identity}, above.is_linked or is_link)


@dataclass(frozen=True)
class Trail:
    """The folders from the root to a file, and whether one of them was entered through a link."""

    folders: frozenset[tuple[int, int]] = frozenset()
    is_linked: bool = False


NO_TRAIL = Trail()


def walk_files(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the files below a folder, and whether each is an image.

    Linked folders are searched too. Hidden files and folders and provenance tables are left out.
    A file without a known suffix is an image if it begins like one.

    Raises
    ------
    errors.FolderError
        A folder cannot be listed.
    """
    return _walk(folder, NO_TRAIL, FolderVisits())


def printable(path: Path) -> str:
    """Return a path as text that can be written as UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _walk(folder: Path, above: Trail, visits: FolderVisits) -> Iterator[tuple[Path, bool]]:
    try:
        trail = visits.enter(folder, above)
        if trail is None:
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
            yield from _walk(path, trail, visits)
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
