"""Whether the arguments of a public function have the types that its annotations name.

Annotations are read as text, because many of their names are imported for type checkers only.
What they name beyond the types below is not checked: an object that behaves like a run may stand
for one.
"""

from __future__ import annotations

import numbers
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache

_CHECKS: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "None": ("None", lambda value: value is None),
    "bool": ("True or False", lambda value: isinstance(value, bool) or _is_numpy_bool(value)),
    "int": ("a whole number", lambda value: hasattr(value, "__index__")),
    "float": ("a number", lambda value: isinstance(value, numbers.Real)),
    "str": ("text", lambda value: isinstance(value, str)),
    "os.PathLike": ("a path", lambda value: isinstance(value, os.PathLike)),
    "Sequence": ("a list", lambda value: isinstance(value, Iterable) and not _is_text(value)),
    "Mapping": ("a dict", lambda value: isinstance(value, Mapping)),
}
"""Of each type in annotations: what messages call it, and whether a value is of it."""

_CLASSES = frozenset(
    {"Audit", "Control", "Dataset", "Experiment", "Exporter", "Run", "Splitter", "Study"}
)
"""Public classes of arguments. A value of another one, or of a built-in type, is refused."""


def unsuitable(annotation: str, value: object) -> str | None:
    """Return what an argument should be if it is something else, or None.

    Parameters
    ----------
    annotation
        The annotation as it is written.
    value
        The argument.

    Examples
    --------
    >>> unsuitable("Experiment | str | os.PathLike[str]", 3)
    'an Experiment or a path'
    >>> unsuitable("Sequence[str]", "test"), unsuitable("Sequence[str]", ["test"])
    ('a list', None)
    """
    kinds = _alternatives(annotation)
    if any(_fits(kind, value) for kind in kinds):
        return None
    if "os.PathLike" in kinds:
        kinds = tuple(kind for kind in kinds if kind != "str")
    *others, last = [_described(kind) for kind in kinds]
    return f"{', '.join(others)} or {last}" if others else last


@cache
def _alternatives(annotation: str) -> tuple[str, ...]:
    """Return the alternatives of a union without what is in brackets."""
    before = None
    while before != annotation:
        before, annotation = annotation, re.sub(r"\[[^\[\]]*\]", "", annotation)
    return tuple(dict.fromkeys(kind.strip() for kind in annotation.split("|")))


def _fits(kind: str, value: object) -> bool:
    """Whether a value is of a kind, or may be."""
    if kind in _CHECKS:
        return _CHECKS[kind][1](value)
    if kind not in _CLASSES:
        return True
    names = {each.__name__ for each in type(value).__mro__}
    is_other = type(value).__module__ == "builtins" or not names.isdisjoint(_CLASSES)
    return kind in names or not is_other


def _described(kind: str) -> str:
    if kind in _CHECKS:
        return _CHECKS[kind][0]
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


def _is_text(value: object) -> bool:
    return isinstance(value, str | bytes)


def _is_numpy_bool(value: object) -> bool:
    return type(value).__module__ == "numpy" and type(value).__name__.startswith("bool")
