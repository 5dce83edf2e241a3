"""Files that tables of predictions are written to in blocks: CSV, and workbooks of Excel."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from cellvision import atomic_io, errors
from cellvision.results.claimed_folder import naming_folder
from cellvision.results.tables import append_table

if TYPE_CHECKING:
    import pandas as pd

EXCEL = ".xlsx"
"""Suffix of a workbook."""

SUFFIXES = (".csv", EXCEL)
"""Suffixes of tables that can be written."""

_MOST_ROWS = 2**20
"""Rows of a sheet, as the format allows."""


class TableFile(Protocol):
    """A file that receives a table in blocks."""

    def append(self, block: pd.DataFrame, *, header: bool) -> None:
        """Write some rows; with `header`, the names of the columns first."""


class CsvFile:
    """A CSV file.

    Parameters
    ----------
    file
        Open for writing.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def append(self, block: pd.DataFrame, *, header: bool) -> None:
        """Write some rows."""
        append_table(self._file, block, header=header)


class ExcelFile:
    """A workbook with one sheet, of which one row is in memory at a time.

    Parameters
    ----------
    path
        The file.
    name
        Name of the file for error messages.
    """

    def __init__(self, path: Path, name: str) -> None:
        import xlsxwriter

        self._path = path
        # In memory, because a ZipFile on a full disk prints a traceback when it is collected.
        self._content = io.BytesIO()
        # Text stays text: a file or class whose name begins with "=" is no formula.
        options = {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
        }
        self._book = xlsxwriter.Workbook(self._content, options)
        self._sheet = self._book.add_worksheet("predictions")
        self._bold = self._book.add_format({"bold": True})
        self._name = name
        self._rows = 0

    def append(self, block: pd.DataFrame, *, header: bool) -> None:
        """Write some rows; the row of names stays visible when the sheet is scrolled."""
        if header:
            self._write([str(name) for name in block.columns], self._bold)
            self._sheet.freeze_panes(1, 0)
        for values in block.itertuples(index=False):
            self._write([_plain(value) for value in values])

    def _write(self, values: list[Any], style: Any = None) -> None:
        if self._rows >= _MOST_ROWS:
            raise errors.ExperimentError(
                f"{self._name}: a sheet of Excel has at most {_MOST_ROWS:,} rows",
                "Write a CSV file: --out predictions.csv",
            )
        self._sheet.write_row(self._rows, 0, values, style)
        self._rows += 1

    def close(self) -> None:
        """Finish the file; raises `OSError` if the disk is full."""
        from xlsxwriter.exceptions import FileCreateError

        try:
            self._book.close()
        except FileCreateError as error:  # of a full folder for temporary files
            cause = error.__context__
            raise (cause if isinstance(cause, OSError) else OSError(str(error))) from error
        self._path.write_bytes(self._content.getbuffer())


def _plain(value: Any) -> Any:
    """Return a value that a cell can hold: a number, text, or None for an empty cell."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, bool | int | float) else str(value)


@contextmanager
def table_file(out: Path | None) -> Iterator[TableFile | None]:
    """Open a file for a table, which appears when the block succeeds; None if `out` is None.

    Parameters
    ----------
    out
        Its path; the suffix decides between CSV and Excel.

    Raises
    ------
    errors.CellvisionError
        The file cannot be written.
    """
    if out is None:
        yield None
        return
    with naming_folder(out.parent), atomic_io.path(out) as temporary:
        if out.suffix.lower() == EXCEL:
            book = ExcelFile(temporary, out.name)
            try:
                yield book
            finally:
                book.close()  # also if the block raises: otherwise the library does it later
        else:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                yield CsvFile(file)


def write_whole_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table that is in memory; the suffix decides between CSV and Excel."""
    with table_file(path) as file:
        assert file is not None
        file.append(table, header=True)
