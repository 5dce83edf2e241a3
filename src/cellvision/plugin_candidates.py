"""What a name may stand for: one class as one installed distribution provides it.

Candidates come from the metadata of installed distributions; nothing is imported for them.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import importlib_metadata

DISABLE = "CELLVISION_DISABLE"
"""Environment variable with plugins to ignore: ``distribution:name`` or ``distribution``,
separated by commas or spaces."""


@dataclass(frozen=True)
class PluginCandidate:
    """One name as one distribution provides it; only `load` imports the class."""

    name: str
    distribution: str
    version: str
    module: str
    entry_point: importlib_metadata.EntryPoint | None = None
    cls: type[Any] | None = None

    @property
    def origin(self) -> str:
        """Where it comes from, for messages."""
        return f"{self.distribution} {self.version}, {self.module}"

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
    return [_candidate(entry) for entry in importlib_metadata.entry_points(group=group)]


def is_disabled(candidate: PluginCandidate) -> bool:
    """Whether `DISABLE` names it, or its distribution as a whole."""
    own = normalize_distribution(candidate.distribution)
    entries = os.environ.get(DISABLE, "").replace(",", " ").split()
    parts = [entry.partition(":") for entry in entries]
    return any(
        normalize_distribution(distribution) == own and name in ("", candidate.name)
        for distribution, _, name in parts
    )


def normalize_distribution(name: str) -> str:
    """Return the comparable form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _candidate(entry_point: importlib_metadata.EntryPoint) -> PluginCandidate:
    name, version = "(unknown distribution)", ""
    if entry_point.dist is not None:
        with suppress(importlib_metadata.PackageNotFoundError, FileNotFoundError, KeyError):
            name, version = entry_point.dist.name or name, entry_point.dist.version or ""
    # The value may end with extras in brackets.
    module = entry_point.value.partition("[")[0].replace(" ", "")
    return PluginCandidate(entry_point.name, name, version, module, entry_point=entry_point)
