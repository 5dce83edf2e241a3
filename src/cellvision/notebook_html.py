"""HTML of objects in a notebook: a heading, facts, tables and lists.

Every text is escaped. No colour of text or background is set, so notebooks with a light and with
a dark theme can both show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

MOST_ROWS = 20
"""Most rows of a table, and most lines of a list."""

_MOST_CHARACTERS = 300
"""Longer texts are shortened."""

_CELL = "padding:.15em .9em .15em 0;text-align:left;vertical-align:top;background:none"
_HEAD = f"{_CELL};border-bottom:1px solid rgba(128,128,128,.5)"


def document(title: str, *parts: str) -> str:
    """Return the HTML of one object.

    Parameters
    ----------
    title
        Heading.
    parts
        What `facts`, `table` and `notes` return, in order.
    """
    heading = f'<p style="margin:0 0 .3em"><strong>{_text(title)}</strong></p>'
    return f'<div class="cellvision" style="overflow-x:auto">{heading}{"".join(parts)}</div>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return a table of names and values; values that are None are left out."""
    rows = [
        f'<tr><th scope="row" style="{_CELL};font-weight:normal;opacity:.75">{_text(name)}</th>'
        f'<td style="{_CELL}">{_text(value)}</td></tr>'
        for name, value in pairs
        if value is not None
    ]
    return _table("", rows)


def table(head: Sequence[object], rows: Iterable[Sequence[object]], title: str = "") -> str:
    """Return a table with a row of column names; long tables are cut, with a line that says so."""
    listed = [list(row) for row in rows]
    names = "".join(f'<th scope="col" style="{_HEAD}">{_text(name)}</th>' for name in head)
    body = [
        "<tr>" + "".join(f'<td style="{_CELL}">{_text(cell)}</td>' for cell in row) + "</tr>"
        for row in listed[:MOST_ROWS]
    ]
    return _title(title) + _table(f"<thead><tr>{names}</tr></thead>", body) + _more(listed)


def notes(title: str, lines: Iterable[str]) -> str:
    """Return a list with a title; nothing if there are no lines."""
    listed = list(lines)
    if not listed:
        return ""
    items = "".join(f"<li>{_text(line)}</li>" for line in listed[:MOST_ROWS])
    return f'{_title(title)}<ul style="margin:0;padding-left:1.4em">{items}</ul>{_more(listed)}'


def _table(head: str, rows: Sequence[str]) -> str:
    if not rows:
        return ""
    style = "border-collapse:collapse;margin:.2em 0;border:none;font-variant-numeric:tabular-nums"
    return f'<table style="{style}">{head}<tbody>{"".join(rows)}</tbody></table>'


def _title(title: str) -> str:
    return f'<p style="margin:.5em 0 0"><em>{_text(title)}</em></p>' if title else ""


def _more(rows: Sequence[object]) -> str:
    omitted = len(rows) - MOST_ROWS
    return f'<p style="margin:0">and {omitted} more</p>' if omitted > 0 else ""


def _text(value: object) -> str:
    text = str(value)
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[: _MOST_CHARACTERS - 1]}…"
    return escape(text)
