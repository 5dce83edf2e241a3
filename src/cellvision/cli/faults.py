"""What the command prints when something fails: what happened, and what to do."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from cellvision.cli.text import printable_lines

if TYPE_CHECKING:
    import importlib_metadata

BUG = "This is a bug. Run again with --debug and report the traceback."


def complain(what: str, hint: str) -> None:
    """Print an error on standard error: what happened, and below it what to do."""
    print(f"error: {printable_lines(what)}", file=sys.stderr)
    if hint:
        print(f"  {printable_lines(hint)}", file=sys.stderr)


@dataclass(frozen=True)
class PluginFault:
    """An error raised in a plugin's own code.

    Attributes
    ----------
    plugin : str
        The plugin and its distribution, such as ``architecture 'tiny_net' (cellvision-tiny 0.1)``.
        Only the distribution where several of its plugins share the code.
    file : str
        Source file of the plugin's innermost frame.
    line : int
        Line in it.
    """

    plugin: str
    file: str
    line: int


def plugin_fault(error: BaseException) -> PluginFault | None:
    """Find the plugin in whose code an error was raised; None if it was in cellvision's.

    The innermost frame of either decides: a library that a plugin calls fails on behalf of the
    plugin.
    """
    from cellvision.local_plugins import LOCAL_MODULE

    entry_points = _entry_points()
    for module, file, line in reversed(_frames(error.__traceback__)):
        package = module.partition(".")[0]
        if package == "cellvision":
            return None
        if package.startswith(LOCAL_MODULE):
            return PluginFault("local plugin", file, line)
        in_package = [e for e in entry_points if _module(e).partition(".")[0] == package]
        in_module = [e for e in in_package if _module(e) == module]
        if in_package:
            return PluginFault(_described(in_module or in_package), file, line)
    return None


def _frames(traceback: TracebackType | None) -> list[tuple[str, str, int]]:
    frames = []
    while traceback is not None:
        frame = traceback.tb_frame
        module = str(frame.f_globals.get("__name__", ""))
        frames.append((module, frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames


def _entry_points() -> list[importlib_metadata.EntryPoint]:
    """Return the entry points of all plugins outside cellvision itself; imports none of them."""
    import importlib_metadata

    from cellvision.schema import REGISTRIES

    return [
        entry_point
        for registry in REGISTRIES
        for entry_point in importlib_metadata.entry_points(group=registry.group)
        if not entry_point.value.startswith("cellvision.")
    ]


def _module(entry_point: importlib_metadata.EntryPoint) -> str:
    """Return the module of an entry point such as ``package.module:Class``."""
    return entry_point.value.partition(":")[0].strip()


def _described(entry_points: list[importlib_metadata.EntryPoint]) -> str:
    first = entry_points[0]
    distribution = f"{first.dist.name} {first.dist.version}" if first.dist else "unknown"
    if len(entry_points) > 1:
        return f"a plugin of {distribution}"
    kind = first.group.rpartition(".")[2].removesuffix("s")
    return f"{kind} {first.name!r} ({distribution})"
