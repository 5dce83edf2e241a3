"""Walk the plain settings of a model: resolve paths, and names that several plugins have."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from cellvision import errors
from cellvision.component import Component, Settings, current_settings, fields_by_key
from cellvision.registry import Registry

T = TypeVar("T")


@dataclass(frozen=True)
class _Changes:
    """What to do with each path, and with each name of a component."""

    path: Callable[[str], str] = lambda text: text
    name: Callable[[Registry[Any], str], str] = lambda registry, name: name  # noqa: ARG005
    renamed: Callable[[str, str], None] | None = None  # called with former and current names


def resolve_paths(values: T, model: type[Settings], folder: Path) -> T:
    """Resolve every relative path relative to a folder.

    Paths are the settings of type `pathlib.Path`, at any depth: in lists and tables, and in
    components inside of components. Addresses such as ``s3://bucket`` stay unchanged.

    Parameters
    ----------
    values
        Plain settings.
    model
        What they are settings of: a model or an interface.
    folder
        The folder.
    """
    changed: T = _value(model, values, _Changes(path=lambda text: resolve_path(text, folder)))
    return changed


def resolve_path(text: str, folder: Path) -> str:
    """Resolve a path relative to a folder; addresses and empty text stay unchanged."""
    return str(folder / Path(text).expanduser()) if text and "://" not in text else text


def by_distribution(values: T, model: type[Settings], plugins: Mapping[str, str]) -> T:
    """Choose the recorded distribution of each name.

    It is part of the name where several distributions provide it, or where it is not installed.

    Parameters
    ----------
    values
        Plain settings of a record.
    model
        What they are settings of: a model or an interface.
    plugins
        As in ``run.json``: ``group:name`` to ``distribution==version``.
    """

    def qualified(registry: Registry[Any], name: str) -> str:
        requirement = plugins.get(f"{registry.group}:{name}", "")
        return registry.recorded(name, requirement)

    changed: T = _value(model, values, _Changes(name=qualified))
    return changed


def by_default(values: T, model: type[Settings], distribution: str = "") -> T:
    """Choose a distribution for each name that several distributions provide.

    Parameters
    ----------
    values
        Plain settings that a plugin or cellvision chose, not a person.
    model
        What they are settings of: a model or an interface.
    distribution
        The distribution to prefer; next are those of this project.
    """

    def qualified(registry: Registry[Any], name: str) -> str:
        preferred = registry.qualified(name, distribution)
        return registry.default(name) if preferred == name else preferred

    changed: T = _value(model, values, _Changes(name=qualified))
    return changed


def migrated(values: T, model: type[Settings]) -> tuple[T, list[tuple[str, str]]]:
    """Replace the former names of settings and plugins by the current ones.

    Parameters
    ----------
    values
        Plain settings.
    model
        What they are settings of.

    Returns
    -------
    values : same as `values`
        The settings with current names.
    names : list of (str, str)
        Former and current name of each.
    """
    names: list[tuple[str, str]] = []

    def note(former: str, current: str) -> None:
        # Each alternative of a union is tried, so the same change is seen several times.
        if (former, current) not in names:
            names.append((former, current))

    return _value(model, values, _Changes(renamed=note)), names


def with_absolute_paths(value: T) -> T:
    """Return settings, or a collection of them, with absolute paths at any depth."""
    changed: Any = value
    if isinstance(value, Path):
        changed = value.expanduser().absolute()
    elif isinstance(value, Settings):
        updates = {name: with_absolute_paths(item) for name, item in value}
        updates = {name: new for name, new in updates.items() if new is not getattr(value, name)}
        changed = value.model_copy(update=updates) if updates else value
    elif type(value) in (tuple, list):
        items = [with_absolute_paths(item) for item in value]  # type: ignore[attr-defined]
        changed = type(value)(items)  # type: ignore[call-arg]
    elif type(value) is dict:
        changed = {
            key: with_absolute_paths(item)
            for key, item in value.items()  # type: ignore[attr-defined]
        }
    return value if changed == value else changed


def _value(kind: Any, value: Any, changes: _Changes) -> Any:
    """Return a value of a field of some type with the changes applied."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _value(arguments[0], value, changes)
    if origin in (Union, types.UnionType):
        alternatives = (_value(argument, value, changes) for argument in arguments)
        return next((new for new in alternatives if new != value), value)
    if origin is not None:
        return _items(origin, arguments, value, changes)
    if not isinstance(kind, type):
        return value
    if issubclass(kind, PurePath):
        return changes.path(value) if isinstance(value, str) else value
    if issubclass(kind, Component) and kind._interface:
        return _component(kind, value, changes)
    return _model(kind, value, changes) if issubclass(kind, Settings) else value


def _items(origin: Any, arguments: tuple[Any, ...], value: Any, changes: _Changes) -> Any:
    """Return a list or table with the changes applied to its items."""
    if not isinstance(origin, type) or not arguments:
        return value
    if issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {key: _value(arguments[-1], item, changes) for key, item in value.items()}
    if not isinstance(value, list | tuple) or issubclass(origin, Mapping):
        return value
    fixed = issubclass(origin, tuple) and arguments[-1] is not Ellipsis
    if fixed and len(arguments) == len(value):
        kinds = list(arguments)
    elif fixed or not issubclass(origin, Sequence | AbstractSet):
        return value
    else:
        kinds = [arguments[0]] * len(value)
    return type(value)(_value(kind, item, changes) for kind, item in zip(kinds, value, strict=True))


def _component(interface: type[Component], value: Any, changes: _Changes) -> Any:
    """Return a component's settings, or its name alone, with the changes applied."""
    if isinstance(value, str):
        return _current_name(interface, changes.name(interface.registry, value), changes)
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        return value
    name = changes.name(interface.registry, value["type"])
    settings = {**value, "type": name}
    try:
        cls = interface.registry.get(name)
    except errors.CellvisionError:
        return settings  # reported where the component is created
    settings["type"] = _current_name(interface, name, changes)
    return _model(cls, settings, changes)


def _current_name(interface: type[Component], name: str, changes: _Changes) -> str:
    """Return the current name of a renamed plugin, if names are to be changed."""
    if changes.renamed is None:
        return name
    try:
        cls = interface.registry.get(name)
    except errors.CellvisionError:
        return name
    if name.rpartition(":")[2] not in cls.former_names:
        return name
    current = interface.registry.name_of(cls)
    changes.renamed(name, current)
    return current


def _model(model: type[Settings], values: Any, changes: _Changes) -> Any:
    if not isinstance(values, Mapping):
        return values
    if changes.renamed is not None:
        for former in model.former_settings.keys() & values.keys():
            changes.renamed(former, model.former_settings[former].name)
        values = current_settings(model, values)
    kinds = {key: field.annotation for key, field in fields_by_key(model).items()}
    kinds |= {name: kinds[new.name] for name, new in model.former_settings.items()}
    return {
        key: _value(kinds[key], value, changes) if key in kinds else value
        for key, value in values.items()
    }
