"""What the source code of a plugin says about it, read without running it.

``cellvision plugins`` describes every installed plugin and imports none, so a slow or crashing
one affects only those who use it. What was read is cached by file, size and time of change.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cellvision import atomic_io
from cellvision.user_folders import cache_folder

_FORMAT = 2
"""Incremented whenever the cached content changes its meaning."""

_MOST_STEPS = 5
"""Most re-exports that are followed from an entry point to its class."""


@dataclass(frozen=True)
class ClassSource:
    """What a module's source says of a class.

    Attributes
    ----------
    description : str
        First line of the docstring.
    bases : tuple of str
        Last parts of the names of its bases, such as ``Dataset``.
    former_names : dict of str to str
        The literal value of its attribute ``former_names``.
    interface_version : int or None
        The literal value of its attribute ``interface_version``.
    defines : tuple of str
        Names that its body defines.
    disabled : tuple of str
        Those of its attributes whose literal value is False.
    """

    description: str = ""
    bases: tuple[str, ...] = ()
    former_names: dict[str, str] = field(default_factory=dict)
    interface_version: int | None = None
    defines: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()

    def may_override(self, name: str, interface: str) -> bool:
        """Whether the class may have another attribute of this name than its interface has."""
        return bool({name, _ANYTHING} & set(self.defines)) or self.bases != (interface,)


@dataclass(frozen=True)
class ModuleSource:
    """What a module's source says.

    Attributes
    ----------
    description : str
        First line of the docstring.
    classes : dict of str to ClassSource
        Its classes, by name.
    exports : dict of str to str
        Names that it imports from other modules, as ``module:name``.
    imports : tuple of str
        Top-level packages that it must be able to import.
    others : tuple of str
        Further names that it defines, which are no classes.
    complete : bool
        Whether no other name can exist: there is no ``import *`` and no ``__getattr__``.
    fault : str
        Why it cannot be imported at all; empty if nothing is known.
    """

    description: str = ""
    classes: dict[str, ClassSource] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    complete: bool = True
    fault: str = ""


@dataclass(frozen=True)
class Description:
    """What is known of the object behind an entry point.

    Attributes
    ----------
    text : str
        One line.
    fault : str
        Why it cannot be used, as far as the source shows it; empty if nothing is known.
    source : ClassSource or None
        The class, if it was found.
    """

    text: str = ""
    fault: str = ""
    source: ClassSource | None = None


def describe(target: str) -> Description:
    """Describe the object behind an entry point such as ``package.module:Class``."""
    for _ in range(_MOST_STEPS):
        module, _, name = target.partition(":")
        try:
            file = source_file(module)
        except ImportError as error:
            return Description(fault=f"ModuleNotFoundError: {error}")
        if file is None:
            return Description()
        source = module_source(file, module)
        fault = source.fault or _missing_import(source)
        if fault:
            return Description(fault=fault)
        if not name:
            return Description(source.description)
        if name in source.classes:
            source_class = source.classes[name]
            return Description(source_class.description, "", source_class)
        if name in source.exports:
            target = source.exports[name]
            continue
        if name in source.others:
            return Description(source.description, f"{name} is not a class")
        if not source.complete:
            return Description(source.description)
        return Description(fault=f"AttributeError: module {module!r} has no {name!r}")
    return Description()


def source_file(module: str) -> Path | None:
    """Find the source file of a module without importing its packages.

    Returns
    -------
    pathlib.Path or None
        None for a module that is not written in Python.

    Raises
    ------
    ImportError
        There is no such module.
    """
    first, *rest = module.split(".")
    spec = _top_level(first)
    name = first
    for part in rest:
        locations = None if spec is None else spec.submodule_search_locations
        name = f"{name}.{part}"
        spec = importlib.machinery.PathFinder.find_spec(name, locations) if locations else None
    if spec is None:
        raise ImportError(f"No module named {name!r}")
    origin = spec.origin or ""
    return Path(origin) if origin.endswith(".py") else None


def _top_level(name: str) -> importlib.machinery.ModuleSpec | None:
    if name not in sys.modules:
        # Looking into every folder takes half a millisecond for each name.
        folders = _folders_by_name(tuple(sys.path)).get(name)
        spec = importlib.machinery.PathFinder.find_spec(name, folders) if folders else None
        if spec is not None:
            return spec
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a module without a specification
        return None


@functools.lru_cache(maxsize=1)
def _folders_by_name(path: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the folders of a search path by the names in them, up to the first dot.

    A name that is missing, or no longer there, is looked for by Python itself.
    """
    folders: dict[str, list[str]] = {}
    for folder in dict.fromkeys(path):
        with suppress(OSError):
            for name in {entry.partition(".")[0] for entry in os.listdir(folder or ".")}:  # noqa: PTH208
                folders.setdefault(name, []).append(folder)
    return folders


def _missing_import(source: ModuleSource) -> str:
    for name in source.imports:
        if name in sys.modules or name in _importable:
            continue
        if _top_level(name) is None:
            return f"ModuleNotFoundError: No module named {name!r}"
        _importable.add(name)
    return ""


