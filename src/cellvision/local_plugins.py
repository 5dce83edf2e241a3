"""Plugins in a Python file beside an experiment, registered for this process only."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from cellvision import errors
from cellvision.component import Component, nested_components
from cellvision.interfaces.architecture import architectures
from cellvision.interfaces.augmenter import augmenters
from cellvision.interfaces.control import controls
from cellvision.interfaces.dataset import datasets
from cellvision.interfaces.exporter import exporters
from cellvision.interfaces.recipe import recipes
from cellvision.interfaces.reporter import reporters
from cellvision.interfaces.splitter import splitters
from cellvision.plugin_candidates import local_module
from cellvision.registry import Registry

_REGISTRIES: tuple[Registry[Any], ...] = (
    *(architectures, augmenters, controls, datasets, exporters, recipes, reporters, splitters),
)


@dataclass(frozen=True)
class LocalPlugins:
    """A Python file whose plugins are registered in this process.

    Attributes
    ----------
    path : pathlib.Path
        The file, absolute.
    source : bytes
        Its content when it was loaded.
    names : tuple of (str, str)
        Kind and name of each plugin, such as ``("architecture", "my_net")``.
    """

    path: Path
    source: bytes
    names: tuple[tuple[str, str], ...] = ()

    @property
    def module(self) -> str:
        """Name of its module."""
        return local_module(self.path)

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.source).hexdigest()


_loaded: dict[str, LocalPlugins] = {}
"""The loaded files, by module name."""


def load_plugins(path: str | os.PathLike[str]) -> LocalPlugins:
    """Run a Python file and register its plugins in this process.

    Every class of the file that derives from an interface is registered: under the name that a
    decorator such as ``@cv.architectures.register("mine")`` gives it, else under its own name in
    lower case, ``MyNet`` as ``my_net``. Classes whose names begin with an underscore are left out.
    A file may be edited and loaded again, which replaces its plugins.

    Parameters
    ----------
    path
        The file. It is code and runs with your permissions.

    Returns
    -------
    LocalPlugins
        The file's digest, and the names that it registered.

    Raises
    ------
    errors.BrokenPlugin
        The file is missing or raises an error, which is chained.
    errors.PluginConflict
        An installed distribution, another file or another class of the file provides one of the
        names, or another loaded file is called the same.
    errors.PluginContractError
        The file contains no plugin, or one that breaks the contract of its interface.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.load_plugins("my_net.py").names  # doctest: +SKIP
    (('architecture', 'my_net'),)
    """
    path = Path(path).expanduser().absolute()
    try:
        source = path.read_bytes()
    except OSError as error:
        raise errors.BrokenPlugin(
            f"{path}: plugins cannot be read: {error.strerror or error}",
            "Name a Python file with plugins.",
        ) from None
    module_name = LocalPlugins(path, source).module
    before = _loaded.get(module_name)
    if before is not None and before.source == source:
        return before
    if before is not None and before.path != path and before.path.exists():
        raise errors.PluginConflict(
            f"{path} and {before.path} are two files of one name",
            "Rename one of them, since the name is that of the module",
        )
    _forget(module_name)
    try:
        names = _register(_run(path, source, module_name))
    except BaseException:
        _forget(module_name)
        raise
    _loaded[module_name] = LocalPlugins(path, source, names)
    return _loaded[module_name]


def load_named_plugins(values: Mapping[str, Any], folder: Path, where: str) -> dict[str, Any]:
    """Load the files in the setting ``plugins`` of an experiment file.

    Parameters
    ----------
    values
        The plain settings of the file.
    folder
        What relative paths start from.
    where
        The file, for errors.

    Returns
    -------
    dict
        The setting with absolute paths; empty if there is none.
    """
    if "plugins" not in values:
        return {}
    files = values["plugins"]
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise errors.ExperimentError(
            f"{where}: plugins: expected a list of Python files (given: {files!r:.80})",
            'For example: plugins = ["./my_net.py"]',
        )
    loaded = [load_plugins(folder / Path(file).expanduser()) for file in files]
    return {"plugins": [str(file.path) for file in loaded]}


def local_file_of(cls: type[Any]) -> LocalPlugins | None:
    """Return the local file that defines a class; None for a class of a distribution."""
    return _loaded.get(cls.__module__)


def requirement_of(component: Component) -> str:
    """Return the origin of a component for a record.

    That is ``distribution==version``, or the name of a local file, such as ``my_net.py``.
    """
    file = local_file_of(type(component))
    registry = component.registry
    return file.path.name if file else registry.requirement(registry.name_of(type(component)))


def local_files(settings: Any) -> list[LocalPlugins]:
    """Return the local files that define the components in some settings, at any depth."""
    files = (local_file_of(type(component)) for component in nested_components(settings))
    return list({file.path.name: file for file in files if file is not None}.values())


def digests_of(settings: Any) -> dict[str, str]:
    """Return the SHA-256 of each local file that defines components in some settings, by name."""
    return {file.path.name: file.digest for file in local_files(settings)}


def raise_if_changed(
    recorded: Mapping[str, str], current: Mapping[str, str], folder: Path, what: str
) -> None:
    """Refuse to continue with another version of a local file than that of the start.

    Parameters
    ----------
    recorded, current
        SHA-256 of the local files then and now, by name.
    folder
        Folder with what is to be continued.
    what
        What it is: a run or a study.

    Raises
    ------
    errors.ResumeError
        A file has changed.
    """
    changed = sorted(name for name in recorded if current.get(name) not in (None, recorded[name]))
    if changed:
        raise errors.ResumeError(
            f"{folder}: {changed[0]} has changed since the {what} was started",
            f"Restore the file as it was then (its SHA-256 is {recorded[changed[0]]}), or name "
            "another folder.",
        )


def raise_if_unreachable(settings: Any) -> None:
    """Refuse classes that other processes cannot import, because they exist in this one only.

    Raises
    ------
    errors.ExperimentError
        A component's class is defined in a notebook, an interactive session or a function.
    """
    for component in nested_components(settings):
        cls = type(component)
        if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
            raise errors.ExperimentError(
                f"{component.registry.kind} {cls.__name__} is defined in this session, so other "
                "processes cannot import it",
                "Put the class in a file that they can read: "
                "cv.load_plugins('./my_plugins.py') or plugins = [\"./my_plugins.py\"]",
            )


def loaded_files() -> list[LocalPlugins]:
    """Return all local files that are loaded in this process."""
    return list(_loaded.values())


def _run(path: Path, source: bytes, module_name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None:
        raise errors.BrokenPlugin(f"{path}: not a Python file", "Name a .py file with plugins.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # pickle and Keras look classes up there
    try:
        # Not by the loader, whose cached bytecode may be older than an edit of the same second.
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the user's code
    except errors.CellvisionError:
        raise
    except (Exception, SystemExit) as error:
        line = _line(error, path)
        raise errors.BrokenPlugin(
            f"{path}{f', line {line}' if line else ''}: {errors.summarize(error)}",
            "Correct the file. It cannot import files beside it: for several modules, make a "
            "distribution with cellvision new-plugin.",
        ) from error
    return module


def _line(error: BaseException, path: Path) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno for f in reversed(frames) if f.filename == str(path)), None)


def _register(module: ModuleType) -> tuple[tuple[str, str], ...]:
    """Register the classes that have not registered themselves; return all of the file."""
    for cls in list(vars(module).values()):
        if not isinstance(cls, type) or cls.__module__ != module.__name__:
            continue
        if cls.__name__.startswith("_"):
            continue  # a base class, for example
        for registry in _REGISTRIES:
            if issubclass(cls, registry.base) and not _names(registry, cls):
                _raise_if_taken(registry, _snake_case(cls.__name__), cls, module)
                registry.register(_snake_case(cls.__name__), cls)
    names = tuple(
        (registry.kind, name)
        for registry in _REGISTRIES
        for name, cls in registry.registered().items()
        if cls.__module__ == module.__name__
    )
    if not names:
        raise errors.PluginContractError(
            f"{module.__file__}: no class derives from an interface of cellvision",
            "Define one, such as class MyNet(cellvision.Architecture).",
        )
    return names


def _raise_if_taken(registry: Registry[Any], name: str, cls: type[Any], module: ModuleType) -> None:
    """Refuse the name of another class of this file or of another one."""
    other = registry.registered().get(name)
    file = None if other is None else local_file_of(other)
    if other is not None and (file is not None or other.__module__ == module.__name__):
        raise errors.PluginConflict(
            f"{registry.kind} {name!r} is both {cls.__name__} of {module.__file__} and "
            f"{other.__name__} of {module.__file__ if file is None else file.path}",
            f"Rename one of them, or give it another name: "
            f'@cellvision.{registry.kind}s.register("mine")',
        )


def _names(registry: Registry[Any], cls: type[Any]) -> list[str]:
    return [name for name, other in registry.registered().items() if other is cls]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _forget(module_name: str) -> None:
    """Remove a file's classes from the registries."""
    for registry in _REGISTRIES:
        for name, cls in registry.registered().items():
            if cls.__module__ == module_name:
                registry.unregister(name)
    sys.modules.pop(module_name, None)
    _loaded.pop(module_name, None)
