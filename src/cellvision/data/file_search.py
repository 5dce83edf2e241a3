"""Find the image files below a folder, whatever its layout: to predict or to label them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from cellvision.data.files import IMAGE_SUFFIXES, is_phantom
from cellvision.data.folder_walk import WalkedPath, walk_folder
from cellvision.data.image_magic import begins_like_an_image

PROVENANCE_TABLES = frozenset({"groups.csv", "manifest.csv"})
"""Tables beside images: no images, and no reason for a warning."""


def walk_files(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the files below a folder, and whether each is an image.

    Linked folders are searched too. Hidden files and folders and provenance tables are left out.
    A file without a known suffix is an image if it begins like one.

    Raises
    ------
    errors.FolderError
        A folder cannot be listed.
    """
    for entry in walk_folder(folder, order=str, enter=_is_visible):
        if not entry.reason and _is_listed(entry.parts[-1]):
            yield entry.path, _is_image(entry)


def _is_visible(entry: os.DirEntry[str]) -> bool:
    return _is_listed(entry.name)


def _is_listed(name: str) -> bool:
    return not is_phantom(Path(name)) and name not in PROVENANCE_TABLES


def _is_image(entry: WalkedPath) -> bool:
    path = entry.path
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return entry.is_file or entry.is_link  # reading a broken link says what is wrong
    if not entry.is_file or any(part.suffix.lower() == ".zarr" for part in path.parents):
        return False  # the thousands of chunks of a Zarr are not opened
    return begins_like_an_image(path)
