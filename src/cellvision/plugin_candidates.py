"""What a name may stand for: one class as one installed distribution provides it.

Candidates come from the metadata of installed distributions; nothing is imported for them.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import importlib_metadata

from cellvision import errors

_log = logging.getLogger(__name__)

DISABLE = "CELLVISION_DISABLE"
"""Environment variable with plugins to ignore: ``distribution:name`` or ``distribution``,
separated by commas or spaces."""

REGISTERED = "(registered here)"
"""Distribution shown for classes that `Registry.register` added."""

PREFER = "CELLVISION_PREFER"
"""Environment variable with plugins to choose where several distributions provide a name, in the
same form."""


@dataclass(frozen=True)
class PluginCandidate:
    """One name as one distribution provides it; only `load` imports the class.

    Attributes
    ----------
    name : str
        The name.
    distribution, version : str
        The distribution.
    module : str
        Location of the class, as ``package.module:Class``.
    requires : tuple of str or None
        Requirements of the distribution; None if it has no metadata.
    entry_point : importlib_metadata.EntryPoint or None
        Its entry point; None for a class that was registered in this process.
    cls : type or None
        The class that was registered.
    """

    name: str
    distribution: str
    version: str
    module: str
    requires: tuple[str, ...] | None = None
    entry_point: importlib_metadata.EntryPoint | None = None
    cls: type[Any] | None = None

    @property
    def origin(self) -> str:
        """Where it comes from, for messages."""
        return f"{self.distribution} {self.version}, {self.module}"

    @property
    def full_name(self) -> str:
        """Name and distribution, for people: ``deep (cellvision-architectures 0.1.0)``."""
        version = f" {self.version}" if self.version else ""
        return f"{self.name} ({self.distribution}{version})"

    @property
    def requirement(self) -> str:
        """Name and version as in a requirement: ``cellvision-architectures==0.1.0``."""
        return f"{self.distribution}=={self.version}" if self.version else self.distribution

    @property
    def how_to_update(self) -> str:
        """Hint for a plugin that another cellvision needs."""
        if self.entry_point is None:
            return "Write it for the current interface: see the changelog"
        return (
            f"Update it: python -m pip install --upgrade {self.distribution}; or install the "
            "cellvision that it needs"
        )

    def load(self) -> Any:
        """Import and return the object behind the name."""
        return self.cls if self.entry_point is None else self.entry_point.load()

    def leads_to(self, cls: type[Any]) -> bool:
        """Whether loading gives this class; unrelated packages are not imported to find out."""
        module = self.module.partition(":")[0]
        package = cls.__module__.partition(".")[0]
        if module not in sys.modules and module.partition(".")[0] != package:
            return False
        try:
            return self.load() is cls
        except (Exception, SystemExit):  # noqa: BLE001 - importing third-party code
            return False


def installed_candidates(group: str) -> list[PluginCandidate]:
    """Return every name that installed distributions provide in an entry-point group."""
    return [_candidate(entry) for entry in entry_points().get(group, ())]


_scanned: dict[tuple[object, ...], dict[str, list[importlib_metadata.EntryPoint]]] = {}
_metadata: dict[int, tuple[Any, _Distribution]] = {}


def entry_points() -> dict[str, list[importlib_metadata.EntryPoint]]:
    """Return all installed entry points by group; nothing is imported.

    Reading them takes a tenth of a second, so it happens again only if a folder of ``sys.path``
    has changed since.
    """
    state = tuple((folder, _changed_at(folder)) for folder in sys.path)
    if state not in _scanned:
        forget_installed()
        groups: dict[str, list[importlib_metadata.EntryPoint]] = {}
        for entry in _readable_entry_points():
            groups.setdefault(entry.group, []).append(entry)
        _scanned[state] = groups
    return _scanned[state]


def _readable_entry_points() -> Iterable[importlib_metadata.EntryPoint]:
    """Return all entry points; a distribution whose metadata are faulty is left out and named."""
    with suppress(Exception):  # the first fault hides all entry points
        return importlib_metadata.entry_points()
    found: dict[str, Iterable[importlib_metadata.EntryPoint]] = {}
    for distribution in importlib_metadata.distributions():
        try:
            found.setdefault(normalize_distribution(distribution.name), distribution.entry_points)
        except Exception as error:  # noqa: BLE001 - see above
            where = getattr(distribution, "_path", distribution)
            _log.warning(
                "the entry points of %s cannot be read: %s", where, errors.summarize(error)
            )
    return chain.from_iterable(found.values())


def forget_installed() -> None:
    """Read the entry points again when they are needed next."""
    _scanned.clear()
    _metadata.clear()


def _changed_at(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def is_disabled(candidate: PluginCandidate) -> bool:
    """Whether `DISABLE` names it, or its distribution as a whole."""
    return _is_named_by(DISABLE, candidate)


def is_preferred(candidate: PluginCandidate) -> bool:
    """Whether `PREFER` names it, or its distribution as a whole."""
    return _is_named_by(PREFER, candidate)


def matching(candidates: Iterable[PluginCandidate], name: str) -> list[PluginCandidate]:
    """Return the candidates for a name, or for ``distribution:name``."""
    distribution, _, bare = name.rpartition(":")
    if distribution not in ("", REGISTERED):
        distribution = normalize_distribution(distribution)
    return [
        candidate
        for candidate in candidates
        if candidate.name == bare
        and distribution
        in ("", candidate.distribution, normalize_distribution(candidate.distribution))
    ]


def qualified_name(candidates: Iterable[PluginCandidate], name: str, distribution: str) -> str:
    """Return ``distribution:name`` if other distributions provide the name too, else the name."""
    rivals = matching(candidates, name)
    wanted = normalize_distribution(distribution)
    own = [each for each in rivals if normalize_distribution(each.distribution) == wanted]
    return f"{own[0].distribution}:{name}" if len(own) == 1 < len(rivals) else name


def recorded_name(candidates: Iterable[PluginCandidate], name: str, requirement: str) -> str:
    """Return the name for a plugin of a record, with its distribution where it is needed.

    If the distribution is not installed, the result names it, and using it is an error: a plugin
    of the same name in another distribution is no substitute, unless the user prefers it.

    Parameters
    ----------
    candidates
        All plugins of the kind.
    name
        The recorded name.
    requirement
        ``distribution==version``, or the name of a local file; empty if it is unknown.
    """
    candidates = list(candidates)
    distribution, is_installable, _ = requirement.partition("==")
    bare = name.rpartition(":")[2]
    full_name = f"{distribution}:{bare}"
    if distribution and matching(candidates, full_name):
        return qualified_name(candidates, bare, distribution)
    others = matching(candidates, bare)
    is_accepted = any(each.distribution == REGISTERED or is_preferred(each) for each in others)
    if not distribution or is_accepted or (others and not is_installable):
        return name
    return full_name


def preferred(candidates: Sequence[PluginCandidate]) -> list[PluginCandidate]:
    """Return the only candidate that `PREFER` names; all if it names none or several."""
    chosen = [candidate for candidate in candidates if is_preferred(candidate)]
    return chosen if len(chosen) == 1 else list(candidates)


def _is_named_by(variable: str, candidate: PluginCandidate) -> bool:
    entries = os.environ.get(variable, "").replace(",", " ").split()
    if not entries:
        return False
    own = normalize_distribution(candidate.distribution)
    parts = [entry.partition(":") for entry in entries]
    return any(
        normalize_distribution(distribution) == own and name in ("", candidate.name)
        for distribution, _, name in parts
    )


def normalize_distribution(name: str) -> str:
    """Return the comparable form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class _Distribution:
    """What the metadata of a distribution says."""

    name: str = "(unknown distribution)"
    version: str = ""
    requires: tuple[str, ...] | None = None


