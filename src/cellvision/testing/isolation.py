"""Registries without the installed plugins, and distributions created for a test."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cellvision.installed_metadata import only
from cellvision.schema import REGISTRIES


class Isolation:
    """A folder of distributions; the registries see no others.

    Parameters
    ----------
    folder
        Plays the part of ``site-packages``.
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
        """Write the metadata and modules of a distribution, without pip and network.

        Parameters
        ----------
        distribution
            Name of the distribution.
        entry_points
            For each kind (``dataset``, ``augmenter``, ``architecture``, ...): names, and the
            ``module:Class`` that each refers to.
        modules
            Source code by module name.
        version
            Version of the distribution.
        requires
            Requirements of the distribution.

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
    """Make all registries read the installed names again."""
    for registry in REGISTRIES:
        registry.rescan()


@contextmanager
def isolated(folder: Path) -> Iterator[Isolation]:
    """Hide all installed and registered plugins; the registries see only those in `folder`.

    `folder` is on ``sys.path`` meanwhile. Modules imported from it are removed afterwards.
    """
    registered = [dict(registry._registered) for registry in REGISTRIES]
    path, modules = list(sys.path), set(sys.modules)

    for registry in REGISTRIES:
        registry._registered.clear()
    sys.path.insert(0, str(folder))
    forget()  # what was read before
    try:
        with only([str(folder)]):
            yield Isolation(folder)
    finally:
        for registry, before in zip(REGISTRIES, registered, strict=True):
            registry._registered.clear()
            registry._registered.update(before)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).is_relative_to(folder):
                del sys.modules[name]
        forget()