_importable: set[str] = set()
"""Top-level packages that were found before; looking for one takes a tenth of a millisecond."""


# --- reading, with a cache -------------------------------------------------------------------


def module_source(file: Path, module: str) -> ModuleSource:
    """Return what a source file says, from the cache if the file has not changed."""
    try:
        status = file.stat()
        key, state = str(file), [status.st_mtime_ns, status.st_size]
        cached = _cache().get(key)
        if cached is not None and cached["state"] == state:
            return _from_plain(cached["source"])
        source = parse(file.read_bytes(), module, is_package=file.name == "__init__.py")
    except OSError as error:
        return ModuleSource(fault=f"{file}: {error.strerror or error}")
    _cache()[key] = {"state": state, "source": asdict(source)}
    _changed.append(key)
    return source


_changed: list[str] = []
"""Files whose descriptions have to be written to the cache."""


def _cache_file() -> Path:
    return cache_folder() / "plugin-descriptions.json"


@functools.cache
def _cache() -> dict[str, Any]:
    with suppress(OSError, ValueError):
        content = json.loads(_cache_file().read_text(encoding="utf-8"))
        if content["format"] == [_FORMAT, sys.version]:
            return dict(content["files"])
    return {}


def save_cache() -> None:
    """Write what was read to the cache, without files that no longer exist."""
    if not _changed:
        return
    _changed.clear()
    files = {key: value for key, value in _cache().items() if os.path.exists(key)}  # noqa: PTH110
    with suppress(OSError, TypeError):  # the cache is only for speed
        _cache_file().parent.mkdir(parents=True, exist_ok=True)
        content = {"format": [_FORMAT, sys.version], "files": files}
        atomic_io.text(_cache_file(), json.dumps(content))


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _from_plain(values: dict[str, Any]) -> ModuleSource:
    classes = {name: ClassSource(**_with_tuples(item)) for name, item in values["classes"].items()}
    tuples = {name: tuple(values[name]) for name in ("imports", "others")}
    return ModuleSource(**{**values, **tuples, "classes": classes})


# --- parsing ---------------------------------------------------------------------------------


def parse(source: bytes, module: str, *, is_package: bool = False) -> ModuleSource:
    """Read the source of a module.

    Parameters
    ----------
    source
        The content of its file.
    module
        Its name, from which relative imports start.
    is_package
        Whether the file is ``__init__.py``.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        return ModuleSource(fault=f"{type(error).__name__}{line}: {reason}")
    package = module if is_package else module.rpartition(".")[0]
    classes: dict[str, ClassSource] = {}
    exports: dict[str, str] = {}
    imports: list[str] = []
    others: list[str] = []
    complete = True
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            classes[node.name] = _class(node)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, package)
            imports.append(origin.partition(".")[0])
            complete = complete and all(alias.name != "*" for alias in node.names)
            exports |= {
                alias.asname or alias.name: f"{origin}:{alias.name}" for alias in node.names
            }
        elif isinstance(node, ast.Import):
            imports += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            others.append(node.name)
            complete = complete and node.name != "__getattr__"
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            others += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif not _defines_nothing(node):
            complete = False  # a name may be assigned in any way
    text = (ast.get_docstring(tree) or "").partition("\n")[0]
    unique = tuple(dict.fromkeys(imports))
    return ModuleSource(text, classes, exports, unique, tuple(others), complete)


def _defines_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a docstring
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.AnnAssign | ast.Assign):
        # An attribute of something, such as Class.__doc__, defines no name.
        targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
        return all(isinstance(target, ast.Attribute) for target in targets)
    return False


def _origin(node: ast.ImportFrom, package: str) -> str:
    """Return the absolute name of the module that names are imported from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _class(node: ast.ClassDef) -> ClassSource:
    attributes: dict[str, Any] = {}
    defines = [_ANYTHING] if node.decorator_list else []
    for item in node.body:
        targets: list[ast.expr] = [item.target] if isinstance(item, ast.AnnAssign) else []
        if isinstance(item, ast.Assign):
            targets = item.targets
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if isinstance(item, ast.FunctionDef | ast.ClassDef):
            names = [item.name]
        elif not names and not isinstance(item, ast.Pass | ast.Expr):
            names = [_ANYTHING]
        defines += names
        value = getattr(item, "value", None)
        if len(targets) == len(names) == 1 and isinstance(value, ast.expr):
            with suppress(ValueError):
                attributes[names[0]] = ast.literal_eval(value)
    former, version = attributes.get("former_names"), attributes.get("interface_version")
    return ClassSource(
        (ast.get_docstring(node) or "").partition("\n")[0],
        tuple(_last_name(base) for base in node.bases),
        {str(k): str(v) for k, v in former.items()} if isinstance(former, dict) else {},
        version if isinstance(version, int) else None,
        tuple(defines),
        tuple(name for name, value in attributes.items() if value is False),
    )


_ANYTHING = "*"
"""Stands for names that a decorator, or a statement in the body of a class, may define."""


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
