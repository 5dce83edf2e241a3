"""Long lists in columns: a line for each row, so that ``| grep`` finds whole rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

_GAP = 2
_LEAST = 30
"""Characters below which the last column is too narrow for sentences."""


def print_columns(rows: Sequence[Sequence[Text]], console: Console) -> None:
    """Print rows of cells in columns.

    On a terminal, the last column wraps. If hardly any room is left for it, it goes below the
    others. Elsewhere, each row is one line. rich.table takes ten times as long.

    Parameters
    ----------
    rows
        As many cells in each.
    console
        Where to print them.
    """
    columns = list(zip(*rows, strict=True))[:-1]
    widths = [max(cell.cell_len for cell in column) for column in columns]
    if not console.is_terminal:
        _print_plain(rows, widths, console)
        return
    start = sum(width + _GAP for width in widths if width)
    room = console.width - start
    is_below = room < _LEAST
    if is_below:
        start, room = 2 * _GAP, console.width - 2 * _GAP
    lines: list[Text] = []
    for row in rows:
        line = Text()
        for cell, width in zip(row, widths, strict=False):
            if width:
                line.append_text(cell).append(" " * (width - cell.cell_len + _GAP))
        parts = [row[-1]]
        if row[-1].cell_len > room:
            parts = list(row[-1].wrap(console, room, overflow="fold"))
        if is_below:
            lines.append(line)
            line = Text(" " * start)
        for part in parts if row[-1] else [Text()]:
            lines.append(line.append_text(part))
            line = Text(" " * start)
    for line in lines:
        line.rstrip()
    console.print(Text("\n").join(line for line in lines if line), soft_wrap=True)


def _print_plain(rows: Sequence[Sequence[Text]], widths: Sequence[int], console: Console) -> None:
    for row in rows:
        cells = (
            cell.plain + " " * (width - cell.cell_len + _GAP)
            for cell, width in zip(row, widths, strict=False)
            if width
        )
        line = ("".join(cells) + row[-1].plain).rstrip()
        if line:
            console.file.write(f"{line}\n")
