"""Registries without what happens to be installed, and distributions made on the spot."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import importlib_metadata

from cellvision.interfaces.architecture import architectures
from cellvision.interfaces.augmenter import augmenters
from cellvision.interfaces.dataset import datasets
from cellvision.interfaces.reporter import reporters
from cellvision.registry import Registry

REGISTRIES: tuple[Registry[Any], ...] = (datasets, augmenters, architectures, reporters)


class Isolation:
    """A folder of distributions, which are all that the registries know.

    Parameters
    ----------
    folder
        Stands for an environment's ``site-packages``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        distribution: str,
        entry_points: Mapping[str, Mapping[str, str]],
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        requires: Sequence[str] = ("cellvision",),
    ) -> None:
        """Install a made distribution, by hand and at once: no pip, no network.

        Parameters
        ----------
        distribution
            Its name.
        entry_points
            By kind (``dataset``, ``augmenter``, ``architecture``, ``reporter``): names, and
            what they stand for, ``module:Class``.
        modules
            Source code by the module's name.
        version
            Its version.
        requires
            What it depends on.

        Examples
        --------
        >>> isolation.install(  # doctest: +SKIP
        ...     "cellvision-mine", {"reporter": {"mine": "mine:Mine"}}, {"mine": source}
        ... )
        """
        information = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        information.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (information / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        sections = [
            f"[cellvision.{kind}s]\n" + "".join(f"{name} = {to}\n" for name, to in names.items())
            for kind, names in entry_points.items()
        ]
        (information / "entry_points.txt").write_text("\n".join(sections), encoding="utf-8")
        for name, source in (modules or {}).items():
            (self.folder / f"{name}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        forget()


def forget() -> None:
    """Let all registries read the installed names anew."""
    for registry in REGISTRIES:
        registry.rescan()


@contextmanager
def isolated(folder: Path) -> Iterator[Isolation]:
    """Hide what is installed and registered; the registries know only what is in `folder`.

    `folder` is on ``sys.path`` meanwhile, and what was imported from it is forgotten after.
    """
    known = importlib_metadata.entry_points
    registered = [dict(registry._registered) for registry in REGISTRIES]
    path, modules = list(sys.path), set(sys.modules)

    def only_ours(**asked: Any) -> Any:
        group = asked.get("group", "")
        if not group.startswith("cellvision."):
            return known(**asked)
        return [
            entry_point
            for distribution in importlib_metadata.distributions(path=[str(folder)])
            for entry_point in distribution.entry_points
            if entry_point.group == group
        ]

    importlib_metadata.entry_points = only_ours
    for registry in REGISTRIES:
        registry._registered.clear()
    sys.path.insert(0, str(folder))
    forget()
    try:
        yield Isolation(folder)
    finally:
        importlib_metadata.entry_points = known
        for registry, before in zip(REGISTRIES, registered, strict=True):
            registry._registered.clear()
            registry._registered.update(before)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).is_relative_to(folder):
                del sys.modules[name]
        forget()
