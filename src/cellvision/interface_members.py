"""How a class differs from its interface: methods with other arguments, constants of other types.

Found when the class is loaded, so that a plugin that nobody selected is left out with a warning
rather than failing in the middle of somebody's study.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from cellvision.integers import as_int


class MemberFault(NamedTuple):
    """How a class differs from its interface, and what its author should do."""

    what: str
    hint: str


def member_fault(cls: type[Any], base: type[Any]) -> MemberFault | None:
    """Return the first member by which a class cannot be used as its interface; None if it can.

    Parameters
    ----------
    cls
        Class of a plugin.
    base
        Its interface.
    """
    for name, expected in _members(base):
        if name in getattr(cls, "model_fields", {}):
            return MemberFault(
                f"the setting {name!r} has the name of what the interface defines",
                "Give the setting another name.",
            )
        actual = inspect.getattr_static(cls, name)
        if actual is expected:
            continue
        fault = _method_fault if _is_method(expected) else _constant_fault
        found = fault(cls, name, expected, actual)
        if found is not None:
            return found
    return None


def _members(base: type[Any]) -> Iterator[tuple[str, Any]]:
    """Return names and values of what an interface, and what it derives from, declares."""
    names: set[str] = set()
    for owner in base.__mro__:
        if not owner.__module__.startswith("cellvision."):
            continue
        for name, value in vars(owner).items():
            declared = _is_method(value) or isinstance(value, property) or _is_constant(owner, name)
            if declared and not name.startswith(("_", "model_")) and name not in names:
                names.add(name)
                yield name, value


def _is_method(value: Any) -> bool:
    return inspect.isfunction(value) or isinstance(value, classmethod)


def _is_constant(owner: type[Any], name: str) -> bool:
    return "ClassVar" in str(inspect.get_annotations(owner).get(name, ""))


def _method_fault(cls: type[Any], name: str, expected: Any, actual: Any) -> MemberFault | None:
    """Return why cellvision could not call a method; its arguments may have other names."""
    if not callable(getattr(cls, name)):
        return MemberFault(f"{name} is {_kind(actual)}, not a method", f"Define def {name}().")
    if inspect.iscoroutinefunction(getattr(cls, name)):
        return MemberFault(f"{name}() is asynchronous", f"Define it without async: def {name}().")
    function: Callable[..., Any] = getattr(expected, "__func__", expected)
    own = list(inspect.signature(function).parameters)
    # As it is called: on the class if it is a class method, else on an instance.
    bound = isinstance(expected, classmethod) or isinstance(actual, classmethod | staticmethod)
    try:
        signature = inspect.signature(getattr(cls, name))
        signature.bind(*own[1 if bound else 0 :])
    except TypeError:
        return MemberFault(
            f"{name}() takes other arguments than cellvision gives",
            f"Define {'@classmethod ' if isinstance(expected, classmethod) else ''}"
            f"def {name}({', '.join(own)}).",
        )
    except ValueError:  # a function in C, whose arguments are unknown
        pass
    return None


def _constant_fault(_: type[Any], name: str, expected: Any, actual: Any) -> MemberFault | None:
    """Return why a class attribute cannot take the place of the interface's."""
    if isinstance(expected, property):
        if inspect.isfunction(actual):
            return MemberFault(f"{name} is a method", f"Put @property above def {name}(self).")
        return None
    wanted = _wanted(name, expected, actual)
    if not wanted:
        return None
    return MemberFault(
        f"{name} is {_kind(actual)}, not {wanted}", f"Give the class {name} as {wanted}."
    )


def _wanted(name: str, expected: Any, actual: Any) -> str:
    """Return in words what a class attribute should be; empty if it is."""
    number = as_int(actual) is not None and not isinstance(actual, bool)
    if name == "interface_version":
        return "" if number or actual is None else "a whole number"
    match expected:
        case bool():
            return "" if isinstance(actual, bool) else "True or False"
        case int():
            return "" if number else "a whole number"
        case str():
            return "" if isinstance(actual, str) else "text"
        case tuple():
            is_texts = isinstance(actual, tuple | list) and all(isinstance(t, str) for t in actual)
            return "" if is_texts else "a tuple of text"
        case Mapping():
            return "" if isinstance(actual, Mapping) else "a table"
    return ""


def _kind(value: Any) -> str:
    """Return a value in words that fit into a line."""
    if isinstance(value, property):
        return "a property"
    if inspect.isfunction(value):
        return "a method"
    return f"{value!r:.60}"
