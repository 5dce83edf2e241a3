"""A new plugin: a complete distribution, rendered from templates."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
from pathlib import Path

from cellvision import atomic_io, errors
from cellvision.interfaces.architecture import architectures
from cellvision.interfaces.augmenter import augmenters
from cellvision.interfaces.dataset import datasets
from cellvision.interfaces.reporter import reporters
from cellvision.known_distributions import KNOWN_DISTRIBUTIONS

_REGISTRIES = {each.kind: each for each in (architectures, augmenters, datasets, reporters)}

_COMMON = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "test.yml": ".github/workflows/test.yml",
    "__init__.py": "src/{package}/__init__.py",
    "py.typed": "src/{package}/py.typed",
}
_OF_KIND = {
    "plugin.py": "src/{package}/{name}.py",
    "layer.py": "src/{package}/layer.py",
    "test.py": "tests/test_{name}.py",
}
"""Templates, and what they become."""

_USED = frozenset({"field", "layer", "path", "sequence"})
"""Names that the examples use themselves."""


def render(name: str, kind: str, out: str | os.PathLike[str] = ".") -> Path:
    """Write a new distribution with one plugin: a small example that works, to be changed.

    Parameters
    ----------
    name
        What the plugin will be called: small letters, digits and underscores.
    kind
        ``architecture``, ``augmenter``, ``dataset`` or ``reporter``.
    out
        Where its folder is made.

    Returns
    -------
    pathlib.Path
        The folder, ``cellvision-<name>``.

    Raises
    ------
    errors.ExperimentError
        The name cannot be one, or there is no such kind.
    errors.PluginConflict
        The name is taken.
    errors.FolderError
        The folder is there already, or cannot be made.
    """
    if kind not in _REGISTRIES:
        raise errors.ExperimentError(
            f"no kind of plugin is called {kind!r}", f"One of {', '.join(_REGISTRIES)}"
        )
    package = f"cellvision_{name}"
    _check(name, kind, package)
    target = Path(out) / package.replace("_", "-")
    if target.exists():
        raise errors.FolderError(f"{target} is there already", "Choose another name or --out")
    try:
        with atomic_io.folder(target) as folder:
            for file, content in _rendered(name, kind, package):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        raise errors.FolderError(
            f"{target} cannot be made: {error.strerror or error}", "Choose another --out"
        ) from error
    return target


def _check(name: str, kind: str, package: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise errors.ExperimentError(
            f"a plugin cannot be called {name!r}",
            "Use small letters, digits and single underscores, such as tiny_net",
        )
    if name in _USED:
        raise errors.ExperimentError(
            f"a plugin should not be called {name!r}, which means something else in its code",
            "Choose a name that tells more",
        )
    registry = _REGISTRIES[kind]
    if name in registry:
        raise errors.PluginConflict(
            f"there is a {kind} {name!r} already, of {registry.requirement(name)}",
            "Choose another name",
        )
    homes = [home for home, names in KNOWN_DISTRIBUTIONS.items() if name in names]
    if f"cellvision-{kind}s" in homes:
        raise errors.PluginConflict(
            f"there is a {kind} {name!r} already, of cellvision-{kind}s", "Choose another name"
        )
    if importlib.util.find_spec(package) is not None or package.replace("_", "-") in (
        KNOWN_DISTRIBUTIONS
    ):
        raise errors.PluginConflict(
            f"there is a package {package!r} already", "Choose another name"
        )


def _rendered(name: str, kind: str, package: str) -> list[tuple[str, str]]:
    import importlib_metadata
    import jinja2

    major, minor = importlib_metadata.version("cellvision").split(".")[:2]
    known = {
        "name": name,
        "kind": kind,
        "package": package,
        "distribution": package.replace("_", "-"),
        "class_name": "".join(part.capitalize() for part in name.split("_")),
        "cellvision": f">={major}.{minor},<{major}.{int(minor) + 1}",
    }
    environment = jinja2.Environment(  # noqa: S701 - what is rendered is Python, not HTML
        loader=jinja2.PackageLoader("cellvision.new_plugin"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    templates = {f"common/{source}.j2": to for source, to in _COMMON.items()}
    templates |= {f"{kind}/{source}.j2": to for source, to in _OF_KIND.items()}
    there = set(environment.list_templates())
    return [
        (to.format(**known), environment.get_template(source).render(known))
        for source, to in templates.items()
        if source in there
    ]
