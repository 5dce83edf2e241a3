"""Files below a folder of microscope files: containers by split and class, and all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellvision import SkippedFile, errors
from cellvision.io import class_folder_depth, is_phantom

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
        raise errors.FolderError(f"there is no folder {root}", "Check the path.")
    names, others, table = [], [], False
    for name in _walk(root, PurePosixPath()):
        reason, expected = _not_a_container(root, name)
        if name == PurePosixPath(GROUPS):
            table = True
        elif reason:
            others.append(SkippedFile(str(name), reason, expected))
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


def _walk(root: Path, below: PurePosixPath) -> Iterator[PurePosixPath]:
    folder = root / below
    try:
        entries = sorted(path.name for path in folder.iterdir())
    except OSError as fault:
        raise errors.FolderError(
            f"cannot list {folder}: {fault.strerror}", "Change its permissions or move it away."
        ) from fault
    for entry in entries:
        name = below / entry
        path = root / name
        # Links to folders are not followed: they may lead back to a folder above.
        if path.is_dir() and not path.is_symlink() and format_of(path) is None:
            yield from _walk(root, name)
        else:
            yield name


def _not_a_container(root: Path, name: PurePosixPath) -> tuple[str, bool]:
    """Return why a file is not a microscope file, and whether that is expected."""
    if any(is_phantom(Path(part)) for part in name.parts):
        return "hidden, or left by the operating system", True
    if format_of(root / name) is None:
        return f"not a microscope file: {name.suffix or 'no suffix'}", False
    return "", False
