"""Tables as CSV files for programs and as Markdown for people."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import io

if TYPE_CHECKING:
    import pandas as pd


def markdown_table(table: pd.DataFrame) -> str:
    """Format a table as Markdown; whatever names contain, they stay text in their cell."""
    lines = [_line(table.columns), "|" + " --- |" * len(table.columns)]
    lines += [_line(row) for row in table.itertuples(index=False, name=None)]
    return "\n".join(lines)


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(map(io.escape_markdown, cells)) + " |"


def write_csv(target: Path, table: pd.DataFrame, digits: int | None = None) -> Path:
    """Write a table as CSV, whole or not at all.

    Names that a spreadsheet would compute get an apostrophe in front.

    Parameters
    ----------
    target
        The file.
    table
        The table; its index is not written.
    digits
        Significant digits of floating-point numbers; None writes them in full.
    """
    form = None if digits is None else f"%.{digits}g"
    return io.write_text(target, io.format_frame(table, form))
