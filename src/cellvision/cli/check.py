"""``cellvision check``: the conformance kit, run on what is installed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellvision import errors
from cellvision.cli import experiments

if TYPE_CHECKING:
    from cellvision.testing import CheckResult

_STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow", "expected": "yellow"}


def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A plugin, such as deep or architecture:deep.",
            show_default=False,
        ),
    ],
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting to check it with, such as path=images. May be given again.",
        ),
    ] = [],  # noqa: B006 - Typer copies it
    as_json: Annotated[bool, typer.Option("--json", help="Print a list for machines.")] = False,
) -> None:
    """Check that a plugin keeps its interface's contract; exit code 1 where it does not."""
    from cellvision.schema import named
    from cellvision.testing import check

    registry, bare = named(name)
    example = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key.strip():
            raise errors.ExperimentError(
                f"--set {change}: expected KEY=VALUE", "Such as --set path=images"
            )
        example[key.strip()] = experiments.parse(text.strip())
    told: Any = (lambda _: None) if as_json else _show
    results = check(registry.kind, bare, example, told=told)
    if as_json:
        print(json.dumps([asdict(result) for result in results], indent=2, ensure_ascii=False))
    counts = {outcome: sum(result.outcome == outcome for result in results) for outcome in _STYLES}
    if not as_json:
        summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
        print(f"{registry.kind} {bare}: {summary} of {len(results)} checks")
    if counts["failed"]:
        raise typer.Exit(1)


def _show(result: CheckResult) -> None:
    from rich.console import Console
    from rich.text import Text

    line = Text()
    line.append(f"{result.outcome:8} ", style=_STYLES[result.outcome])
    line.append(result.check)
    if result.reason:
        line.append(f": {result.reason}")
    if result.hint:
        line.append(f" ({' '.join(result.hint.split())})", style="dim")
    Console(highlight=False).print(line, soft_wrap=True)
