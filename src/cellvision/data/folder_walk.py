"""Walk through the files below a folder: links are followed, and the walk always ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellvision import errors
from cellvision.data.names import natural_order

MAX_FOLDER_DEPTH = 100
"""Folders below this depth are not entered; nobody nests images so deeply."""

_EMPTY = "empty folder"

_RESULTS = "a result of cellvision, not an image to read"

# Files that identify the folder of a run, a study, an evaluation or an audit, and one that is being
# written.
_MARKS_OF_RESULTS: tuple[frozenset[str], ...] = (
    frozenset({"run.json", "predictions.csv"}),
    frozenset({"study.json", "runs"}),
    frozenset({"evaluation.json", "predictions.csv"}),
    frozenset({"audit.json", "reports"}),
    frozenset({".cellvision.json"}),
    frozenset({".plan.json"}),
)


@dataclass(frozen=True, slots=True)
class WalkedPath:
    """A file below a folder, or a folder that the walk does not enter.

    Attributes
    ----------
    parts : tuple of str
        The names from the folder down. The last one of an empty folder is empty, so that
        ``"/".join(parts)`` ends with a slash.
    location : str
        Its path, which begins with that of the folder.
    is_file : bool
        Whether it is a regular file, or a link to one.
    is_link : bool
        Whether it is a link.
    reason : str
        Why the walk does not enter a folder, or that a file is a result of cellvision. Empty for
        other files, and for folders that `enter` leaves out.
    """

    parts: tuple[str, ...]
    location: str
    is_file: bool = False
    is_link: bool = False
    reason: str = ""

    @property
    def path(self) -> Path:
        """Its path."""
        return Path(self.location)

    @property
    def name(self) -> str:
        """Its path below the folder as text; bytes that are not UTF-8 are escaped."""
        return _printable("/".join(self.parts))

    @property
    def is_empty_folder(self) -> bool:
        """Whether it is a folder without anything in it."""
        return self.reason == _EMPTY


def walk_folder(
    folder: Path,
    *,
    order: Callable[[str], Any] = natural_order,
    enter: Callable[[os.DirEntry[str]], bool] | None = None,
) -> Iterator[WalkedPath]:
    """Yield every file below a folder, and the folders below it that are not entered.

    Links are followed, except those back to a folder above. Within a linked folder, a link to a
    folder that was entered before is not followed either: folders that all link to each other have
    more paths than anybody can list.

    Files of a run, study, evaluation or audit below the folder have a reason: their figures are no
    images to train on or to predict.

    Parameters
    ----------
    folder
        The folder.
    order
        Sort key for the names in one folder; by default s2 comes before s10.
    enter
        Decides whether to enter a folder. One that is left out is yielded as it is, such as a
        Zarr store that counts as one image.

    Yields
    ------
    WalkedPath
        Folder by folder. Entered folders are not yielded, only what is in them.

    Raises
    ------
    errors.FolderError
        A folder cannot be listed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("s10.tif", "s2.tif"):
    ...         _ = Path(folder, name).write_bytes(b"")
    ...     [entry.name for entry in walk_folder(Path(folder))]
    ['s2.tif', 's10.tif']
    """
    yield from _Walk(order, enter).below(folder, (), _Trail())


def printable(path: Path) -> str:
    """Return a path as text that can be written as UTF-8."""
    return _printable(path.as_posix())


def _printable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class _Trail:
    """The folders from the root down, whether one was entered through a link or holds results."""

    folders: frozenset[tuple[int, int]] = frozenset()
    is_linked: bool = False
    is_results: bool = False


class _Walk:
    """One walk, which remembers the folders that it has entered."""

    def __init__(
        self, order: Callable[[str], Any], enter: Callable[[os.DirEntry[str]], bool] | None
    ) -> None:
        self._order = order
        self._enter = enter
        self._entered: set[tuple[int, int]] = set()

    def below(self, folder: Path, parts: tuple[str, ...], above: _Trail) -> Iterator[WalkedPath]:
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            is_link = bool(parts) and folder.is_symlink()
            reason = self._why_not(identity, above, is_link=is_link)
            if reason:
                yield WalkedPath(parts, str(folder), is_link=is_link, reason=reason)
                return
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: self._order(entry.name))
        except OSError as error:
            raise errors.FolderError(
                f"cannot list {printable(folder)}: {error.strerror}",
                "Change its permissions or move it away.",
            ) from error
        if not entries and parts:
            yield WalkedPath((*parts, ""), str(folder), is_link=is_link, reason=_EMPTY)
        self._entered.add(identity)
        is_results = above.is_results or (bool(parts) and _holds_results(entries))
        reason = _RESULTS if is_results else ""
        trail = _Trail(above.folders | {identity}, above.is_linked or is_link, is_results)
        for entry in entries:
            names = (*parts, entry.name)
            if _is(entry.is_dir) and (self._enter is None or self._enter(entry)):
                yield from self.below(folder / entry.name, names, trail)
            else:
                yield WalkedPath(names, entry.path, _is(entry.is_file), entry.is_symlink(), reason)

    def _why_not(self, identity: tuple[int, int], above: _Trail, *, is_link: bool) -> str:
        """Return why a folder is not to be entered; empty if it is."""
        if identity in above.folders:
            return "a link back to a folder above it"
        if is_link and above.is_linked and identity in self._entered:
            return "a link to a folder that is listed elsewhere"
        return "nested too deeply" if len(above.folders) > MAX_FOLDER_DEPTH else ""


def _holds_results(entries: Iterable[os.DirEntry[str]]) -> bool:
    """Whether a folder with these entries is that of a run, study, evaluation or audit."""
    names = {entry.name for entry in entries}
    return any(marks <= names for marks in _MARKS_OF_RESULTS)


def _is(kind: Callable[[], bool]) -> bool:
    """Return what a method of an entry says; False for a link to itself."""
    try:
        return kind()
    except OSError:
        return False
