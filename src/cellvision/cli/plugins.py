"""``cellvision plugins``: list what is installed."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cellvision.plugin_info import PluginInfo


def run(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the installed plugins."""
    from cellvision.schema import REGISTRIES

    plugins = [info for registry in REGISTRIES for info in registry.plugins()]
    if as_json:
        print(json.dumps([_row(info) for info in plugins], indent=2))
    else:
        _show(plugins)
    for warning in (*_misspelt_groups(), *_other_versions(plugins)):
        print(f"warning: {warning}", file=sys.stderr)


def _show(plugins: list[PluginInfo]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from cellvision.cli.text import printable

    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "name", "distribution", "", "description"):
        table.add_column(heading, overflow="fold")
    marks = {"ok": ("", ""), "broken": ("broken", "red"), "conflict": ("conflict", "yellow")}
    for info in plugins:
        mark, style = marks[info.status]
        table.add_row(
            info.group.rpartition(".")[2],
            Text(printable(info.name), style="bold"),
            Text(printable(f"{info.distribution} {info.version}")),
            Text(mark, style=style),
            Text(printable(info.reason or info.description), style=style),
        )
    Console().print(table)


def _row(info: PluginInfo) -> dict[str, str]:
    return {key: value for key, value in asdict(info).items() if key != "module"}


def _misspelt_groups() -> Iterator[str]:
    """Find entry-point groups that look like ours and are none: their plugins are never found."""
    import importlib_metadata

    from cellvision.cli.text import printable
    from cellvision.schema import REGISTRIES

    known = [registry.group for registry in REGISTRIES]
    for entry_point in importlib_metadata.entry_points():
        group = entry_point.group
        if group in known or not group.lower().startswith("cellvision"):
            continue
        near = difflib.get_close_matches(group, known, n=1)
        source = entry_point.dist.name if entry_point.dist else entry_point.value
        hint = f" Did it mean {near[0]}?" if near else f" Groups: {', '.join(known)}."
        yield printable(
            f"{source}: entry point {entry_point.name!r} is in the unknown group {group}.{hint}"
        )


def _other_versions(plugins: list[PluginInfo]) -> Iterator[str]:
    """Find distributions that say they do not work with this version of cellvision."""
    import importlib_metadata
    from packaging.requirements import InvalidRequirement, Requirement

    from cellvision.cli.text import printable

    version = importlib_metadata.version("cellvision")
    for name in dict.fromkeys(info.distribution for info in plugins):
        try:
            lines = importlib_metadata.requires(name) or ()
            requirements = [Requirement(line) for line in lines]
        except (importlib_metadata.PackageNotFoundError, InvalidRequirement, ValueError):
            continue
        for needed in requirements:
            if needed.name != "cellvision" or needed.marker is not None:
                continue
            if not needed.specifier.contains(version, prereleases=True):
                yield printable(f"{name} needs {needed}, and this is cellvision {version}.")
