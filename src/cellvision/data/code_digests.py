"""Digests of the source code of plugins, by which caches notice that an author has edited it.

They cover the whole package that defines a class, because a method may call functions of any of
its modules, the other packages of its distribution, and the version of the distribution. Compiled
modules count, because they are built again without a new version; files of data do not. They do
not cover cellvision and the packages that it is built on, whose
changes are noticed by other means.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import importlib_metadata

from cellvision.component import Component, nested_components
from cellvision.installed_metadata import InstalledDistribution
from cellvision.plugin_candidates import entry_point_groups, entry_points
from cellvision.plugin_source import source_file

_OTHERS = frozenset(
    {
        *("cellvision", "keras", "tensorflow", "jax", "torch", "numpy", "scipy", "sklearn"),
        *("pydantic", "pandas", "PIL", "skimage", "imagecodecs", "tifffile"),
    }
)
"""Packages that are no plugins."""

_MOST_FILES = 1000
"""Of a larger package, only the module itself and the version count. Reading 78 files takes 12 ms,
and 904 files 0.4 s; once they have been read, looking whether they have changed takes a third."""

_CODE = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
"""Ends of names of files with code."""

_NO_PARTS = frozenset({"conftest", "docs", "noxfile", "setup", "test", "tests"})
"""Modules and packages in the folder of a project that are not installed."""

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
"""Types of values that are the same in every process."""


def source_digest(settings: Any) -> str:
    """Return a digest of the source code of the components in some settings, at any depth.

    The packages of their base classes count, too.
    """
    kinds = {
        kind: None
        for component in nested_components(settings)
        for kind in type(component).__mro__
        if issubclass(kind, Component)
    }
    digest = hashlib.sha256()
    for kind in kinds:
        digest.update(_class_code(kind))
    return digest.hexdigest()[:16]


def layers_digest(layers: Iterable[Any]) -> str:
    """Return a digest of the source code of layers or operations, in order.

    Those that Keras defines do not count. Two classes of one module may have one name, so the
    code of their methods counts, and the plain values of the function around them.
    """
    digest = hashlib.sha256()
    used: dict[type[Any], None] = {}
    for layer in layers:
        for kind in type(layer).__mro__:
            if not is_other(kind.__module__):
                digest.update(f"{kind.__module__}.{kind.__qualname__} {_methods(kind)}".encode())
                used[kind] = None
    for kind in {each.__module__: each for each in used}.values():
        digest.update(_class_code(kind))
    return digest.hexdigest()[:16]


def module_digest(name: str) -> bytes:
    """Return a digest of a module, its package and its distribution; the module need not be loaded.

    The other packages of the distribution count, too. It is empty if the module has no
    file, as in a notebook.
    """
    file = _file(name)
    if file is None:
        return b""
    digest = hashlib.sha256()
    top = name.partition(".")[0]
    _add_files(digest, *_package(name, file))
    for other in _packages_beside(top):
        other_file = _file(other)
        if other_file is not None:
            _add_files(digest, *_package(other, other_file))
    for version in _versions(top):
        digest.update(version.encode())
    return digest.digest()


def _add_files(digest: Any, package: Path, files: Iterable[Path]) -> None:
    for path in files:
        with suppress(OSError):
            status = path.stat()
            content = _content_digest(path, status.st_mtime_ns, status.st_size)
            digest.update(path.relative_to(package).as_posix().encode() + content)


def is_other(module: str) -> bool:
    """Whether a module belongs to Python, cellvision or a package that it is built on."""
    package = module.partition(".")[0]
    if package == "__main__":
        return False
    return package in _OTHERS or package in sys.stdlib_module_names


def _class_code(kind: type[Any]) -> bytes:
    if is_other(kind.__module__):
        return b""
    code = module_digest(kind.__module__)
    if not code:
        with suppress(OSError, TypeError):
            code = hashlib.sha256(inspect.getsource(kind).encode()).digest()
    if not code:  # a class of a notebook
        code = hashlib.sha256("".join(_methods(kind)).encode()).digest()
    return code


def _file(module: str) -> Path | None:
    """Return the source file of a module; None if it has none."""
    try:
        file = source_file(module)
    except ImportError:
        file = None
    if file is None:  # a script
        loaded = getattr(sys.modules.get(module), "__file__", None) or ""
        file = Path(loaded) if loaded.endswith(".py") else None
    return file if file is not None and file.is_file() else None


def _package(module: str, file: Path) -> tuple[Path, list[Path]]:
    """Return the outermost package around a module, without namespaces, and its source files."""
    depth = module.count(".") + (file.name == "__init__.py")
    packages = [folder for folder in file.parents[:depth] if (folder / "__init__.py").is_file()]
    # A module of a namespace has no package around it, and its folder takes the place of one.
    around = packages[-1] if packages else file.parent
    if depth:
        files = sorted(islice(_source_files(around), _MOST_FILES + 1))
        if len(files) <= _MOST_FILES:
            return around, files
    return file.parent, [file]


def _source_files(package: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(package):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(folder, name) for name in names if name.endswith(_CODE))


@lru_cache(maxsize=4 * _MOST_FILES)
def _content_digest(path: Path, _changed_at: int, _size: int) -> bytes:
    """Digest a file; each state of it is read once, and a module may be edited and reloaded."""
    return hashlib.sha256(path.read_bytes()).digest()


def _distributions(package: str) -> list[InstalledDistribution]:
    """Return the distributions with plugins that a package is a part of, by name."""
    plugins = {
        distribution.name: distribution
        for group in entry_point_groups()
        if group.startswith("cellvision.")
        for distribution, _ in entry_points(group)
    }
    return [plugins[name] for name in sorted(plugins) if package in _parts(plugins[name])]


def _parts(distribution: InstalledDistribution) -> set[str]:
    """Return the packages and modules of a distribution."""
    names = {_top_level(value) for _, value, _ in distribution.entry_points}
    listed, folders = _listed(distribution.name, distribution.version)
    return names | listed | {name for folder in folders for name in _modules_in(folder)}


def _top_level(value: str) -> str:
    """Return the package of an entry point, ``package.module:Class``."""
    return value.partition(":")[0].partition(".")[0].strip()


def _packages_beside(package: str) -> list[str]:
    """Return the other packages and modules of the distributions that provide a package."""
    names = {name for found in _distributions(package) for name in _parts(found)}
    return sorted(name for name in names - {package, ""} if not is_other(name))


@lru_cache(maxsize=256)
def _listed(distribution: str, _version: str) -> tuple[frozenset[str], tuple[Path, ...]]:
    """Return the packages and modules that the metadata of a distribution list.

    An editable installation may list none, but a file that adds a folder to ``sys.path``; those
    folders come second.
    """
    folders: list[Path] = []
    try:
        found = importlib_metadata.distribution(distribution)
        names = (found.read_text("top_level.txt") or "").split()
        for file in found.files or ():
            first, *rest = file.parts
            if rest == ["__init__.py"] or (not rest and first.endswith(".py")):
                names.append(first.removesuffix(".py"))
            elif not rest and first.endswith(".pth"):
                folders += _folders_on_path(Path(str(file.locate())))
    except Exception:  # noqa: BLE001 - damaged metadata of any kind
        return frozenset(), ()
    parts = frozenset(name for name in names if name.isidentifier() and name[:1] != "_")
    return parts, tuple(folders)


def _folders_on_path(path_file: Path) -> list[Path]:
    """Return the folders that a file ``.pth`` adds to ``sys.path``."""
    lines = path_file.read_text(encoding="utf-8-sig").splitlines()
    folders = [path_file.parent / line.strip() for line in lines if line.strip()]
    return [folder for folder in folders if folder.is_dir() and folder != path_file.parent]


def _modules_in(folder: Path) -> Iterator[str]:
    """Yield the names of the modules and packages in the folder of a project."""
    with suppress(OSError):
        for path in folder.iterdir():
            name = path.name.removesuffix(".py")
            is_module = path.suffix == ".py" or (path / "__init__.py").is_file()
            if is_module and name.isidentifier() and name not in _NO_PARTS:
                yield name


def _versions(package: str) -> Iterator[str]:
    """Yield the versions of a package, as its plugins' distributions and it itself name them."""
    for distribution in _distributions(package):
        yield f"{distribution.name}=={distribution.version}"
    yield str(getattr(sys.modules.get(package), "__version__", ""))


def _methods(kind: type[Any]) -> list[str]:
    """Describe what a class's methods do, without names of files and numbers of lines."""
    methods = []
    for name, value in sorted(vars(kind).items()):
        function = inspect.unwrap(getattr(value, "__func__", value))
        if isinstance(function, FunctionType):
            methods.append(f"{name} {_function_code(function)}")
    return methods


def _function_code(function: FunctionType) -> str:
    cells = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not assigned yet
            cells.append(_plain(cell.cell_contents))
    defaults = [_plain(value) for value in function.__defaults__ or ()]
    return repr([_code(function.__code__), cells, defaults])


def _code(code: CodeType) -> list[Any]:
    return [code.co_code, code.co_names, [_plain(value) for value in code.co_consts]]


def _plain(value: Any) -> Any:
    """Return what stands for a value: itself, or only its type if it may differ by process."""
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, _PLAIN) else type(value).__name__
