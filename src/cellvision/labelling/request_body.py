"""Parse the JSON that the page sends."""

from __future__ import annotations

import json
from typing import Any

from cellvision.labelling.validation import InvalidAnswerError


def parse_body(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises
    ------
    InvalidAnswerError
        It is not one: broken, too deep, or not UTF-8.
    """
    try:
        # Integers of hundreds of digits become infinite, which no value here may be.
        values = json.loads(body, parse_int=float)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InvalidAnswerError("expected a JSON object", "Reload the page")
    return values


def text_of(values: dict[str, Any], name: str) -> str:
    """Return a text.

    Raises
    ------
    InvalidAnswerError
        It is missing, not text, or has lone surrogates, which no database stores.
    """
    value = values.get(name)
    try:
        if isinstance(value, str) and value.encode() is not None:
            return value
    except UnicodeEncodeError:
        pass
    raise InvalidAnswerError(f"{name} is missing or not text", "Reload the page")


def number_of(values: dict[str, Any], name: str) -> float:
    """Return a number.

    Raises
    ------
    InvalidAnswerError
        It is missing or not a number.
    """
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidAnswerError(f"{name} is missing or not a number", "Reload the page")
    return float(value)
