"""The images below a file or folder, in natural order, and the names of their outputs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellvision import errors
from cellvision.data.files import IMAGE_SUFFIXES, is_phantom
from cellvision.data.folder_walk import walk_folder
from cellvision.data.names import natural_order

from .provenance import GROUPS, MANIFEST
from .unfinished import raise_if_unfinished
from .warnings import warn


@dataclass(frozen=True)
class SourceImage:
    """One image file: its path, and its POSIX path relative to the source folder."""

    path: Path
    name: str

    @property
    def folder(self) -> PurePosixPath:
        """Its sub-folder, usually a class or a split and a class."""
        return PurePosixPath(self.name).parent

    @property
    def stem(self) -> str:
        """Its file name without suffix."""
        return stem_and_suffix(self.path.name)[0]

    @property
    def suffix(self) -> str:
        """Its suffix as written; `.ome.tif` counts as one."""
        return stem_and_suffix(self.path.name)[1]

    @property
    def field(self) -> str:
        """The source image's identity if no table names one: its path without suffix."""
        return (self.folder / self.stem).as_posix()


@dataclass(frozen=True)
class Sources:
    """All images of one source, in natural order, and the folder their names are relative to."""

    root: Path
    images: tuple[SourceImage, ...]


def find_images(source: str | os.PathLike[str]) -> Sources:
    """Find the images of a file or folder without decoding any.

    Raises
    ------
    cellvision.errors.FolderError
        The source is missing or holds no image, or another preparation of it is unfinished.
    """
    path = Path(source)
    if path.is_file():
        sources = Sources(path.parent, (SourceImage(path, path.name),))
    elif path.is_dir():
        images = sorted(_walk(path), key=lambda image: natural_order(image.name))
        sources = Sources(path, tuple(images))
    else:
        raise errors.FolderError(f"{path} does not exist", "Name an image or a folder of images.")
    if not sources.images:
        raise errors.FolderError(
            f"{path} holds no image",
            f"Images are recognised by their suffix: {' '.join(sorted(IMAGE_SUFFIXES))}",
        )
    for image in sources.images:
        try:
            image.name.encode()
        except UnicodeEncodeError as error:
            raise errors.FolderError(
                f"{image.name!r} is not a Unicode file name, so no table can hold it", "Rename it."
            ) from error
    return sources


def output_stems(images: Sequence[SourceImage]) -> dict[str, str]:
    """Give each image a path without suffix, unique among the outputs.

    Normally this is its own path without suffix; `a.png` and `a.tif` in one folder become
    `a_png` and `a_tif`, since both may end as PNG. Names that differ in letter case only count
    as equal, because some file systems ignore case.
    """
    return unique_stems(images, {image.name: image.field for image in images})


def unique_stems(images: Sequence[SourceImage], wishes: dict[str, str]) -> dict[str, str]:
    """Make the wished-for stems unique, by the suffix of their images, then by underscores."""
    uses: dict[str, int] = {}
    for image in images:
        key = wishes[image.name].casefold()
        uses[key] = uses.get(key, 0) + 1
    taken = {stem for stem, count in uses.items() if count == 1}
    stems = {}
    for image in images:
        stem = wishes[image.name]
        if uses[stem.casefold()] > 1:
            stem += "_" + image.suffix.lower().lstrip(".").replace(".", "_")
            while stem.casefold() in taken:
                stem += "_"
            taken.add(stem.casefold())
        stems[image.name] = stem
    return stems


def visible_images(folder: Path) -> set[str]:
    """Return the names of all image files below `folder`, except hidden and system files."""
    return {
        path.relative_to(folder).as_posix()
        for path in _files(folder)
        if path.suffix.lower() in IMAGE_SUFFIXES
    }


def stem_and_suffix(name: str) -> tuple[str, str]:
    """Split a file name; `.ome.tif` counts as one suffix."""
    match = re.fullmatch(r"(.+?)((?:\.ome)?\.[^.]*)", name, flags=re.IGNORECASE | re.DOTALL)
    return (match[1], match[2]) if match else (name, "")


def _walk(root: Path) -> Iterator[SourceImage]:
    raise_if_unfinished(root)
    checked = {root}
    others: list[str] = []
    for path in _files(root):
        if path.parent not in checked:
            raise_if_unfinished(path.parent)
            checked.add(path.parent)
        name = path.relative_to(root).as_posix()
        if name in (MANIFEST, GROUPS):
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            yield SourceImage(path, name)
        else:
            others.append(name)
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        warn(f"skipped, not an image by its suffix: {', '.join(sorted(others)[:3])}{more}")


def _files(folder: Path) -> Iterator[Path]:
    """Yield every file except phantoms; links to folders are followed."""

    def is_visible(entry: os.DirEntry[str]) -> bool:
        return not is_phantom(Path(entry.name))

    for entry in walk_folder(folder, order=str, enter=is_visible):
        if not entry.reason and not is_phantom(Path(entry.parts[-1])):
            yield entry.path
