"""What was measured, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass
class Row:
    """One contestant's numbers in one measure.

    Attributes
    ----------
    what : str
        The contestant, or the variant.
    values : list of float
        One a repeat, in the order of the repeats.
    share : float or None
        The median's share of the machine's limit.
    note : str
        What a reader should know, such as why there is no number.
    """

    what: str
    values: list[float] = field(default_factory=list)
    share: float | None = None
    note: str = ""


@dataclass
class Ratio:
    """How many times better one row is than another, repeat by repeat.

    Attributes
    ----------
    what : str
        What is compared with what.
    values : list of float
        One a repeat; above 1, or up to `aim` where less is better.
    aim : str
        What it should reach, such as ``"≥ 1.7"``; empty where nothing is asked.
    """

    what: str
    values: list[float]
    aim: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the aim; None where there is none."""
        if not self.aim or not self.values:
            return None
        sign, _, number = self.aim.partition(" ")
        middle = median(self.values)
        return middle >= float(number) if sign == "≥" else middle <= float(number)


@dataclass
class Result:
    """A measure's outcome.

    Attributes
    ----------
    title, unit, about : str
        What was measured, in what, and how.
    rows : list of Row
    ratios : list of Ratio
    seconds : float
        How long measuring took.
    """

    title: str
    unit: str
    about: str
    rows: list[Row] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values; the ratios with whether they reach their aim."""
        plain = asdict(self)
        for given, ratio in zip(plain["ratios"], self.ratios, strict=True):
            given["reached"] = ratio.reached
        return plain

    def markdown(self) -> str:
        """A table of the rows and one of the ratios."""
        lines = [f"### {self.title}", "", self.about, ""]
        shares = any(row.share is not None for row in self.rows)
        head = ["", f"median ({self.unit})", "range", "repeats"]
        lines += _table(
            head + ["share of the machine's limit"] * shares,
            [
                [
                    row.what,
                    number(median(row.values)) if row.values else row.note or "–",
                    _range(row.values),
                    str(len(row.values)),
                    *([f"{row.share:.0%}" if row.share is not None else ""] * shares),
                ]
                for row in self.rows
            ],
        )
        lines += [f"{row.what}: {row.note}." for row in self.rows if row.note and row.values]
        if self.ratios:
            told = {True: "yes", False: "**no**", None: ""}
            rows = [
                [
                    ratio.what,
                    f"{median(ratio.values):.2f}×" if ratio.values else "–",
                    _range(ratio.values),
                    ratio.aim,
                    told[ratio.reached],
                ]
                for ratio in self.ratios
            ]
            lines += ["", *_table(["ratio", "median", "range", "aim", "reached"], rows)]
        return "\n".join([*lines, "", f"Measured in {self.seconds:.0f} s.", ""])


def compare(
    what: str, ours: Row | None, theirs: Row | None, aim: str = "", *, more_is_better: bool = True
) -> Ratio:
    """Divide two rows, repeat by repeat, so that more than 1 is in our favour."""
    if ours is None or theirs is None:
        return Ratio(what, [], aim)
    pairs = zip(ours.values, theirs.values, strict=False)
    return Ratio(what, [a / b if more_is_better else b / a for a, b in pairs], aim)


def best(rows: Sequence[Row]) -> Row | None:
    """The row with the largest median."""
    measured = [row for row in rows if row.values]
    return max(measured, key=lambda row: median(row.values)) if measured else None


def number(value: float) -> str:
    """Three digits, thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _range(values: Sequence[float]) -> str:
    return f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
