"""Files below a folder of images: the images by split and class, and all others."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellvision import SkippedFile, errors
from cellvision.io import IMAGE_SUFFIXES, class_folder_depth, is_phantom, natural_order

MANIFEST = "manifest.csv"
GROUPS = "groups.csv"

_WORK_RECORDS = frozenset({".prepare.jsonl", ".number.json"})
"""Records of a `cellvision prepare` that is running or was interrupted."""

_FURTHER_SUFFIXES = frozenset(
    (
        *(".svg", ".heif", ".jxl", ".j2k", ".exr", ".pcx", ".dng", ".icns", ".fits", ".nii"),
        *(".dicom", ".mrc", ".dv", ".ims", ".vsi", ".zvi", ".svs", ".ndpi", ".scn", ".flex"),
    )
)
"""Suffixes of image formats that cannot be read: reading refuses such files with a reason, instead
of skipping them."""

_NOT_REGULAR = "not a regular file"

_MAX_DEPTH = 100
"""Folders below this depth are not listed; nobody nests images so deeply."""

_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|8BPS|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|BM.{12}[\x0c\x28\x6c\x7c]\0\0\0|P[1-6]\s+(?:#.*\s+)?\d+\s+\d+\s|\0\0\0\x0cjP  "
    rb"|....ftyp(?:avif|hei)|ZISRAWFILE|\xda\xce\xbe\x0a",
    re.DOTALL,
)
"""First bytes of common image formats, for files whose suffix says nothing."""


@dataclass(frozen=True)
class ImageFile:
    """One image file: its path relative to the folder (POSIX), its class and its split."""

    name: str
    label: str
    split: str | None


@dataclass(frozen=True)
class Layout:
    """Every file below a folder, once.

    Attributes
    ----------
    images
        In natural order: s2 before s10.
    tables
        Paths of the provenance tables, relative to the folder, outermost first.
    skipped_files
        All other files, and empty folders; the tables are not among them.
    """

    images: tuple[ImageFile, ...]
    tables: tuple[str, ...]
    skipped_files: tuple[SkippedFile, ...]


def find_files(root: Path) -> Layout:
    """Find all images in ``ROOT/<class>/*`` or ``ROOT/<split>/<class>/*`` without decoding any.

    Links are followed, except those back to a folder above. Within a linked folder, a link to a
    folder that is listed already is not followed either: folders that all link to each other have
    more paths than anybody can list.

    Raises
    ------
    errors.FolderError
        The folder is missing, cannot be listed, has another layout or is still being prepared.
    """
    if not root.is_dir():
        if root.exists():
            raise errors.FolderError(
                f"{root} is a file, not a folder", "For a list of files, use the data set 'table'."
            )
        raise errors.FolderError(f"there is no folder {root}", "Check the path.")
    entries = list(_walk(root, (), _Trail(), set()))
    _raise_if_unfinished(root, entries)
    depth = class_folder_depth(root, [entry.parts for entry in entries if entry.is_image])
    images, tables, others = [], [], []
    for entry in entries:
        name = "/".join(entry.parts)
        if entry.is_image and len(entry.parts) == depth:
            _refuse_unwritable(root, name)
            split = _composed(entry.parts[0]) if depth == 3 else None
            images.append(ImageFile(name, _composed(entry.parts[-2]), split))
        elif entry.is_table and len(entry.parts) <= depth:
            tables.append(name)
        else:
            others.append(entry.skipped_files(depth))
    tables.sort(key=lambda name: name.count("/"))
    return Layout(tuple(images), tuple(tables), tuple(others))


@dataclass(frozen=True)
class _Entry:
    """A file, or a folder that is skipped as a whole."""

    parts: tuple[str, ...]
    is_image: bool = False
    reason: str = ""
    expected: bool = False

    @property
    def is_table(self) -> bool:
        named = self.parts[-1] in (MANIFEST, GROUPS) and not self.expected
        return named and self.reason != _NOT_REGULAR  # opening a pipe would wait for ever

    def skipped_files(self, depth: int) -> SkippedFile:
        reason = self.reason
        if self.is_image:
            deeper = len(self.parts) > depth
            reason = "deeper than the class folders" if deeper else "beside the class folders"
        # Names that are not Unicode can be reported only with escapes.
        name = os.fsencode("/".join(self.parts)).decode("utf-8", "backslashreplace")
        return SkippedFile(name, reason, self.expected)


@dataclass(frozen=True)
class _Trail:
    """The folders from the root down, and whether one of them was entered through a link."""

    folders: frozenset[tuple[int, int]] = frozenset()
    is_linked: bool = False


def _walk(
    folder: Path, parts: tuple[str, ...], above: _Trail, listed: set[tuple[int, int]]
) -> Iterator[_Entry]:
    try:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        is_link = bool(parts) and folder.is_symlink()
        reason = ""
        if identity in above.folders:
            reason = "a link back to a folder above it"
        elif is_link and above.is_linked and identity in listed:
            reason = "a link to a folder that is listed elsewhere"
        elif len(parts) > _MAX_DEPTH:
            reason = "nested too deeply"
        if reason:
            yield _Entry(parts, reason=reason)
            return
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: natural_order(entry.name))
    except OSError as fault:
        raise errors.FolderError(
            f"cannot list {folder}: {fault.strerror}", "Change its permissions or move it away."
        ) from fault
    if not entries and parts:
        yield _Entry((*parts, ""), reason="empty folder", expected=True)
    listed.add(identity)
    trail = _Trail(above.folders | {identity}, above.is_linked or is_link)
    for entry in entries:
        below = (*parts, entry.name)
        if _is_folder(entry):
            yield from _walk(folder / entry.name, below, trail, listed)
        else:
            yield _judge(entry, below)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _judge(entry: os.DirEntry[str], parts: tuple[str, ...]) -> _Entry:
    """Decide whether a file is an image, by its suffix or else by its first bytes."""
    name = Path(entry.name)
    if is_phantom(name):
        return _Entry(parts, reason="hidden, or left by the operating system", expected=True)
    if any(part.startswith(".") for part in parts[:-1]):
        return _Entry(parts, reason="in a hidden folder", expected=True)
    suffix = name.suffix.lower()
    known = suffix in IMAGE_SUFFIXES or suffix in _FURTHER_SUFFIXES
    if not _is_file(entry):
        if known and entry.is_symlink():
            return _Entry(parts, is_image=True)  # a broken link: reading it gives the reason
        reason = "a broken link" if entry.is_symlink() else _NOT_REGULAR
        return _Entry(parts, reason=reason)
    if entry.name in (MANIFEST, GROUPS):
        return _Entry(parts, reason="a table that is not beside the classes or images")
    # Do not open files elsewhere, such as the thousands of chunks of a Zarr store.
    if known or (len(parts) in (2, 3) and _begins_like_an_image(Path(entry.path))):
        return _Entry(parts, is_image=True)
    return _Entry(parts, reason=f"not an image: {suffix or 'no suffix'}")


def _begins_like_an_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _MAGIC.match(file.read(64)) is not None
    except OSError:
        return False


def _raise_if_unfinished(root: Path, entries: Sequence[_Entry]) -> None:
    """Refuse a folder that is still being prepared: images and their groups are missing."""
    from cellvision import prepare

    for entry in entries:
        if entry.parts[-1] in _WORK_RECORDS and len(entry.parts) <= 3:
            prepare.raise_if_unfinished(root.joinpath(*entry.parts[:-1]))


def _refuse_unwritable(root: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise errors.FolderError(
            f"{root}: the file name {name!r} is not Unicode, so no table can contain it",
            "Rename it.",
        ) from None


def _composed(name: str) -> str:
    """Return one spelling for one name: macOS separates letters and accents."""
    return unicodedata.normalize("NFC", name)
