"""What the command prints when something fails: what happened, and what to do."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from cellvision.cli.text import printable_lines

if TYPE_CHECKING:
    from cellvision.plugin_candidates import PluginCandidate

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
    from cellvision.plugin_candidates import LOCAL_MODULE

    candidates = _candidates()
    for module, file, line in reversed(_frames(error.__traceback__)):
        package = module.partition(".")[0]
        if package == "cellvision":
            return None
        if package.startswith(LOCAL_MODULE):
            return PluginFault("local plugin", file, line)
        in_package = [c for c in candidates if _module(c[1]).partition(".")[0] == package]
        in_module = [c for c in in_package if _module(c[1]) == module]
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


def _candidates() -> list[tuple[str, PluginCandidate]]:
    """Return kind and candidate of all plugins outside cellvision itself; imports none."""
    from cellvision.cli.verbs import GROUP
    from cellvision.plugin_candidates import installed_candidates
    from cellvision.schema import REGISTRIES

    return [
        (group.rpartition(".")[2].removesuffix("s"), candidate)
        for group in (*(registry.group for registry in REGISTRIES), GROUP)
        for candidate in installed_candidates(group)
        if not candidate.module.startswith("cellvision.")
    ]


def _module(candidate: PluginCandidate) -> str:
    """Return the module of ``package.module:Class``."""
    return candidate.module.partition(":")[0]


def _described(found: list[tuple[str, PluginCandidate]]) -> str:
    kind, first = found[0]
    distribution = f"{first.distribution} {first.version}".strip()
    if len(found) > 1:
        return f"a plugin of {distribution}"
    return f"{kind} {first.name!r} ({distribution})"