def _distribution(found: Any) -> _Distribution:
    if found is None:
        return _Distribution()
    # Keeping the object keeps its id from being used again.
    if id(found) not in _metadata:
        _metadata[id(found)] = (found, _read_metadata(found))
    return _metadata[id(found)][1]


def _read_metadata(found: Any) -> _Distribution:
    """Read the headers only: parsing a whole README takes a millisecond for each distribution."""
    try:
        text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    except (OSError, ValueError):  # ValueError: it is not UTF-8
        return _Distribution()
    headers: dict[str, list[str]] = {}
    for line in text.partition("\n\n")[0].splitlines():
        key, colon, value = line.partition(": ")
        if colon and not line[0].isspace():
            headers.setdefault(key.lower(), []).append(value.strip())
    name, version = headers.get("name", [""])[0], headers.get("version", [""])[0]
    requires = tuple(headers.get("requires-dist", ()))
    return _Distribution(name, version, requires) if name else _Distribution()


def _candidate(entry_point: importlib_metadata.EntryPoint) -> PluginCandidate:
    found = _distribution(entry_point.dist)
    # The value may end with extras in brackets.
    module = entry_point.value.partition("[")[0].replace(" ", "")
    return PluginCandidate(
        entry_point.name,
        found.name,
        found.version,
        module,
        requires=found.requires,
        entry_point=entry_point,
    )
