"""Calls of public functions with arguments that they do not have, explained in two lines."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from cellvision import errors
from cellvision.argument_types import unsuitable
from cellvision.plurals import counted

P = ParamSpec("P")
R = TypeVar("R")

Advice = Callable[[str, object], str | None]
"""From name and value of an argument that a function lacks to what to write instead, or None."""

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

_LONGEST = 80
"""Characters of advice that a message has room for."""


def explains_call_errors(
    advice: Advice | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: wrong arguments of a function raise `errors.CallError`.

    Python's own TypeError neither suggests the nearest name nor knows the settings of an
    experiment, which are the names that are most often mistaken for arguments.

    Parameters
    ----------
    advice
        Says what to write instead of an argument whose name is near to none of the function.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        is_method = "self" in signature.parameters

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            name = function.__name__
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                own = _without_self(signature) if is_method else signature
                raise _call_error(name, own, args[is_method:], kwargs, advice) from None
            _check_types(name, signature, bound.arguments)
            return function(*args, **kwargs)

        return checked

    return decorate


def _without_self(signature: inspect.Signature) -> inspect.Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _check_types(name: str, signature: inspect.Signature, arguments: Mapping[str, object]) -> None:
    """Refuse arguments of other types than the annotations name.

    Raises
    ------
    errors.CallError
        For the first of them.
    """
    for argument, value in arguments.items():
        parameter = signature.parameters[argument]
        if not isinstance(parameter.annotation, str) or parameter.kind in _VARIADIC:
            continue
        expected = unsuitable(parameter.annotation, value)
        if expected is not None:
            raise errors.CallError(
                f"{name}() takes {expected} as {argument!r}, not {value!r:.60}",
                f"Write it as a list: {argument}=[{value!r}]"
                if isinstance(value, str) and expected.startswith("a list")
                else f"help(cv.{name}) describes its arguments.",
            )


def _call_error(
    name: str,
    signature: inspect.Signature,
    args: Sequence[object],
    kwargs: dict[str, Any],
    advice: Advice | None,
) -> errors.CallError:
    """Return what is wrong with the arguments of a call that Python would refuse."""
    by_position = [
        each.name
        for each in signature.parameters.values()
        if each.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    unknown = [each for each in kwargs if each not in signature.parameters]
    if unknown:
        what = f"{name}() has no argument {unknown[0]!r}"
        return errors.CallError(what, _instead(unknown[0], kwargs[unknown[0]], signature, advice))
    if len(args) > len(by_position):
        most = counted(len(by_position), "argument")
        return errors.CallError(
            f"{name}() takes {most} by position, not {len(args)}",
            f"Name the others: {_listed(signature, set(by_position) | set(kwargs))}",
        )
    twice = [each for each in by_position[: len(args)] if each in kwargs]
    if twice:
        return errors.CallError(
            f"{name}() was given {twice[0]!r} by position and by name", "Omit one of them."
        )
    required = [
        each.name
        for each in signature.parameters.values()
        if each.default is inspect.Parameter.empty and each.kind not in _VARIADIC
    ]
    missing = [each for each in required if each not in {*kwargs, *by_position[: len(args)]}]
    return errors.CallError(
        f"{name}() needs {' and '.join(repr(each) for each in missing)}",
        f"For example: {name}({', '.join([required[0], *(f'{x}=...' for x in required[1:])])})",
    )


def _instead(
    argument: str, value: object, signature: inspect.Signature, advice: Advice | None
) -> str:
    """Return what to write instead of an argument that a function does not have."""
    near = difflib.get_close_matches(argument, signature.parameters, n=1, cutoff=0.7)
    setting = None if advice is None else advice(argument, value)
    if setting is not None and len(setting) > _LONGEST:
        setting = None
    if near:
        return f"Did you mean {near[0]!r}?" + (f" As a setting: {setting}" if setting else "")
    if setting is not None:
        return f"Write it as a setting: {setting}"
    return f"Its arguments: {_listed(signature)}"


def _listed(signature: inspect.Signature, without: set[str] | None = None) -> str:
    return ", ".join(name for name in signature.parameters if name not in (without or ()))
