"""What a name may stand for: one class as one installed distribution provides it.

Candidates come from the metadata of installed distributions; nothing is imported for them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import importlib_metadata

from cellvision.installed_metadata import (
    InstalledDistribution,
    installed_distributions,
    normalize_distribution,
)

DISABLE = "CELLVISION_DISABLE"
"""Environment variable with plugins to ignore: ``distribution:name`` or ``distribution``,
separated by commas or spaces."""

LOCAL_MODULE = "cellvision_local_"
"""What the names of the modules of Python files with plugins begin with."""

REGISTERED = "(registered here)"
"""Distribution shown for classes that `Registry.register` added."""

PREFER = "CELLVISION_PREFER"
"""Environment variable with plugins to choose where several distributions provide a name, in the
same form."""


def local_module(path: str | os.PathLike[str]) -> str:
    """Return the name of the module of a Python file with plugins."""
    return LOCAL_MODULE + re.sub(r"\W", "_", Path(path).stem)


def is_loaded_file(path: str | os.PathLike[str]) -> bool:
    """Whether a Python file with plugins is loaded; a bare name stands for any folder."""
    file = getattr(sys.modules.get(local_module(path)), "__file__", None)
    if file is None:
        return False
    named, loaded = Path(path).expanduser(), Path(file)
    return named.absolute() == loaded or (named.parent == Path() and named.name == loaded.name)


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
    def local_file(self) -> str:
        """Name of the Python file that defines it; empty if it is not a local plugin."""
        module = self.module.partition(":")[0]
        file = getattr(sys.modules.get(module), "__file__", None)
        return Path(file).name if file and module.startswith(LOCAL_MODULE) else ""

    @property
    def provider(self) -> str:
        """Its local file, or else its distribution and version, for people."""
        return self.local_file or f"{self.distribution} {self.version}".strip(" ()")

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
    return [_candidate(distribution, *entry) for distribution, entry in entry_points(group)]


EntryPoint = tuple[str, str, str]
"""Name, value and group."""

_scanned: dict[tuple[object, ...], dict[str, list[tuple[InstalledDistribution, EntryPoint]]]] = {}


def entry_points(group: str) -> list[tuple[InstalledDistribution, EntryPoint]]:
    """Return the installed entry points of a group, with their distributions."""
    return _groups().get(group, [])


def entry_point_groups() -> tuple[str, ...]:
    """Return the names of all groups of installed entry points."""
    return tuple(_groups())


def _groups() -> dict[str, list[tuple[InstalledDistribution, EntryPoint]]]:
    """Return all installed entry points by group; nothing is imported.

    They are read again only if a folder of ``sys.path`` has changed since.
    """
    state = tuple((folder, _changed_at(folder)) for folder in sys.path)
    if state not in _scanned:
        forget_installed()
        groups: dict[str, list[tuple[InstalledDistribution, EntryPoint]]] = {}
        for distribution in installed_distributions():
            for entry in distribution.entry_points:
                groups.setdefault(entry[2], []).append((distribution, entry))
        _scanned[state] = groups
    return _scanned[state]


def forget_installed() -> None:
    """Read the entry points again when they are needed next."""
    _scanned.clear()


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


def _candidate(
    distribution: InstalledDistribution, name: str, value: str, group: str
) -> PluginCandidate:
    return PluginCandidate(
        name,
        distribution.name,
        distribution.version,
        # The value may end with extras in brackets.
        module=value.partition("[")[0].replace(" ", ""),
        requires=distribution.requires,
        entry_point=importlib_metadata.EntryPoint(name, value, group),
    )
