"""Versions of the interfaces, and for which one a plugin was built.

A version changes when a plugin written for the one before would no longer work. A plugin need not
state it: the oldest cellvision that its distribution requires decides, unless the class sets
``interface_version``. Nothing is imported to find out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import metadata
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import Version


class Introduced(NamedTuple):
    """A version of an interface, and the first cellvision that has it."""

    version: int
    since: str


_FIRST = (Introduced(1, "0.1"),)

INTERFACE_VERSIONS: dict[str, tuple[Introduced, ...]] = {
    f"cellvision.{kind}": _FIRST
    for kind in (
        "architectures",
        "augmenters",
        "controls",
        "datasets",
        "decoders",
        "exporters",
        "recipes",
        "reporters",
        "splitters",
        "verbs",
    )
}
"""Entry-point group to the versions of its interface, oldest first."""


def current_version(group: str) -> int:
    """Return the version of an interface that this cellvision has."""
    return INTERFACE_VERSIONS.get(group, _FIRST)[-1].version


def required_cellvision(requirements: Iterable[str] | None) -> SpecifierSet | None:
    """Return the versions of cellvision that a distribution needs; None if it does not say.

    Parameters
    ----------
    requirements
        The requirements of the distribution; None if they are unknown.
    """
    for line in requirements or ():
        needed = _needed(line) if line.lower().startswith("cellvision") else None
        if needed is not None:
            return needed
    return None


@functools.cache  # a list of plugins needs it several times for each
def _needed(line: str) -> SpecifierSet | None:
    """Return the versions of cellvision that a requirement allows; None if it is for another."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return None
    is_ours = requirement.name == "cellvision" and requirement.marker is None
    return requirement.specifier if is_ours else None


def built_for(group: str, needed: SpecifierSet | None) -> int | None:
    """Return the version of an interface for which a distribution was built.

    Parameters
    ----------
    group
        Entry-point group of the interface.
    needed
        The versions of cellvision that the distribution needs. The lowest of them decides; None
        if there is no lowest.
    """
    lowest = [
        Version(specifier.version.removesuffix(".*"))
        for specifier in needed or ()
        if specifier.operator in _LOWER_LIMITS
    ]
    if not lowest:
        return None
    versions = INTERFACE_VERSIONS.get(group, _FIRST)
    fitting = [entry.version for entry in versions if Version(entry.since) <= max(lowest)]
    return fitting[-1] if fitting else versions[0].version


def plugin_version(
    group: str, declared: int | None, requirements: Iterable[str] | None
) -> int | None:
    """Return the version of an interface for which a plugin was built; None if it is unknown.

    Parameters
    ----------
    group, declared, requirements
        As for `difference`.
    """
    return built_for(group, required_cellvision(requirements)) if declared is None else declared


def refusal(group: str, declared: int | None, requirements: Iterable[str] | None) -> str:
    """Return in one line why a plugin cannot be used with this cellvision; empty if it can.

    It was built for another version of its interface, or needs a newer cellvision. An upper limit
    that this cellvision exceeds does not count: installers refuse it, and the interface decides.

    Parameters
    ----------
    group, declared, requirements
        As for `difference`.
    """
    differs = difference(group, declared, requirements)
    return f"is {differs}" if differs else needs_newer(requirements)


def needs_newer(requirements: Iterable[str] | None) -> str:
    """Return in one line which newer cellvision a plugin needs; empty if it needs none."""
    needed = required_cellvision(requirements)
    newer = [s for s in needed or () if s.operator in _LOWER_LIMITS and _is_newer(s)]
    return f"needs cellvision {needed}, and this is {this_version()}" if newer else ""


_LOWER_LIMITS = (">=", ">", "==", "~=")
"""Operators of a requirement that name the oldest version that fits."""


def _is_newer(specifier: Specifier) -> bool:
    oldest = Version(specifier.version.removesuffix(".*"))
    # 0.2.dev1 counts as 0.2: plugins are developed together with it.
    current = Version(this_version()).base_version
    return oldest >= Version(current) and not specifier.contains(current, prereleases=True)


@functools.cache
def this_version() -> str:
    """Return the version of this cellvision."""
    return metadata.version("cellvision")


def difference(group: str, declared: int | None, requirements: Iterable[str] | None) -> str:
    """Return in one line how a plugin's interface differs from the current one; empty if not.

    Parameters
    ----------
    group
        Entry-point group of the interface.
    declared
        What the class states, if it does.
    requirements
        The requirements of the distribution that provides it, if they are known.
    """
    needed = required_cellvision(requirements)
    version = plugin_version(group, declared, requirements)
    current = current_version(group)
    if version is None or version == current:
        return ""
    stated = "" if declared is not None or needed is None else f" (it needs cellvision {needed})"
    return f"built for version {version} of its interface{stated}; this cellvision has {current}"
