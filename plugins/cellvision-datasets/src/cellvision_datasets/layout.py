"""Files below a folder of images: the images by split and class, and all others."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern

from cellvision import SkippedFile, errors
from cellvision.io import (
    IMAGE_SUFFIXES,
    WalkedPath,
    begins_like_an_image,
    class_folder_depth,
    is_phantom,
    walk_folder,
    why_missing,
)

MANIFEST = "manifest.csv"
GROUPS = "groups.csv"

_WORK_RECORDS = frozenset({".prepare.jsonl", ".number.json"})
"""Records of a `cellvision prepare` that is running or was interrupted."""

_FURTHER_SUFFIXES = frozenset(
    (
        ".svg",
        ".heif",
        ".jxl",
        ".j2k",
        ".exr",
        ".pcx",
        ".dng",
        ".icns",
        ".fits",
        ".nii",
        ".dicom",
        ".mrc",
        ".dv",
        ".ims",
        ".vsi",
        ".zvi",
        ".svs",
        ".ndpi",
        ".scn",
        ".flex",
    )
)
"""Suffixes of image formats that cannot be read: reading refuses such files with a reason, instead
of skipping them."""


@dataclass(frozen=True, slots=True)
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
        All other files, and empty folders; the tables are not among them. Folders of a class or
        a split that hold no image are warned of.
    """

    images: tuple[ImageFile, ...]
    tables: tuple[str, ...]
    skipped_files: tuple[SkippedFile, ...]


def find_files(root: Path) -> Layout:
    """Find all images in ``ROOT/<class>/*`` or ``ROOT/<split>/<class>/*`` without decoding any.

    Links are followed as `cellvision.io.walk_folder` does.

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
        reason = why_missing(root, "there is no such folder")
        raise errors.FolderError(f"{root}: {reason}", "Check the path.")
    entries = [_judge(walked_path) for walked_path in walk_folder(root)]
    _raise_if_results(root)
    _raise_if_unfinished(root, entries)
    depth = class_folder_depth(root, [entry.parts for entry in entries if entry.is_image])
    images, tables = [], []
    missing = _folders_without_images(entries, depth)
    others = [SkippedFile(name, reason) for name, reason in missing.items()]
    for entry in entries:
        name = "/".join(entry.parts)
        if entry.is_image and len(entry.parts) == depth:
            _refuse_unwritable(root, name)
            split = _composed(entry.parts[0]) if depth == 3 else None
            images.append(ImageFile(name, intern(_composed(entry.parts[-2])), split))
        elif entry.is_table and len(entry.parts) <= depth:
            tables.append(name)
        elif entry.walked_path.name not in missing:
            others.append(entry.skipped_files(depth))
    tables.sort(key=lambda name: name.count("/"))
    return Layout(tuple(images), tuple(tables), tuple(others))


def _raise_if_results(root: Path) -> None:
    """Refuse the folder of a run or of a study, whose figures and tables are no images to train on.

    Raises
    ------
    errors.FolderError
        It is one.
    """
    for kind, beside in (("run", "predictions.csv"), ("study", "runs")):
        if (root / f"{kind}.json").is_file() and (root / beside).exists():
            raise errors.FolderError(
                f"{root}: this is the folder of a {kind}, not of images",
                "Give its images, or the file run.json of a run for its experiment.",
            )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file, or a folder that is skipped as a whole."""

    walked_path: WalkedPath
    is_image: bool = False
    reason: str = ""
    expected: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        return self.walked_path.parts

    @property
    def is_table(self) -> bool:
        named = self.parts[-1] in (MANIFEST, GROUPS) and not (
            self.expected or self.walked_path.reason
        )
        # Opening a pipe would wait for ever.
        return named and (self.walked_path.is_file or self.walked_path.is_link)

    def skipped_files(self, depth: int) -> SkippedFile:
        reason = self.reason
        if self.is_image:
            deeper = len(self.parts) > depth
            reason = "deeper than the class folders" if deeper else "beside the class folders"
        return SkippedFile(self.walked_path.name, reason, self.expected)


def _folders_without_images(entries: Sequence[_Entry], depth: int) -> dict[str, str]:
    """Return folders in the place of a class or a split that hold nothing, and what is missing.

    Hidden files count as nothing. Other files do not: each is reported by itself.
    """
    holds_nothing: dict[tuple[str, ...], bool] = {}
    for entry in entries:
        for level in range(1, min(depth, len(entry.parts))):
            folder = entry.parts[:level]
            holds_nothing[folder] = holds_nothing.get(folder, True) and entry.expected
    missing = {}
    for folder, is_nothing in holds_nothing.items():
        if not is_nothing or any(is_phantom(Path(part)) for part in folder):
            continue
        name = WalkedPath((*folder, ""), "").name
        if len(folder) == depth - 1:
            of_split = "" if depth == 2 else f" from the split {folder[0]!r}"
            missing[name] = f"no images, so the class is missing{of_split}"
        else:
            missing[name] = "no images, so the split is missing"
    return missing


def _judge(walked_path: WalkedPath) -> _Entry:
    """Decide whether a file is an image, by its suffix or else by its first bytes."""
    if walked_path.reason:
        return _Entry(walked_path, reason=walked_path.reason, expected=walked_path.is_empty_folder)
    parts = walked_path.parts
    name = Path(parts[-1])
    if is_phantom(name):
        return _Entry(walked_path, reason="hidden, or left by the operating system", expected=True)
    if any(is_phantom(Path(part)) for part in parts[:-1]):
        reason = "in a folder that is hidden or of the operating system"
        return _Entry(walked_path, reason=reason, expected=True)
    suffix = name.suffix.lower()
    known = suffix in IMAGE_SUFFIXES or suffix in _FURTHER_SUFFIXES
    if not walked_path.is_file:
        if known and walked_path.is_link:
            return _Entry(walked_path, is_image=True)  # a broken link: reading it gives the reason
        return _Entry(
            walked_path, reason="a broken link" if walked_path.is_link else "not a regular file"
        )
    if parts[-1] in (MANIFEST, GROUPS):
        return _Entry(walked_path, reason="a table that is not beside the classes or images")
    # Do not open files elsewhere, such as the thousands of chunks of a Zarr store.
    if known or (len(parts) in (2, 3) and begins_like_an_image(walked_path.path)):
        return _Entry(walked_path, is_image=True)
    return _Entry(walked_path, reason=f"not an image: {suffix or 'no suffix'}")


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
