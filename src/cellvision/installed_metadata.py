"""Metadata of the installed distributions: their entry points, and which cellvision they need.

Reading them takes a tenth of a second, with every command. What was read is cached by the folder
of the metadata, its time of change, and time and size of its entry points.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import importlib_metadata

from cellvision import atomic_io, errors
from cellvision.user_folders import cache_folder

_log = logging.getLogger(__name__)

_FORMAT = 1
"""Incremented whenever the cached content changes its meaning."""


@dataclass(frozen=True)
class InstalledDistribution:
    """What the metadata of a distribution says.

    Attributes
    ----------
    name, version : str
        Its name and version.
    requires : tuple of str or None
        What it needs of cellvision; None if it has no metadata.
    entry_points : tuple of (str, str, str)
        Name, value and group of each.
    """

    name: str = "(unknown distribution)"
    version: str = ""
    requires: tuple[str, ...] | None = None
    entry_points: tuple[tuple[str, str, str], ...] = ()


def normalize_distribution(name: str) -> str:
    """Return the comparable form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_distributions() -> list[InstalledDistribution]:
    """Return all installed distributions; of several with one name, the first on ``sys.path``."""
    cached = {} if _only else _cached()
    fresh: dict[str, Any] = {}
    distributions: dict[str, InstalledDistribution] = {}
    options = {"path": list(_only)} if _only else {}
    for metadata in importlib_metadata.distributions(**options):
        folder = str(getattr(metadata, "_path", ""))
        state = _state(folder)
        distribution = _remembered(cached.get(folder), state)
        if distribution is None:
            distribution, is_complete = _read(metadata, folder)
            if is_complete and state[0]:
                fresh[folder] = {"state": state, "distribution": asdict(distribution)}
        key = folder if distribution.requires is None else normalize_distribution(distribution.name)
        distributions.setdefault(key, distribution)
    if fresh and not _only:
        _save({**cached, **fresh})
    return list(distributions.values())


_only: list[str] = []
"""Folders to look in instead of ``sys.path``."""


@contextmanager
def only(folders: Sequence[str]) -> Iterator[None]:
    """See only the distributions in some folders, for tests; nothing is cached meanwhile."""
    before = list(_only)
    _only[:] = folders
    try:
        yield
    finally:
        _only[:] = before


def _state(folder: str) -> list[int]:
    """Return times of change of the folder and the entry points, and their size; 0 for neither."""
    state = []
    for path in (folder, f"{folder}/entry_points.txt"):
        try:
            status = os.stat(path)  # noqa: PTH116
            state += [status.st_mtime_ns, status.st_size]
        except (OSError, ValueError):
            state += [0, 0]
    return state


def _read(metadata: Any, where: str) -> tuple[InstalledDistribution, bool]:
    """Read the metadata; the second value is False if a part is faulty."""
    name, version, requires = _headers(metadata)
    try:
        points = tuple((each.name, each.value, each.group) for each in metadata.entry_points)
    except Exception as error:  # noqa: BLE001 - a fault affects only its distribution
        summary = errors.summarize(error)
        _log.warning("the entry points of %s cannot be read: %s", where or metadata, summary)
        points = ()
        return InstalledDistribution(name, version, requires, points), False
    return InstalledDistribution(name, version, requires, points), requires is not None


def _headers(metadata: Any) -> tuple[str, str, tuple[str, ...] | None]:
    """Read the headers only: parsing a whole README takes a millisecond for each distribution."""
    try:
        text = metadata.read_text("METADATA") or metadata.read_text("PKG-INFO") or ""
    except (OSError, ValueError):  # ValueError: it is not UTF-8
        text = ""
    headers: dict[str, list[str]] = {}
    for line in text.partition("\n\n")[0].splitlines():
        key, colon, value = line.partition(": ")
        if colon and not line[0].isspace():
            headers.setdefault(key.lower(), []).append(value.strip())
    name, version = headers.get("name", [""])[0], headers.get("version", [""])[0]
    if not name:
        unknown = InstalledDistribution()
        return unknown.name, unknown.version, unknown.requires
    requires = headers.get("requires-dist", ())
    ours = tuple(line for line in requires if line.lower().startswith("cellvision"))
    return name, version, ours


# --- the cache -------------------------------------------------------------------------------


def _cache_file() -> Path:
    return cache_folder() / "plugin-metadata.json"


def _cached() -> dict[str, Any]:
    with suppress(OSError, ValueError, LookupError, TypeError):
        content = json.loads(_cache_file().read_text(encoding="utf-8"))
        if content["format"] == [_FORMAT, sys.version]:
            return dict(content["distributions"])
    return {}


def _remembered(entry: Any, state: list[int]) -> InstalledDistribution | None:
    """Return a distribution as the cache has it; None if its files have changed since."""
    with suppress(LookupError, ValueError, TypeError):  # not as we wrote it
        if entry["state"] == state:
            values = entry["distribution"]
            points = ((name, value, group) for name, value, group in values["entry_points"])
            requires = None if values["requires"] is None else tuple(values["requires"])
            return InstalledDistribution(values["name"], values["version"], requires, tuple(points))
    return None


def _save(entries: dict[str, Any]) -> None:
    """Write the cache, without distributions that are no longer installed."""
    kept = {folder: entry for folder, entry in entries.items() if os.path.exists(folder)}  # noqa: PTH110
    with suppress(OSError, TypeError):  # the cache is only for speed
        _cache_file().parent.mkdir(parents=True, exist_ok=True)
        content = {"format": [_FORMAT, sys.version], "distributions": kept}
        atomic_io.text(_cache_file(), json.dumps(content))
