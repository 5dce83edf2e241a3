"""CSV tables that survive spreadsheets: no cell is a formula, and every name round-trips."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

FORMULA_START = "=+-@\t\r\n"
"""Characters with which spreadsheets start a formula (OWASP, "CSV Injection")."""

_FORMULA = re.compile(rf"'*[{re.escape(FORMULA_START)}]")


def escape_cell(text: str) -> str:
    """Prefix an apostrophe to text that a spreadsheet would take for a formula.

    Text that already starts with apostrophes before such a character gets one more, so that
    `unescape_cell` restores every text.

    Examples
    --------
    >>> escape_cell("=1+1"), escape_cell("'=1+1"), escape_cell("treated")
    ("'=1+1", "''=1+1", 'treated')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_cell(cell: str) -> str:
    """Undo `escape_cell`.

    Examples
    --------
    >>> unescape_cell("'=1+1"), unescape_cell("'t Hooft")
    ('=1+1', "'t Hooft")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def format_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a CSV table (RFC 4180); text is escaped, and None becomes an empty cell.

    Rows end in CR LF: the csv module quotes a carriage return or a line feed only if the row
    end contains it, and an unquoted one would break the row.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(escape_cell(cell) if isinstance(cell, str) else cell for cell in row)
    return buffer.getvalue()
