"""What the command prints when something fails: what happened, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

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
        Only the distribution where several of its plugins share code that is no method of one.
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
    plugin. Which of the plugins of a module it was, the component tells whose method was called.
    """
    from cellvision.plugin_candidates import LOCAL_MODULE

    candidates = _candidates()
    frames = _frames(error.__traceback__)
    for number in reversed(range(len(frames))):
        module, file, line, _ = frames[number]
        package = module.partition(".")[0]
        if package == "cellvision":
            return None
        component = _component(frames[: number + 1])
        if package.startswith(LOCAL_MODULE):
            return PluginFault(component or "local plugin", file, line)
        in_package = [c for c in candidates if _module(c[1]).partition(".")[0] == package]
        in_module = [c for c in in_package if _module(c[1]) == module]
        if in_package:
            return PluginFault(component or _described(in_module or in_package), file, line)
    return None


class _Frame(NamedTuple):
    """Module, file and line of a frame, and what its first argument is, such as ``self``."""

    module: str
    file: str
    line: int
    subject: object


def _component(frames: Sequence[_Frame]) -> str:
    """Describe the component whose method the innermost frames of a plugin belong to."""
    from cellvision.component import Component

    for frame in reversed(frames):
        if frame.module.partition(".")[0] == "cellvision":
            return ""
        cls = frame.subject if isinstance(frame.subject, type) else type(frame.subject)
        if issubclass(cls, Component):
            return cls.registry.origin_of(cls)
    return ""


def _frames(traceback: TracebackType | None) -> list[_Frame]:
    frames = []
    while traceback is not None:
        frame = traceback.tb_frame
        code = frame.f_code
        module = str(frame.f_globals.get("__name__", ""))
        subject = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        frames.append(_Frame(module, code.co_filename, traceback.tb_lineno, subject))
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
