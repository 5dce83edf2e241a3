"""Numbers in words, the same in every table, figure and page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def known(value: Any) -> bool:
    """Whether a number is there at all: neither None nor NaN."""
    return value is not None and not math.isnan(float(value))


def number(value: Any, digits: int = 3) -> str:
    """A number with so many decimals; a dash where it is not known."""
    return f"{float(value):.{digits}f}" if known(value) else "–"


def interval(score: Mapping[str, Any], digits: int = 3) -> str:
    """The 95 % interval of an accuracy, such as ``0.623–0.791``."""
    low, high = score.get("accuracy_low"), score.get("accuracy_high")
    return f"{number(low, digits)}–{number(high, digits)}" if known(low) and known(high) else "–"


def units(count: Any, column: str | None) -> str:
    """So many independent units, such as ``12 wells``; images where the unit is not known."""
    if column is None:
        return "units unknown"
    if column.isalpha() and not column.endswith("s"):
        return f"{count} {column}" if count == 1 else f"{count} {column}s"
    return f"{count} units ({column})"


def sentence(split: str, score: Mapping[str, Any], column: str | None, classes: int) -> str:
    """What a test set shows beside chance, without a verdict."""
    n = f"n = {score.get('n', '–')} images"
    source = f" from {units(score.get('groups'), column)}" if column is not None else ""
    bounds = f"95 % interval {interval(score, 2)}, " if known(score.get("accuracy_low")) else ""
    unknown = "" if column is not None else "; units unknown: images taken as independent"
    return (
        f"{split}: accuracy {number(score.get('accuracy'), 2)} ({bounds}{n}{source}{unknown}); "
        f"chance is {chance_words(1 / classes)}."
    )


def headline(split: str, score: Mapping[str, Any]) -> str:
    """A split's accuracy for the head of a figure, never without its interval and n."""
    bounds = f"95 % interval {interval(score, 2)}, " if known(score.get("accuracy_low")) else ""
    n = f"n = {score.get('n', '–')}"
    return f"{split}: accuracy {number(score.get('accuracy'), 2)} ({bounds}{n})"


def chance_words(chance: float) -> str:
    """Chance with two decimals, or three where two are not enough: 0.50, 0.125."""
    return f"{chance:.2f}" if math.isclose(chance, round(chance, 2)) else f"{chance:.3f}"


def majority(counts: Mapping[str, int]) -> float:
    """The share of the most common class: what always naming it would get right."""
    total = sum(counts.values())
    return max(counts.values()) / total if total else math.nan


def tied(text: str) -> str:
    """Keep a number and its sign in one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace(
        "n = ", "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"
    )
