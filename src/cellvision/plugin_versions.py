"""Compare the plugins and versions of a record with what is installed now."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import importlib_metadata

from cellvision import errors
from cellvision.data.decoder_plugins import GROUP as DECODERS
from cellvision.data.decoder_plugins import plugin_suffixes
from cellvision.interfaces.architecture import architectures
from cellvision.interfaces.augmenter import augmenters
from cellvision.interfaces.dataset import datasets
from cellvision.interfaces.recipe import recipes
from cellvision.interfaces.reporter import reporters
from cellvision.interfaces.splitter import splitters
from cellvision.local_plugins import loaded_files
from cellvision.registry import Registry

if TYPE_CHECKING:
    from cellvision.results.metadata import RunMetadata

_REGISTRIES: dict[str, Registry[Any]] = {
    registry.group: registry
    for registry in (architectures, augmenters, datasets, reporters, splitters)
}

_log = logging.getLogger(__name__)

_ENVIRONMENT = ("cellvision", "keras")
"""Distributions whose versions a record's ``environment`` contains."""


def missing_plugins(plugins: Mapping[str, str]) -> dict[str, str]:
    """Return the plugins that a run needs and that are not installed now.

    A plugin of the same name in another distribution does not count, unless the user prefers it.
    A recipe is not needed, because its settings are recorded.

    Parameters
    ----------
    plugins
        As in ``run.json``: ``group:name`` to ``distribution==version``.
    """
    missing = {}
    for full_name, requirement in plugins.items():
        group, _, name = full_name.partition(":")
        is_missing = (
            f".{name.lower()}" not in plugin_suffixes()
            if group == DECODERS
            else group in _REGISTRIES and not _is_provided(_REGISTRIES[group], name, requirement)
        )
        if is_missing:
            missing[full_name] = requirement
    return missing


def _is_provided(registry: Registry[Any], name: str, requirement: str) -> bool:
    return registry.recorded(name, requirement) in registry


def missing_recipe(plugins: Mapping[str, str]) -> str:
    """Say in one line that the recipe of a record is not installed; empty if it is.

    Parameters
    ----------
    plugins
        As in `missing_plugins`.
    """
    for full_name, requirement in plugins.items():
        group, _, name = full_name.partition(":")
        if group == recipes.group and not _is_provided(recipes, name, requirement):
            return (
                f"the recipe {name!r} ({requirement}), which chose its settings, is not installed; "
                "they are recorded, so it is not needed"
            )
    return ""


def differences(record: Mapping[str, Any]) -> list[str]:
    """Say, in a line each, how what is installed differs from what a run was made with.

    Parameters
    ----------
    record
        The content of ``run.json``.
    """
    versions = "; ".join(other_versions(record))
    lines = [missing_recipe(record.get("plugins", {}))]
    lines += [f"made with other versions: {versions}"] if versions else []
    return [line for line in [*lines, *changed_files(record)] if line]


def changed_files(record: Mapping[str, Any], *groups: str) -> list[str]:
    """Say, in a line each, which loaded local plugin files have changed since a run.

    A file that provides none of the recorded plugins does not count.

    Parameters
    ----------
    record
        The content of ``run.json``.
    groups
        Entry-point groups of the plugins to compare; all if there are none.
    """
    used = {
        requirement
        for full_name, requirement in record.get("plugins", {}).items()
        if not groups or full_name.partition(":")[0] in groups
    }
    current = {file.path.name: file.digest for file in loaded_files()}
    return [
        f"{name} has changed since this run was trained, so its plugins may behave differently "
        f"than then; the run keeps the file as it was: plugins/{name}"
        for name, digest in record.get("local_plugins", {}).items()
        if name in used and current.get(name, digest) != digest
    ]


def warn_of_differences(metadata: RunMetadata, folder: Path) -> None:
    """Log what `differences` finds; for several runs with the same ones, only once.

    Parameters
    ----------
    metadata
        The content of ``run.json``.
    folder
        Folder of the run.
    """
    _warn(differences(_record(metadata)), folder)


def warn_of_changed_files(metadata: RunMetadata, folder: Path, *groups: str) -> None:
    """Log what `changed_files` finds; for several runs with the same changes, only once.

    Parameters
    ----------
    metadata
        The content of ``run.json``.
    folder
        Folder of the run.
    groups
        As for `changed_files`.
    """
    _warn(changed_files(_record(metadata), *groups), folder)


def _record(metadata: RunMetadata) -> dict[str, Any]:
    return metadata.model_dump(include={"environment", "plugins", "local_plugins"})


def _warn(lines: Iterable[str], folder: Path) -> None:
    for line in lines:
        if line not in _logged:
            _logged.add(line)
            _log.warning("%s: %s", folder, line)


_logged: set[str] = set()


def raise_if_missing(plugins: Mapping[str, str], folder: Path) -> None:
    """Raise an error that names all plugins of a run which are not installed.

    Parameters
    ----------
    plugins
        As in `missing_plugins`.
    folder
        Folder of the run, for the message.

    Raises
    ------
    errors.UnknownPlugin
        At least one is missing.
    """
    missing = missing_plugins(plugins)
    if missing:
        raise errors.UnknownPlugin(
            f"{folder}: plugins that this run needs are not installed: "
            + ", ".join(f"{name} ({requirement})" for name, requirement in missing.items()),
            how_to_install(missing.values(), folder),
        )


def how_to_install(requirements: Iterable[str], folder: Path) -> str:
    """Return a hint for plugins of a record: distributions, and files of which it has copies.

    Parameters
    ----------
    requirements
        ``distribution==version``, or the name of a local file such as ``my_net.py``.
    folder
        The folder of the run.
    """
    names = sorted(set(requirements))
    installable = [f'"{name}"' for name in names if not name.endswith(".py")]
    hints = [f"python -m pip install {' '.join(installable)}"] if installable else []
    hints += [
        f"Read the run's copy of the plugin, and load it: --plugin {folder / 'plugins' / name}"
        for name in names
        if name.endswith(".py")
    ]
    return "; ".join(hints)


def other_versions(record: Mapping[str, Any]) -> list[str]:
    """List the distributions whose version differs now, as ``keras 3.10.0, now 3.15.1``.

    Parameters
    ----------
    record
        The content of ``run.json``.
    """
    environment = record.get("environment", {})
    recorded = {name: environment[name] for name in _ENVIRONMENT if environment.get(name)}
    for requirement in record.get("plugins", {}).values():
        distribution, _, version = requirement.partition("==")
        if version:
            recorded[distribution] = version
    installed = {name: _version(name) for name in recorded}
    return [
        f"{name} {recorded[name]}, now {version}"
        for name, version in sorted(installed.items())
        if version not in (None, recorded[name])
    ]


def _version(distribution: str) -> str | None:
    try:
        return importlib_metadata.version(distribution)
    except importlib_metadata.PackageNotFoundError:
        return None
