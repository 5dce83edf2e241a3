"""The layout of a folder of images: one level of class folders, or splits with class folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cellvision import errors
from cellvision.data.folder_walk import walk_folder
from cellvision.data.names import natural_order
from cellvision.plurals import counted

_SPLIT_NAMES = frozenset({"train", "training", "validation", "valid", "val", "test", "testing"})

_EXPECTED = "Expected FOLDER/<class>/* or FOLDER/<split>/<class>/*"


def class_folder_depth(root: Path, images: Sequence[tuple[str, ...]], noun: str = "images") -> int:
    """Return the depth of the images of a folder: ``<class>/*`` (2) or ``<split>/<class>/*`` (3).

    Parameters
    ----------
    root
        The folder, for messages.
    images
        The path of every image below it, in parts.
    noun
        What the files are called in messages.

    Raises
    ------
    errors.FolderError
        Images have another layout; the hint says what the levels may be.

    Examples
    --------
    >>> class_folder_depth(Path("images"), [("control", "s0.tif"), ("treated", "s0.tif")])
    2
    """
    outer = {depth: {parts[0] for parts in images if len(parts) == depth} for depth in (2, 3)}
    if not outer[2] and not outer[3]:
        raise _no_classes(root, images, noun)
    if _hold_one_kind_of_subfolder(outer[2], images):
        return 2
    only = {2: len(outer[2] - outer[3]), 3: len(outer[3] - outer[2])}
    count = {depth: sum(len(parts) == depth for parts in images) for depth in (2, 3)}
    if (only[2] and only[3]) or (not only[2] and not only[3] and count[2] == count[3]):
        first, second = (next(p for p in images if len(p) == depth) for depth in (2, 3))
        raise errors.FolderError(
            f"{root} has two layouts: {'/'.join(first)} and {'/'.join(second)}",
            f"{_EXPECTED}, not both.",
        )
    # A folder with images at one depth only decides; otherwise the majority of the images.
    decisive = only if only[2] or only[3] else count
    depth = 2 if decisive[2] > decisive[3] else 3
    if depth == 2 and all(name.casefold() in _SPLIT_NAMES for name in outer[2]):
        raise errors.FolderError(
            f"{root} has the splits {', '.join(sorted(outer[2]))}, but no class folders in them",
            "Expected FOLDER/<split>/<class>/*.",
        )
    if depth == 3:
        _refuse_other_levels(root, [parts for parts in images if len(parts) == 3])
    return depth


def _hold_one_kind_of_subfolder(outer: set[str], images: Sequence[tuple[str, ...]]) -> bool:
    """Whether folders with images also have subfolders of a single name, such as CLASS/masks.

    A single name cannot be the classes, however many images such subfolders hold.
    """
    inner = {parts[1].casefold() for parts in images if len(parts) == 3}
    splits = _SPLIT_NAMES & {name.casefold() for name in outer}
    return len(outer) > 1 and len(inner) == 1 and not splits


def _refuse_other_levels(root: Path, images: Sequence[tuple[str, ...]]) -> None:
    """Refuse two levels of folders whose outer ones cannot be splits, and say what they may be."""
    inner: dict[str, set[str]] = {}
    for outer, name, _ in images:
        inner.setdefault(outer, set()).add(name)
    if any(outer.casefold() in _SPLIT_NAMES for outer in inner):
        return
    names = sorted(inner, key=natural_order)
    if len(names) == 1 and len(inner[names[0]]) > 1:
        raise errors.FolderError(
            f"{root} contains only the folder {names[0]!r}, which contains the class folders",
            f"Give that folder: {root / names[0]}",
        )
    shared = set.intersection(*inner.values())
    every = set.union(*inner.values())
    hint = (
        "To keep both levels, list the images in a CSV file with the columns file, label and the "
        "other level, such as plate (--set dataset.type=table --set dataset.path=FILE.csv)."
    )
    if shared:
        what = f"either level may be the classes ({_some(names)}, or {_some(sorted(every))})"
        hint += " If the outer folders are splits, call one of them 'train'."
    else:
        what = f"the outer ones ({_some(names)}) look like classes"
    raise errors.FolderError(
        f"{root} has two levels of folders, and no outer one is a split called 'train': {what}",
        hint,
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _no_classes(root: Path, images: Sequence[tuple[str, ...]], noun: str) -> errors.FolderError:
    if not images:
        return errors.FolderError(f"{root} contains no {noun}{_found_instead(root)}", _hint(root))
    first = images[0]
    if len(first) == 1:
        return errors.FolderError(
            f"{root}: the {noun} are not in class folders (first: {first[0]})",
            "Create a folder for each class, or list files and labels for the data set 'table'.",
        )
    return errors.FolderError(
        f"{root}: the {noun} are too deep (first: {'/'.join(first)})",
        f"{_EXPECTED}; perhaps FOLDER is {root.joinpath(*first[:-2])}.",
    )


def _found_instead(root: Path) -> str:
    """Return the kinds of the files of a folder without images, such as ``, but 4 files: .gz``."""
    names = _file_names(root)
    if not names:
        return ""
    kinds = Counter(Path(name).suffix.lower() or "no suffix" for name in names)
    return (
        f", but {counted(len(names), 'file')}: {_some([kind for kind, _ in kinds.most_common()])}"
    )


def _hint(root: Path) -> str:
    if any("-idx3-ubyte" in name for name in _file_names(root)):
        return (
            f"For the files of Fashion-MNIST: --set dataset.type=fashion_mnist "
            f"--set dataset.path={root}"
        )
    return f"{_EXPECTED}."


def _file_names(root: Path) -> list[str]:
    return [entry.parts[-1] for entry in walk_folder(root) if entry.is_file]
