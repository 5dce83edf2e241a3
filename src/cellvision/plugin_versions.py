"""What a record was made with, held against what is installed now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import importlib_metadata

from cellvision.interfaces.architecture import architectures
from cellvision.interfaces.augmenter import augmenters
from cellvision.interfaces.dataset import datasets
from cellvision.interfaces.reporter import reporters

_REGISTRIES = {each.group: each for each in (architectures, augmenters, datasets, reporters)}

_ENVIRONMENT = ("cellvision", "keras")
"""The distributions whose versions a record's environment tells."""


def missing_plugins(plugins: Mapping[str, str]) -> dict[str, str]:
    """The plugins that nobody offers now.

    Parameters
    ----------
    plugins
        As in ``run.json``: ``group:name`` to ``distribution==version``.
    """
    gone = {}
    for full, requirement in plugins.items():
        group, _, name = full.partition(":")
        if group in _REGISTRIES and name.rpartition(":")[2] not in _REGISTRIES[group]:
            gone[full] = requirement
    return gone


def other_versions(record: Mapping[str, Any]) -> list[str]:
    """The distributions that have another version now, as ``keras 3.10.0, now 3.15.1``.

    Parameters
    ----------
    record
        What ``run.json`` holds.
    """
    environment = record.get("environment", {})
    then = {name: environment[name] for name in _ENVIRONMENT if name in environment}
    for requirement in record.get("plugins", {}).values():
        distribution, _, version = requirement.partition("==")
        if version:
            then[distribution] = version
    now = {name: _version(name) for name in then}
    return [
        f"{name} {then[name]}, now {version}"
        for name, version in sorted(now.items())
        if version not in (None, then[name])
    ]


def _version(distribution: str) -> str | None:
    try:
        return importlib_metadata.version(distribution)
    except importlib_metadata.PackageNotFoundError:
        return None
