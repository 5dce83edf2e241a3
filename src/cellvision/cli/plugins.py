"""``cellvision plugins``: what is installed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cellvision.registry import PluginInfo


def run(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list for machines.")] = False,
) -> None:
    """List the installed datasets, augmenters, architectures and reporters."""
    from cellvision.interfaces.architecture import architectures
    from cellvision.interfaces.augmenter import augmenters
    from cellvision.interfaces.dataset import datasets
    from cellvision.interfaces.reporter import reporters

    kinds = (datasets, augmenters, architectures, reporters)
    found = [info for registry in kinds for info in registry.plugins()]
    if as_json:
        print(json.dumps([_row(info) for info in found], indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "name", "distribution", "", "what it is"):
        table.add_column(heading, overflow="fold")
    marks = {"ok": ("", ""), "broken": ("broken", "red"), "conflict": ("conflict", "yellow")}
    for info in found:
        mark, style = marks[info.status]
        table.add_row(
            info.group.rpartition(".")[2],
            Text(info.name, style="bold"),
            f"{info.distribution} {info.version}",
            Text(mark, style=style),
            Text(info.reason or info.description, style=style),
        )
    Console().print(table)


def _row(info: PluginInfo) -> dict[str, str]:
    return {key: value for key, value in asdict(info).items() if key != "module"}
