"""Installed distributions: their names, versions, requirements and entry points.

importlib_metadata takes a fifth of a millisecond for each of them, hundreds in an ordinary
environment, and every command waits for it. So the folders on ``sys.path`` are read directly here;
what else may hold metadata (ZIP files, eggs, finders of other import systems) is left to
importlib_metadata. A file that cannot be read or understood counts as empty: a faulty distribution
affects only those who use it.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

_INFORMATION = (".dist-info", ".egg-info")


class InstalledDistribution:
    """An installed distribution, whose metadata are read when they are needed.

    Parameters
    ----------
    key
        Comparable form of its name.
    read
        Returns the content of one of its files of metadata; None if it lacks the file.
    """

    def __init__(self, key: str, read: Callable[[str], str | None]) -> None:
        self.key = key
        self._read = read

    @property
    def name(self) -> str:
        """Its name; empty if its metadata have none."""
        return self._headers.get("name", [""])[0]

    @property
    def version(self) -> str:
        """Its version; empty if its metadata have none."""
        return self._headers.get("version", [""])[0]

    @property
    def requires(self) -> tuple[str, ...] | None:
        """Its requirements; None if it has no metadata."""
        return tuple(self._headers.get("requires-dist", ())) if self.name else None

    @property
    def is_valid(self) -> bool:
        """Whether it has metadata; uninstalling may leave a folder without any."""
        return bool(self._headers)

    @functools.cached_property
    def _headers(self) -> dict[str, list[str]]:
        """Read the headers only: a parser of e-mails takes a millisecond for a whole README."""
        text = self._read("METADATA") or self._read("PKG-INFO") or ""
        headers: dict[str, list[str]] = {}
        for line in text.partition("\n\n")[0].splitlines():
            key, colon, value = line.partition(": ")
            if colon and not line[0].isspace():
                headers.setdefault(key.lower(), []).append(value.strip())
        return headers

    def entry_points(self) -> Iterator[InstalledEntryPoint]:
        """Yield its entry points."""
        group = ""
        for line in map(str.strip, (self._read("entry_points.txt") or "").splitlines()):
            name, equals, value = line.partition("=")
            if line.startswith("[") and line.endswith("]"):
                group = line.strip("[]")
            elif equals and group and not line.startswith("#"):
                yield InstalledEntryPoint(name.strip(), value.strip(), group, self)


@dataclass(frozen=True)
class InstalledEntryPoint:
    """One entry point of an installed distribution.

    Attributes
    ----------
    name, value, group : str
        As its distribution states them; the value is such as ``package.module:Class``.
    distribution : InstalledDistribution
        The distribution.
    """

    name: str
    value: str
    group: str
    distribution: InstalledDistribution

    def load(self) -> Any:
        """Import and return the object behind the entry point."""
        import importlib_metadata

        return importlib_metadata.EntryPoint(self.name, self.value, self.group).load()


def installed_distributions(path: Iterable[str] | None = None) -> list[InstalledDistribution]:
    """Return the installed distributions; the first of a name hides the others, as in imports.

    Parameters
    ----------
    path
        Folders to search. By default those of ``sys.path``, and what other import systems add.
    """
    by_key: dict[str, list[InstalledDistribution]] = {}
    for distribution in _found(sys.path if path is None else path, with_finders=path is None):
        by_key.setdefault(distribution.key, []).append(distribution)
    return [
        same[0] if len(same) == 1 else next(filter(_is_valid, same), same[0])
        for same in by_key.values()
    ]


def _is_valid(distribution: InstalledDistribution) -> bool:
    return distribution.is_valid


def _found(path: Iterable[str], *, with_finders: bool) -> Iterator[InstalledDistribution]:
    for folder in path:
        yield from _in_folder(str(folder) or ".")
    for finder in sys.meta_path if with_finders else ():
        yield from _of_finder(finder)


def _in_folder(folder: str) -> Iterator[InstalledDistribution]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - Path takes three times as long
    except OSError:
        names = []
    if names and not folder.endswith(".egg"):
        for name in names:
            if name.endswith(_INFORMATION):
                reader = functools.partial(_read_file, f"{folder}{os.sep}{name}")
                yield InstalledDistribution(_key(name), reader)
    elif names or Path(folder).is_file():
        import importlib_metadata

        yield from _foreign(importlib_metadata.distributions(path=[folder]))


def _of_finder(finder: Any) -> Iterator[InstalledDistribution]:
    """Yield what another import system than Python's own provides, such as a frozen program's."""
    find = getattr(finder, "find_distributions", None)
    # The finder of importlib_metadata searches sys.path, as copies of it in other packages do.
    if find is None or finder is PathFinder or type(finder).__name__ == "MetadataPathFinder":
        return
    import importlib_metadata

    interface: Any = importlib_metadata.DistributionFinder  # its context has no types
    try:
        yield from _foreign(find(interface.Context()))
    except Exception:  # noqa: BLE001 - code of others, which may expect another importlib
        return


def _foreign(distributions: Iterable[Any]) -> Iterator[InstalledDistribution]:
    for found in distributions:
        key = _normalized(found.name or "")
        yield InstalledDistribution(key, found.read_text)


def _key(name: str) -> str:
    """Return the comparable form of the name in ``Name-1.0.dist-info``."""
    return _normalized(name.rpartition(".")[0].partition("-")[0])


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_file(folder: str, name: str) -> str | None:
    try:
        # Path.open takes twice as long, and most distributions have no entry points.
        with open(f"{folder}{os.sep}{name}", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return None
