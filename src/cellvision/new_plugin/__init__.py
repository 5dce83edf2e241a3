"""Create a new plugin: a complete distribution, rendered from templates."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
from pathlib import Path

from cellvision import atomic_io, errors
from cellvision.known_plugins import KNOWN_DISTRIBUTIONS
from cellvision.schema import REGISTRIES

_REGISTRIES = {registry.kind: registry for registry in REGISTRIES}

_COMMON = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "test.yml": ".github/workflows/test.yml",
    "__init__.py": "src/{package}/__init__.py",
    "py.typed": "src/{package}/py.typed",
}
_PER_KIND = {
    "plugin.py": "src/{package}/{name}.py",
    "layer.py": "src/{package}/layer.py",
    "test.py": "tests/test_{name}.py",
}
"""Templates, and the files that they become."""

_USED_BY_EXAMPLES = frozenset({"field", "layer", "path", "sequence"})


def render(name: str, kind: str, out: str | os.PathLike[str] = ".") -> Path:
    """Write a distribution with one plugin: a small working example to start from.

    Parameters
    ----------
    name
        Name of the plugin: lower-case letters, digits and underscores.
    kind
        ``architecture``, ``augmenter``, ``control``, ``dataset``, ``exporter``, ``recipe``,
        ``reporter`` or ``splitter``.
    out
        Directory to create the plugin in.

    Returns
    -------
    pathlib.Path
        The folder of the distribution, ``cellvision-<name>``.

    Raises
    ------
    errors.ExperimentError
        The name is not valid, or there is no such kind.
    errors.PluginConflict
        The name is taken.
    errors.FolderError
        The folder exists or cannot be created.
    """
    if kind not in _REGISTRIES:
        raise errors.ExperimentError(
            f"no kind of plugin is called {kind!r}", f"Choose one of {', '.join(_REGISTRIES)}."
        )
    package = f"cellvision_{name}"
    _check_name(name)
    _check_not_taken(name, kind, package)
    target = Path(out) / package.replace("_", "-")
    exists = errors.FolderError(f"{target} exists already", "Choose another name or --out.")
    if target.exists():
        raise exists
    try:
        with atomic_io.folder(target) as folder:
            for file, content in _rendered(name, kind, package):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        if target.is_dir():  # another process was faster
            raise exists from error
        raise errors.FolderError(
            f"cannot create {target}: {error.strerror or error}", "Choose another --out."
        ) from error
    return target


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise errors.ExperimentError(
            f"{name!r} is not a valid name for a plugin",
            "Use lower-case letters, digits and single underscores, such as tiny_net.",
        )
    if name in _USED_BY_EXAMPLES:
        raise errors.ExperimentError(
            f"the name {name!r} already has a meaning in the generated code",
            "Choose a more specific name.",
        )


def _check_not_taken(name: str, kind: str, package: str) -> None:
    registry = _REGISTRIES[kind]
    if name in registry:
        raise errors.PluginConflict(
            f"{registry.requirement(name)} already provides the {kind} {name!r}",
            "Choose another name.",
        )
    for distribution, names in KNOWN_DISTRIBUTIONS.get(registry.group, {}).items():
        if name in names:
            raise errors.PluginConflict(
                f"{distribution} already provides the {kind} {name!r}",
                f"Choose another name, or install it: python -m pip install {distribution}",
            )
    known = {distribution for group in KNOWN_DISTRIBUTIONS.values() for distribution in group}
    if package.replace("_", "-") in known or importlib.util.find_spec(package) is not None:
        raise errors.PluginConflict(
            f"there is already a distribution {package.replace('_', '-')}", "Choose another name."
        )


def _rendered(name: str, kind: str, package: str) -> list[tuple[str, str]]:
    """Return path and content of every file of the distribution."""
    import importlib_metadata
    import jinja2

    major, minor = importlib_metadata.version("cellvision").split(".")[:2]
    values = {
        "name": name,
        "kind": kind,
        "package": package,
        "distribution": package.replace("_", "-"),
        "class_name": "".join(part.capitalize() for part in name.split("_")),
        "cellvision": f">={major}.{minor},<{major}.{int(minor) + 1}",
    }
    environment = jinja2.Environment(  # noqa: S701 - the templates are Python, not HTML
        loader=jinja2.PackageLoader("cellvision.new_plugin"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    templates = {f"common/{source}.j2": path for source, path in _COMMON.items()}
    templates |= {f"{kind}/{source}.j2": path for source, path in _PER_KIND.items()}
    available = set(environment.list_templates())
    return [
        (path.format(**values), environment.get_template(source).render(values))
        for source, path in templates.items()
        if source in available
    ]
