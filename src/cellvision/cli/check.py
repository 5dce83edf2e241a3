"""``cellvision check``: run the conformance kit on an installed plugin."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cellvision.cli.text import printable
from cellvision.cli.values import with_changes

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
            help="Check the plugin with this setting, such as path=images or spot.size=3. "
            "A decoder needs a file: path=FILE. Repeat for several.",
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

    example = with_changes({}, changes, "--set path=images")
    debug = bool((context.obj or {}).get("debug"))

    def show(result: CheckResult, plugin: _Plugin) -> None:
        if not as_json:
            _show(result, plugin)
        if debug and result.traceback:
            print(result.traceback, file=sys.stderr)

    all_results: list[CheckResult] = []
    rows = []
    for plugin in _plugins(name):
        quiet = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
        with quiet:
            shown = partial(show, plugin=plugin)
            results = check(plugin.kind, plugin.name, example, on_result=shown)
        all_results += results
        rows += [{**plugin._asdict(), **asdict(result)} for result in results]
        if not as_json:
            counts: Counter[str] = Counter(result.outcome for result in results)
            listed = [f"{counts[outcome]} {outcome}" for outcome in _STYLES if counts[outcome]]
            print(printable(f"{plugin}: {', '.join(listed)} of {len(results)} checks"))
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    if badge is not None:
        import importlib_metadata

        from cellvision.testing.badge import write_badge

        write_badge(badge, all_results, importlib_metadata.version("cellvision"))
    if any(result.outcome == "failed" for result in all_results):
        raise typer.Exit(1)


class _Plugin(NamedTuple):
    """A plugin to check, and where it comes from."""

    kind: str
    name: str
    origin: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} ({self.origin.replace('==', ' ')})"


def _plugins(name: str) -> list[_Plugin]:
    """Return the plugin, or every plugin of a Python file."""
    if name.endswith(".py"):
        from cellvision.local_plugins import load_plugins

        file = Path(name).name
        return [_Plugin(kind, plugin, file) for kind, plugin in load_plugins(name).names]
    decoder = _decoder(name)
    if decoder is not None:
        return [decoder]
    from cellvision.schema import named

    registry, plugin = named(name)
    return [_Plugin(registry.kind, plugin, registry.requirement(plugin).strip("()"))]


def _decoder(name: str) -> _Plugin | None:
    """Return the decoder of a name such as ``nd2`` or ``decoder:nd2``; None for other plugins."""
    from cellvision.data.decoder_plugins import decoders_of, find_decoder
    from cellvision.schema import REGISTRIES

    kind, _, suffix = name.rpartition(":")
    is_other = kind == "" and any(name in registry for registry in REGISTRIES)
    if kind not in ("", "decoder", "decoders") or is_other:
        return None
    candidates = decoders_of([f"image.{suffix}"])
    if not candidates and not kind:
        return None
    # Several, or none of this name, are an error.
    candidate = candidates[0] if len(candidates) == 1 else find_decoder(suffix)[0]
    return _Plugin("decoder", candidate.name, candidate.requirement)


def _show(result: CheckResult, plugin: _Plugin) -> None:
    """Print one line; that of a failure can be understood without the others."""
    from rich.console import Console
    from rich.text import Text

    line = Text()
    line.append(f"{result.outcome:8} ", style=_STYLES[result.outcome])
    if result.outcome == "failed":
        line.append(f"{printable(str(plugin))}, ")
    line.append(result.check)
    if result.reason:
        # The reason may name the plugin as well.
        reason = result.reason.replace(f"{plugin}: ", "")
        line.append(f": {printable(reason)}")
    if result.hint:
        line.append(f" ({printable(' '.join(result.hint.split()))})", style="dim")
    Console(highlight=False).print(line, soft_wrap=True)
