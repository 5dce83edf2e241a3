"""Where each image came from: reading and writing `manifest.csv` and `groups.csv`."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from cellvision import errors
from cellvision.csv_cells import (
    escape_cell,
    missing_column,
    most_frequent_delimiter,
    unescape_cell,
)
from cellvision.data.names import canonical_name

if TYPE_CHECKING:
    import pandas

MANIFEST: Final = "manifest.csv"
GROUPS: Final = "groups.csv"
FIXED_COLUMNS = ("file", "source", "field", "transformation")

_LEVELS_ABOVE = 2
"""How many folders above its images a table may lie: above a class, or above a split's class."""

_LONGEST_HEADER = 2**16


@dataclass(frozen=True)
class Provenance:
    """A table with one row per image.

    Attributes
    ----------
    columns
        All columns except `file`, in the order of the file.
    rows
        File (POSIX path relative to the table's folder) to its values.
    """

    columns: tuple[str, ...] = ()
    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def carried_over(self) -> tuple[str, ...]:
        """The columns that outputs inherit unchanged, such as well or plate."""
        return tuple(column for column in self.columns if column not in FIXED_COLUMNS)


def read_rows(path: Path, delimiter: str = ",") -> list[list[str]]:
    """Read the lines of a CSV file; line breaks of any kind inside quotes are kept.

    An apostrophe before a formula, as `to_csv` writes it, is removed.

    Raises
    ------
    cellvision.errors.InvalidInput
        Not UTF-8, a quote that is never closed, or no regular file.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise errors.InvalidInput(f"{path} is not a regular file", "Move it away.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # strict: otherwise an unclosed quote would silently swallow the rest of the table.
            rows = csv.reader(file, strict=True, delimiter=delimiter)
            return [[unescape_cell(cell) for cell in row] for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise errors.InvalidInput(
            f"{path} is not a CSV table in UTF-8: {error}", "Save it again as CSV, UTF-8."
        ) from error


def delimiter_of(path: Path) -> str:
    """Return what separates the column `file` of a table from others; else the most frequent.

    Spreadsheets write semicolons in many countries, and a copied table has tabs.
    """
    with contextlib.suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8-sig") as file:
        header = file.readline(_LONGEST_HEADER)
        for sign in ",;\t":
            if "file" in (name.strip().strip('"') for name in header.split(sign)):
                return sign
        return most_frequent_delimiter(header)
    return ","


def read_table(path: Path) -> Provenance:
    """Read a CSV with a column `file`. All values stay text, so that 007 stays 007.

    Raises
    ------
    cellvision.errors.InvalidInput
        No column `file`, a row of the wrong length, or a file that is listed twice.
    """
    if not path.exists():
        return Provenance()
    lines = read_rows(path, delimiter_of(path) if path.is_file() else ",")
    header = lines[0] if lines else []
    hint = "List in `file` each image's path below the table's folder."
    if "file" not in header:
        raise errors.InvalidInput(f"{path} {missing_column('file', header)}", hint)
    if len(set(header)) < len(header):
        raise errors.InvalidInput(
            f"{path} needs every column once; it has {', '.join(header)}", "Rename one of two."
        )
    rows: dict[str, Mapping[str, str]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        if len(line) != len(header):
            raise errors.InvalidInput(
                f"{path}, line {number}: {len(line)} values for {len(header)} columns",
                "Give every line one value per column.",
            )
        row = dict(zip(header, line, strict=True))
        file = _posix(row.pop("file"), path.parent)
        if file in rows:
            raise errors.InvalidInput(
                f"{path}, line {number}: {file} again", "Keep one row per file."
            )
        rows[file] = row
    return Provenance(tuple(column for column in header if column != "file"), rows)


def _posix(file: str, folder: Path) -> str:
    """Read backslashes as slashes, unless a file really has a backslash in its name."""
    if "\\" in file and not (folder / file).exists():
        file = file.replace("\\", "/")
    return PurePosixPath(file).as_posix()


def read_provenance(folder: Path) -> Provenance:
    """Join `manifest.csv` and `groups.csv` of one folder.

    A split or a class of a prepared folder may be prepared further on its own: a table that is
    not in the folder is taken from the nearest folder above that has rows for its images.

    Raises
    ------
    cellvision.errors.InvalidInput
        The two tables contradict each other about a file.
    """
    manifest, groups = _nearest(folder, MANIFEST), _nearest(folder, GROUPS)
    rows = {file: dict(row) for file, row in manifest.rows.items()}
    for file, row in groups.rows.items():
        known = rows.setdefault(file, {})
        for column, value in row.items():
            if known.setdefault(column, value) != value:
                raise errors.InvalidInput(
                    f"{folder}: {file} has {column}={known[column]} in {MANIFEST} "
                    f"and {column}={value} in {GROUPS}",
                    f"Correct one of them, or remove the column from {GROUPS}.",
                )
    return Provenance(tuple(dict.fromkeys(manifest.columns + groups.columns)), rows)


def _nearest(folder: Path, name: str) -> Provenance:
    """Read the table of that name in a folder, or the rows for its images in one further up."""
    if (folder / name).exists():
        return read_table(folder / name)
    resolved = folder.resolve()
    for outer in resolved.parents[:_LEVELS_ABOVE]:
        start = resolved.relative_to(outer).as_posix() + "/"
        # A table up there that lists no files belongs to something else.
        with contextlib.suppress(errors.InvalidInput):
            table = read_table(outer / name)
            rows = {
                f.removeprefix(start): row for f, row in table.rows.items() if f.startswith(start)
            }
            if rows:
                return Provenance(table.columns, rows)
    return Provenance()


def derived_row(
    provenance: Provenance, *, file: str, source: str, field: str, transformation: str
) -> dict[str, str]:
    """Describe an image made from `source`: the four fixed columns, then the inherited ones."""
    before = provenance.rows.get(source, {})
    earlier = before.get("transformation", "")
    return {
        "file": file,
        "source": source,
        "field": before.get("field") or field,
        "transformation": f"{earlier}; {transformation}" if earlier else transformation,
        **{column: before.get(column, "") for column in provenance.carried_over},
    }


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Format rows as CSV text with `columns` as header; `read_rows` reads the same values.

    Text that a spreadsheet would compute gets an apostrophe in front. A value with a carriage
    return is quoted, which Python's own minimal quoting leaves out before 3.13.
    """
    text = io.StringIO(newline="")
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for values in (list(columns), *([row.get(column, "") for column in columns] for row in rows)):
        special = any("\r" in value for value in values)
        cells = [escape_cell(value, keep_signs=True) for value in values]
        (quoted if special else plain).writerow(cells)
    return text.getvalue()


def to_frame(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> pandas.DataFrame:
    """Return rows as a table of text."""
    import pandas

    return pandas.DataFrame(list(rows), columns=list(columns), dtype="str")


def similar_spellings(values: Iterable[str]) -> list[tuple[str, ...]]:
    """Find values that probably mean the same group: 7 and 7.0, 007 and 7, A01 and a1, P 7.

    Returns
    -------
    list of tuple of str
        The spellings of each such group, sorted.

    Examples
    --------
    >>> similar_spellings(["A01", "B2", "a1", "7", "7.0", "B02", "C"])
    [('7', '7.0'), ('A01', 'a1'), ('B02', 'B2')]
    """
    spellings: dict[str, set[str]] = {}
    for value in values:
        spellings.setdefault(canonical_name(value), set()).add(value)
    return sorted(tuple(sorted(group)) for group in spellings.values() if len(group) > 1)
