"""``cellvision check``: run the conformance kit on an installed plugin."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellvision.cli.values import split_change

if TYPE_CHECKING:
    from cellvision.testing import CheckResult

_STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow", "expected": "yellow"}


def run(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME_OR_FILE",
            help="Plugin, such as deep or architecture:deep, or a Python file with plugins.",
            show_default=False,
        ),
    ],
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Check the plugin with this setting, such as path=images. Repeat for several.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    badge: Annotated[
        Path | None,
        typer.Option(
            "--badge",
            metavar="FILE",
            help="If all checks pass, write a badge for a README that says so: .svg, or .json for "
            "shields.io.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check that a plugin keeps its contract.

    Runs the conformance kit; exit code 1 if a check fails.
    """
    from cellvision.testing import check

    example = dict(split_change(change, "--set path=images") for change in changes)
    debug = bool((context.obj or {}).get("debug"))

    def show(result: CheckResult) -> None:
        if not as_json:
            _show(result)
        if debug and result.traceback:
            print(result.traceback, file=sys.stderr)

    all_results = []
    for kind, plugin in _plugins(name):
        results = check(kind, plugin, example, on_result=show)
        all_results += results
        if not as_json:
            counts: Counter[str] = Counter(result.outcome for result in results)
            listed = [f"{counts[outcome]} {outcome}" for outcome in _STYLES if counts[outcome]]
            print(f"{kind} {plugin}: {', '.join(listed)} of {len(results)} checks")
    if as_json:
        print(json.dumps([asdict(result) for result in all_results], indent=2, ensure_ascii=False))
    if badge is not None:
        import importlib_metadata

        from cellvision.testing.badge import write_badge

        write_badge(badge, all_results, importlib_metadata.version("cellvision"))
    if any(result.outcome == "failed" for result in all_results):
        raise typer.Exit(1)


def _plugins(name: str) -> list[tuple[str, str]]:
    """Return kind and name of the plugin, or of every plugin of a Python file."""
    if name.endswith(".py"):
        from cellvision.local_plugins import load_plugins

        return list(load_plugins(name).names)
    from cellvision.schema import named

    registry, plugin = named(name)
    return [(registry.kind, plugin)]


def _show(result: CheckResult) -> None:
    from rich.console import Console
    from rich.text import Text

    from cellvision.cli.text import printable

    line = Text()
    line.append(f"{result.outcome:8} ", style=_STYLES[result.outcome])
    line.append(result.check)
    if result.reason:
        line.append(f": {printable(result.reason)}")
    if result.hint:
        line.append(f" ({printable(' '.join(result.hint.split()))})", style="dim")
    Console(highlight=False).print(line, soft_wrap=True)
