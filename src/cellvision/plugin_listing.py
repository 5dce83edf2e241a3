"""Describe installed plugins for a list, from metadata and source code, without importing any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cellvision import interface_versions, plugin_source
from cellvision.plugin_candidates import PluginCandidate, preferred
from cellvision.plugin_info import Status

_INTERFACES = frozenset(
    {
        "Architecture",
        "Augmenter",
        "Control",
        "Dataset",
        "Exporter",
        "Recipe",
        "Reporter",
        "Splitter",
    }
)
"""Names of the interfaces: a class with another one as its base is in the wrong group."""


class Listing(NamedTuple):
    """What a list says of an installed plugin.

    Attributes
    ----------
    status, reason
        Whether it can be used, and if not, why.
    description
        One line.
    interface_version
        Version of the interface for which it was built; None if it is unknown.
    """

    status: Status
    reason: str
    description: str
    interface_version: int | None


def listing(group: str, base: type[object] | None, candidate: PluginCandidate) -> Listing:
    """Describe an installed plugin, without importing it.

    Parameters
    ----------
    group
        Entry-point group.
    base
        Interface of the group; None if its entry points are no classes.
    candidate
        The plugin.
    """
    summary = plugin_source.describe(candidate.module)
    source = summary.source
    declared = None if source is None else source.interface_version
    built_for = interface_versions.plugin_version(group, declared, candidate.requires)
    differs = interface_versions.difference(group, declared, candidate.requires)
    differs = differs or _unmet_requirement(candidate)
    if differs:
        reason = f"{differs}. {candidate.how_to_update}"
        return Listing("version", reason, summary.text, built_for)
    fault = summary.fault or _wrong_interface(base, source)
    if fault and not (base is None and fault.endswith("is not a class")):
        return Listing("broken", fault, summary.text, built_for)
    until = "" if source is None else source.former_names.get(candidate.name, "")
    former = f" (former name of another one, until {until})" if until else ""
    return Listing("ok", "", summary.text + former, built_for)


def rivals(candidate: PluginCandidate, candidates: Sequence[PluginCandidate]) -> tuple[str, ...]:
    """Return the other distributions that provide a name; none if this one is preferred."""
    same = [each for each in candidates if each.name == candidate.name]
    if preferred(same) == [candidate]:
        return ()
    return tuple(each.distribution for each in same if each is not candidate)


def names_that_may_override(
    candidates: Sequence[PluginCandidate], attribute: str, base: type[object]
) -> tuple[str, ...]:
    """Return the names whose classes may have another attribute than their interface.

    Parameters
    ----------
    candidates
        All plugins of the interface; their source code is read, and nothing is imported.
    attribute
        Name of a method, or of a class attribute that is False by default.
    base
        The interface.

    Returns
    -------
    tuple of str
        Without those whose source shows that the interface's own attribute is used, or is False.
    """

    def may_override(candidate: PluginCandidate) -> bool:
        source = None if candidate.cls else plugin_source.describe(candidate.module).source
        if source is None:
            return True
        return attribute not in source.disabled and source.may_override(attribute, base.__name__)

    names = {candidate.name for candidate in candidates if may_override(candidate)}
    plugin_source.save_cache()
    return tuple(sorted(names))


def _wrong_interface(base: type[object] | None, source: plugin_source.ClassSource | None) -> str:
    """Return in one line of which other interface a class is; empty if the source does not say."""
    if base is None or source is None or len(source.bases) != 1:
        return ""
    parent = source.bases[0]
    if parent not in _INTERFACES or parent == base.__name__:
        return ""
    return f"it derives from {parent}, not from cellvision.{base.__name__}"


def _unmet_requirement(candidate: PluginCandidate) -> str:
    """Return in one line which cellvision a distribution needs, if not this one; else nothing."""
    needed = interface_versions.required_cellvision(candidate.requires)
    version = interface_versions.this_version()
    if needed is None or needed.contains(version, prereleases=True):
        return ""
    return f"it needs cellvision {needed}, and this is {version}"
