"""The images below a file or folder, their order and their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellvision import errors
from cellvision.data.files import IMAGE_SUFFIXES, is_phantom

from .provenance import GROUPS, MANIFEST
from .warnings import warn

# Records that prepare keeps in a folder while (and after) it works there.
WORK_RECORD = ".prepare.jsonl"
RENAME_RECORD = ".number.json"


@dataclass(frozen=True)
class SourceImage:
    """One image file: where it lies, and its POSIX path relative to the source folder."""

    path: Path
    name: str

    @property
    def folder(self) -> PurePosixPath:
        """Its sub-folder, usually a class or a split and a class."""
        return PurePosixPath(self.name).parent

    @property
    def stem(self) -> str:
        """Its file name without suffix."""
        return _stem_and_suffix(self.path.name)[0]

    @property
    def suffix(self) -> str:
        """Its suffix as written; `.ome.tif` counts as one."""
        return _stem_and_suffix(self.path.name)[1]

    @property
    def field(self) -> str:
        """What identifies it where no table says better: its path without suffix."""
        return (self.folder / self.stem).as_posix()


@dataclass(frozen=True)
class Sources:
    """All images of one source, in natural order, and the folder their names refer to."""

    root: Path
    images: tuple[SourceImage, ...]


def find_images(source: str | os.PathLike[str]) -> Sources:
    """Find the images of a file or folder; nothing is decoded.

    Raises
    ------
    cellvision.errors.FolderError
        The source is missing, holds no image, or is in the middle of another preparation.
    """
    path = Path(source)
    if path.is_file():
        sources = Sources(path.parent, (SourceImage(path, path.name),))
    elif path.is_dir():
        _refuse_unfinished(path)
        found = sorted(_walk(path), key=lambda image: _natural(image.name))
        sources = Sources(path, tuple(found))
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
        except UnicodeEncodeError as fault:
            raise errors.FolderError(
                f"{image.name!r} is no Unicode file name, so no table can hold it", "Rename it."
            ) from fault
    return sources


def output_stems(images: Sequence[SourceImage]) -> dict[str, str]:
    """Give each image a path without suffix under which its results never meet another's.

    Normally its own path without suffix; `a.png` and `a.tif` in one folder become `a_png`
    and `a_tif`, since both may end as PNG. Letter case does not tell names apart: some file
    systems ignore it.
    """
    uses: dict[str, int] = {}
    for image in images:
        uses[image.field.casefold()] = uses.get(image.field.casefold(), 0) + 1
    taken = {stem for stem, count in uses.items() if count == 1}
    stems = {}
    for image in images:
        stem = image.field
        if uses[stem.casefold()] > 1:
            stem += "_" + image.suffix.lower().lstrip(".").replace(".", "_")
            while stem.casefold() in taken:
                stem += "_"
            taken.add(stem.casefold())
        stems[image.name] = stem
    return stems


def visible_images(folder: Path) -> set[str]:
    """Names of all image files below `folder`, phantoms and hidden files aside."""
    return {image.name for image in _walk(folder, quiet=True)}


def _walk(root: Path, *, quiet: bool = False) -> Iterator[SourceImage]:
    others: list[str] = []
    for path in _files(root):
        name = path.relative_to(root).as_posix()
        if name in (MANIFEST, GROUPS):
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            yield SourceImage(path, name)
        else:
            others.append(name)
    if others and not quiet:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        warn(f"passed over, not an image by its suffix: {', '.join(sorted(others)[:3])}{more}")


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every file but phantoms; a class may be a link to a folder, a link upwards is no loop."""
    here = folder.resolve()
    if here in above:
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as fault:
        raise errors.FolderError(
            f"{folder} cannot be listed: {fault.strerror}", "Change its permissions."
        ) from fault
    for path in entries:
        if is_phantom(path):
            continue
        if path.is_dir():
            yield from _files(path, (*above, here))
        else:
            yield path


def _refuse_unfinished(folder: Path) -> None:
    """A folder whose preparation was interrupted lacks images or their provenance."""
    if (folder / RENAME_RECORD).exists():
        raise errors.FolderError(
            f"{folder}: numbering in place was interrupted here",
            f"Finish it first: cellvision prepare number {folder} --in-place",
        )
    if (folder / WORK_RECORD).exists() and not (folder / MANIFEST).exists():
        raise errors.FolderError(
            f"{folder}: the preparation that fills this folder is not finished",
            "Give its command again; it makes what is missing.",
        )


def _natural(name: str) -> tuple[object, ...]:
    """Order names as people do: s2 before s10, folder by folder."""
    parts = []
    for part in name.casefold().split("/"):
        runs = re.split(r"([0-9]+)", part)  # every second one is a number
        parts.append([int(run) if place % 2 else run for place, run in enumerate(runs)])
    return (parts, name)


def _stem_and_suffix(name: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.+?)((?:\.ome)?\.[^.]*)", name, flags=re.IGNORECASE)
    return (match[1], match[2]) if match else (name, "")
