"""Hints for options that do not exist, such as ``--epochs 5`` for ``--set training.epochs=5``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from cellvision.known_plugins import KNOWN_VERBS


def hint_for(error: Any, verb: str, words: Sequence[str]) -> str:
    """Return what to do about a usage error of Click.

    Parameters
    ----------
    error
        The error; one about an unknown option has the attribute ``option_name``.
    verb
        The command, such as ``cellvision train``.
    words
        What was typed after ``cellvision``.
    """
    distribution = KNOWN_VERBS.get(words[0]) if words else None
    if distribution is not None and "No such command" in error.format_message():
        return f"A plugin provides it: python -m pip install {distribution}"
    option = getattr(error, "option_name", None)
    takes_settings = error.ctx is not None and any(
        parameter.name == "changes" for parameter in error.ctx.command.params
    )
    if option and takes_settings and verb.rpartition(" ")[2] not in ("check", "report"):
        from cellvision.setting_names import setting_named

        setting = setting_named(option.lstrip("-").replace("-", "_"))
        if setting is not None:
            return f"Write it as a setting: --set {setting}={_value_of(option, words)}"
    return f"Run {verb} --help for its arguments and options."


def _value_of(option: str, words: Sequence[str]) -> str:
    """Return what was given for an option, quoted for the shell; dots if nothing was."""
    for word, following in zip(words, [*words[1:], "-"], strict=True):
        name, equals, value = word.partition("=")
        if name == option:
            value = value if equals else following
            return "..." if value.startswith("-") or not value else shlex.quote(value)
    return "..."
