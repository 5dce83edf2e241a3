"""``cellvision plugins``: list what is installed."""

from __future__ import annotations

import contextlib
import difflib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cellvision.plugin_info import PluginInfo


def run(
    context: typer.Context,
    load: Annotated[
        bool,
        typer.Option("--load", help="Import every plugin, which finds all that cannot be used."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the installed plugins.

    Descriptions and faults come from metadata and source code: nothing is imported.
    """
    from cellvision.cli.verbs import decoder_plugins, verb_plugins
    from cellvision.schema import REGISTRIES

    root: Any = context.find_root().command
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is not of the list
        plugins = [info for registry in REGISTRIES for info in registry.plugins(load=load)]
        plugins += [*decoder_plugins(), *verb_plugins(frozenset(root.commands))]
    if as_json:
        print(json.dumps([_row(info) for info in plugins], indent=2))
    else:
        _show(plugins)
    for warning in (*_misspelt_groups(), *_needing_attention(plugins)):
        print(f"warning: {warning}", file=sys.stderr)


def _show(plugins: list[PluginInfo]) -> None:
    from rich.console import Console
    from rich.text import Text

    from cellvision.cli.columns import print_columns
    from cellvision.cli.text import printable

    marks = {
        "ok": ("", ""),
        "broken": ("broken", "red"),
        "conflict": ("conflict", "yellow"),
        "version": ("version", "red"),
    }
    headings = ("kind", "name", "distribution", "", "description")
    rows = [[Text(heading, style="bold") for heading in headings]]
    for info in plugins:
        mark, style = marks[info.status]
        rows.append(
            [
                Text(info.group.rpartition(".")[2]),
                Text(printable(info.name), style="bold"),
                Text(printable(f"{info.distribution} {info.version}")),
                Text(mark, style=style),
                Text(printable(info.reason or info.description), style=style),
            ]
        )
    print_columns(rows, Console())


def _row(info: PluginInfo) -> dict[str, str | int | None]:
    return {key: value for key, value in vars(info).items() if key != "module"}


def _misspelt_groups() -> Iterator[str]:
    """Find entry-point groups that look like ours and are none: their plugins are never found."""
    from cellvision.cli.text import printable
    from cellvision.cli.verbs import GROUP
    from cellvision.data.decoder_plugins import GROUP as DECODERS
    from cellvision.plugin_candidates import entry_point_groups, entry_points
    from cellvision.schema import REGISTRIES

    known = [*(registry.group for registry in REGISTRIES), DECODERS, GROUP]
    for group in entry_point_groups():
        near = difflib.get_close_matches(group.lower(), known, n=1, cutoff=0.85)
        if group in known or not (near or group.lower().startswith("cellvision")):
            continue
        hint = f" Did it mean {near[0]}?" if near else f" Groups: {', '.join(known)}."
        for distribution, (name, _, _) in entry_points(group):
            yield printable(
                f"{distribution.name}: entry point {name!r} is in the unknown group {group}.{hint}"
            )


def _needing_attention(plugins: list[PluginInfo]) -> Iterator[str]:
    """Say once for each distribution what to do about another version of cellvision."""
    from cellvision.cli.text import printable

    reasons = {info.distribution: info.reason for info in plugins if info.status == "version"}
    for distribution, reason in reasons.items():
        yield printable(f"{distribution}: {reason}.")
