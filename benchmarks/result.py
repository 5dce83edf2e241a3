"""Results of measures, formatted as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass
class Row:
    """Values of one peer in one measure.

    Attributes
    ----------
    label : str
        Name of the peer or variant.
    values : list of float
        One per repeat, in order.
    share : float or None
        Median divided by the machine's limit; None if there is no limit.
    note : str
        Remark for readers, such as why there is no value.
    """

    label: str
    values: list[float] = field(default_factory=list)
    share: float | None = None
    note: str = ""


@dataclass
class Ratio:
    """How many times better one row is than another, one value per repeat.

    Attributes
    ----------
    label : str
        Names of the two rows.
    values : list of float
        One per repeat; above 1 if the first row is better.
    goal : str
        Target of the median, such as ``"≥ 1.7"``; empty if there is none.
    """

    label: str
    values: list[float]
    goal: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the goal; None without a goal or values."""
        if not self.goal or not self.values:
            return None
        sign, _, number = self.goal.partition(" ")
        middle = median(self.values)
        return middle >= float(number) if sign == "≥" else middle <= float(number)


@dataclass
class Result:
    """Result of one measure.

    Attributes
    ----------
    title, unit, about : str
        Heading, unit, and description of the method.
    rows : list of Row
    ratios : list of Ratio
    seconds : float
        Duration of the measurement, in seconds.
    """

    title: str
    unit: str
    about: str
    rows: list[Row] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values; each ratio states whether it reaches its goal."""
        plain = asdict(self)
        for entry, ratio in zip(plain["ratios"], self.ratios, strict=True):
            entry["reached"] = ratio.reached
        return plain

    def markdown(self) -> str:
        """Format one table of the rows and one of the ratios."""
        lines = [f"### {self.title}", "", self.about, ""]
        shares = any(row.share is not None for row in self.rows)
        head = ["", f"median ({self.unit})", "range", "repeats"]
        lines += _table(
            head + ["share of the machine's limit"] * shares,
            [
                [
                    row.label,
                    format_number(median(row.values)) if row.values else row.note or "–",
                    _range(row.values),
                    str(len(row.values)),
                    *([f"{row.share:.0%}" if row.share is not None else ""] * shares),
                ]
                for row in self.rows
            ],
        )
        lines += [f"{row.label}: {row.note}." for row in self.rows if row.note and row.values]
        if self.ratios:
            words = {True: "yes", False: "**no**", None: ""}
            rows = [
                [
                    ratio.label,
                    f"{median(ratio.values):.2f}×" if ratio.values else "–",
                    _range(ratio.values),
                    ratio.goal,
                    words[ratio.reached],
                ]
                for ratio in self.ratios
            ]
            lines += ["", *_table(["ratio", "median", "range", "goal", "reached"], rows)]
        return "\n".join([*lines, "", f"Measured in {self.seconds:.0f} s.", ""])


def compare(
    label: str,
    first: Row | None,
    second: Row | None,
    goal: str = "",
    *,
    more_is_better: bool = True,
) -> Ratio:
    """Divide two rows, repeat by repeat; a ratio above 1 means that the first row is better."""
    if first is None or second is None:
        return Ratio(label, [], goal)
    pairs = zip(first.values, second.values, strict=False)
    return Ratio(label, [a / b if more_is_better else b / a for a, b in pairs], goal)


def best(rows: Sequence[Row]) -> Row | None:
    """Return the row with the largest median."""
    measured = [row for row in rows if row.values]
    return max(measured, key=lambda row: median(row.values)) if measured else None


def format_number(value: float) -> str:
    """Format a number with three significant digits, or with thousands separators."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _range(values: Sequence[float]) -> str:
    if len(values) < 2:
        return ""
    return f"{format_number(min(values))} to {format_number(max(values))}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
