"""CSV tables that survive spreadsheets: no cell is a formula, and every name round-trips."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FORMULA_START = "=+-@\t\r\n"
"""Characters with which spreadsheets start a formula (OWASP, "CSV Injection")."""

_FORMULA = re.compile(rf"'*[{re.escape(FORMULA_START)}]")
_MOST_COLUMNS = 30
"""Columns of a table that a message lists."""

_HARMLESS = re.compile(r"[+-]+|[+-]\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?")
"""Signs alone and numbers, which compute nothing: ``+`` and ``-`` are common names of classes."""


def escape_cell(text: str, *, keep_signs: bool = False) -> str:
    """Prefix an apostrophe to text that a spreadsheet would take for a formula.

    Text that already starts with apostrophes before such a character gets one more, so that
    `unescape_cell` restores every text.

    Parameters
    ----------
    text
        The text of a cell.
    keep_signs
        Leave signs and numbers as they are (``+``, ``-``, ``-1.5``), for tables that other
        programs read.

    Examples
    --------
    >>> escape_cell("=1+1"), escape_cell("'=1+1"), escape_cell("treated")
    ("'=1+1", "''=1+1", 'treated')
    >>> escape_cell("+"), escape_cell("+", keep_signs=True)
    ("'+", '+')
    """
    if keep_signs and _HARMLESS.fullmatch(text):
        return text
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_cell(cell: str) -> str:
    """Undo `escape_cell`.

    Examples
    --------
    >>> unescape_cell("'=1+1"), unescape_cell("'t Hooft")
    ('=1+1', "'t Hooft")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def compose_name(name: str) -> str:
    r"""Return a column's name with its accents composed (Unicode NFC), as keyboards write them.

    macOS and some spreadsheets write decomposed ones, which look alike and are not equal.

    Examples
    --------
    >>> compose_name("Pr\u0061\u0308parat") == "Pr\u00e4parat"
    True
    """
    return unicodedata.normalize("NFC", name)


def missing_column(name: str, columns: Sequence[str]) -> str:
    """Say that a table has no such column; name one that differs in capitals only, or list all.

    Parameters
    ----------
    name
        The column that is missing.
    columns
        The columns of the table.

    Examples
    --------
    >>> missing_column("file", ["File", "Well"])
    "has no column 'file'; did you mean 'File'? Its columns are: File, Well"
    >>> missing_column("file", ["name", "well"])
    "has no column 'file'; its columns are: name, well"
    """
    listed = ", ".join(columns[:_MOST_COLUMNS]) + (", ..." if len(columns) > _MOST_COLUMNS else "")
    near = similar_column(name, columns)
    if near is None:
        return f"has no column {name!r}; its columns are: {listed}"
    return f"has no column {name!r}; did you mean {near!r}? Its columns are: {listed}"


def similar_column(name: str, columns: Iterable[str]) -> str | None:
    """Return the column that differs in capitals, blanks around it or kind of accents, if any.

    Examples
    --------
    >>> similar_column("well", ["Plate", "Well"]), similar_column("well", ["wells"])
    ('Well', None)
    """
    wanted = compose_name(name).strip().casefold()
    return next(
        (c for c in columns if c != name and compose_name(c).strip().casefold() == wanted), None
    )


def most_frequent_delimiter(header: str) -> str:
    """Return which of comma, semicolon and tab is most frequent in the first line of a table.

    Examples
    --------
    >>> most_frequent_delimiter("File;Well;Date")
    ';'
    """
    return max(",;\t", key=header.count)


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


def format_frame(
    table: pd.DataFrame, float_format: str | None = None, *, header: bool = True
) -> str:
    """Format a data frame as CSV, so that `unescape_frame` restores what pandas reads of it.

    Text is escaped, signs and numbers excepted. If a name has a carriage return, all cells are
    quoted, because the csv module would leave that one bare.

    Parameters
    ----------
    table
        The table; its index is not written.
    float_format
        Such as ``"%.9g"``; None writes all digits.
    header
        Whether to write the names of the columns.
    """
    escaped = table.copy(deep=False)
    names = [str(name) for name in table.columns]
    escaped.columns = [escape_cell(name, keep_signs=True) for name in names]
    has_return = any("\r" in name for name in names)
    for position in _text_positions(table):
        cells = table.iloc[:, position].astype(object).tolist()
        # Most columns repeat few texts.
        texts = {cell: escape_cell(cell, keep_signs=True) for cell in _texts(cells)}
        has_return |= any("\r" in text for text in texts)
        escaped.isetitem(position, [_replaced(cell, texts) for cell in cells])
    text: str = escaped.to_csv(
        header=header,
        index=False,
        float_format=float_format,
        lineterminator="\n",
        quoting=csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL,
    )
    return text


def unescape_frame(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that pandas read from CSV with its text as it was before `format_frame`."""
    restored = table.copy(deep=False)
    restored.columns = [unescape_cell(str(name)) for name in table.columns]
    for position in _text_positions(table):
        cells = table.iloc[:, position].astype(object).tolist()
        texts = {cell: unescape_cell(cell) for cell in _texts(cells) if cell.startswith("'")}
        if texts:
            restored.isetitem(position, [_replaced(cell, texts) for cell in cells])
    return restored


def _text_positions(table: pd.DataFrame) -> list[int]:
    """Return the positions of the columns that may hold text; names may occur twice."""
    return [k for k, dtype in enumerate(table.dtypes) if getattr(dtype, "kind", "O") not in "biufc"]


def _texts(cells: Iterable[object]) -> set[str]:
    return {cell for cell in cells if isinstance(cell, str)}


def _replaced(cell: Any, texts: Mapping[str, str]) -> Any:
    """Return what takes the place of a text; other cells, which may equal none, stay."""
    return texts.get(cell, cell) if isinstance(cell, str) else cell
