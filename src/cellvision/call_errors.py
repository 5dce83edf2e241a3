"""Calls with the name of a setting where a function has arguments, explained in two lines."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from cellvision import errors
from cellvision.setting_names import settings_argument

P = ParamSpec("P")
R = TypeVar("R")

_LONGEST = 80
"""Characters of advice that a message has room for."""


def names_settings(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that takes `settings`: say how to write a setting given as an argument.

    Settings of an experiment are the names most often mistaken for arguments, and Python's own
    TypeError does not know them. It stays for all other wrong calls.

    Raises
    ------
    errors.CallError
        The decorated function is called with an argument that it does not have.
    """
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in kwargs.items():
            if name not in parameters:
                raise errors.CallError(
                    f"{function.__name__}() has no argument {name!r}",
                    _instead(name, value, list(parameters)),
                )
        return function(*args, **kwargs)

    return checked


def _instead(argument: str, value: object, known: list[str]) -> str:
    """Return what to write instead of an argument that a function does not have."""
    near = difflib.get_close_matches(argument, known, n=1, cutoff=0.7)
    setting = settings_argument(argument, value) or ""
    if len(setting) > _LONGEST:
        setting = ""
    if near:
        return f"Did you mean {near[0]!r}?" + (f" As a setting: {setting}" if setting else "")
    if setting:
        return f"Write it as a setting: {setting}"
    return f"Its arguments: {', '.join(known)}"
