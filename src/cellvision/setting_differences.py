"""Name the settings in which two experiments differ, for messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cellvision.plurals import abbreviated

_LONGEST_VALUE = 120
"""Characters of a value that a message shows: enough for most paths."""


def setting_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """List the first few settings that differ, with both values.

    Parameters
    ----------
    before, now
        Plain settings.

    Returns
    -------
    str
        Empty if none differs.

    Examples
    --------
    >>> setting_differences({"training": {"epochs": 5}}, {"training": {"epochs": 6}})
    'training.epochs is 6, and was 5'
    """
    return abbreviated(list(_differences(before, now, "")))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[str]:
    if prefix and before.get("type") != now.get("type"):
        # The other settings of two components have nothing in common.
        names = ["type"]
    else:
        names = list(dict.fromkeys([*now, *before]))
    for name in names:
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name} is {_text(new)}, and was {_text(old)}"


def _text(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, str):
        return value or "empty"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
