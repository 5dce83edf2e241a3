"""Files below a folder of microscope files: containers by split and class, and all others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellvision import SkippedFile, errors
from cellvision.io import class_folder_depth, is_phantom, walk_folder, why_missing

from .formats import format_of

GROUPS = "groups.csv"


@dataclass(frozen=True)
class ContainerFile:
    """One microscope file: its path relative to the folder (POSIX), its class and its split."""

    name: str
    label: str
    split: str | None


@dataclass(frozen=True)
class Layout:
    """Every file below a folder; an OME-Zarr folder counts as one file.

    Attributes
    ----------
    containers
        Sorted by path.
    table
        Whether ``groups.csv`` lies beside the classes.
    skipped_files
        All other files.
    """

    containers: tuple[ContainerFile, ...]
    table: bool
    skipped_files: tuple[SkippedFile, ...]


def find_files(root: Path) -> Layout:
    """Find the microscope files in ``ROOT/<class>/*`` or ``ROOT/<split>/<class>/*``.

    Raises
    ------
    errors.FolderError
        The folder is missing, cannot be listed, or has another layout.
    """
    if not root.is_dir():
        reason = why_missing(root, "there is no such folder")
        raise errors.FolderError(f"{root}: {reason}", "Check the path.")
    names, others, table = [], [], False
    for entry in walk_folder(root, order=str, enter=_is_folder):
        name = PurePosixPath(*entry.parts)
        reason, expected = _not_a_container(root, name)
        if entry.reason:
            others.append(SkippedFile(entry.name, entry.reason, entry.is_empty_folder))
        elif name == PurePosixPath(GROUPS):
            table = True
        elif reason:
            others.append(SkippedFile(entry.name, reason, expected))
        else:
            names.append(name)
    depth = class_folder_depth(root, [name.parts for name in names], "microscope files")
    containers = []
    for name in names:
        if len(name.parts) == depth:
            split = name.parts[0] if depth == 3 else None
            containers.append(ContainerFile(str(name), name.parts[-2], split))
        else:
            others.append(SkippedFile(str(name), "lies beside the classes, or deeper"))
    return Layout(tuple(containers), table, tuple(others))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return format_of(Path(entry.path)) is None  # an OME-Zarr folder is one file


def _not_a_container(root: Path, name: PurePosixPath) -> tuple[str, bool]:
    """Return why a file is not a microscope file, and whether that is expected."""
    if any(is_phantom(Path(part)) for part in name.parts):
        return "hidden, or left by the operating system", True
    if format_of(root / name) is None:
        return f"not a microscope file: {name.suffix or 'no suffix'}", False
    return "", False
