"""Where each image came from: reading and writing `manifest.csv` and `groups.csv`."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cellvision import errors

if TYPE_CHECKING:
    import pandas

MANIFEST = "manifest.csv"
GROUPS = "groups.csv"
OWN_COLUMNS = ("file", "source", "field", "transformation")

_ABOVE = 2
"""How many folders above its images a table may lie: above a class, or above a split's class."""


@dataclass(frozen=True)
class Provenance:
    """A table with one row an image.

    Attributes
    ----------
    columns
        All columns but `file`, in the order of the file.
    rows
        File (POSIX path relative to the table's folder) to its values.
    """

    columns: tuple[str, ...] = ()
    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def further(self) -> tuple[str, ...]:
        """The columns that are carried over as they are, such as well or plate."""
        return tuple(column for column in self.columns if column not in OWN_COLUMNS)


def read_table(path: Path) -> Provenance:
    """Read one CSV with a column `file`; every value stays text, so that 007 stays 007.

    Raises
    ------
    cellvision.errors.InvalidInput
        No column `file`, a row of the wrong length, or a file that is named twice.
    """
    if not path.exists():
        return Provenance()
    try:
        # strict: a quote that is never closed would swallow the rest of the table in silence.
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as fault:
        raise errors.InvalidInput(
            f"{path} is not a CSV table in UTF-8: {fault}", "Save it again as CSV, UTF-8."
        ) from fault
    header = lines[0] if lines else []
    if "file" not in header or len(set(header)) < len(header):
        raise errors.InvalidInput(
            f"{path} needs one column `file` and no column twice; it has {', '.join(header)}",
            "Name in `file` each image's path below the table's folder.",
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
        file = PurePosixPath(row.pop("file").replace("\\", "/")).as_posix()
        if file in rows:
            raise errors.InvalidInput(
                f"{path}, line {number}: {file} again", "Keep one row a file."
            )
        rows[file] = row
    return Provenance(tuple(column for column in header if column != "file"), rows)


def read_provenance(folder: Path) -> Provenance:
    """Join `manifest.csv` and `groups.csv` of one folder.

    A split or a class of a prepared folder may be prepared further by itself: a table that is
    not in the folder is taken from the next folder above that has one for its images.

    Raises
    ------
    cellvision.errors.InvalidInput
        The two tables say different things about one file.
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
    """The table of that name in a folder, or the rows on its images in one further up."""
    if (folder / name).exists():
        return read_table(folder / name)
    whole = folder.resolve()
    for outer in whole.parents[:_ABOVE]:
        start = whole.relative_to(outer).as_posix() + "/"
        # A table there that is no table of files belongs to something else.
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
    """Describe an image made from `source`: its own four columns, then what is carried over."""
    before = provenance.rows.get(source, {})
    earlier = before.get("transformation", "")
    return {
        "file": file,
        "source": source,
        "field": before.get("field") or field,
        "transformation": f"{earlier}; {transformation}" if earlier else transformation,
        **{column: before.get(column, "") for column in provenance.further},
    }


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Write rows as CSV text with `columns` as header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_frame(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> pandas.DataFrame:
    """Give rows as a table of text."""
    import pandas

    return pandas.DataFrame(list(rows), columns=list(columns), dtype="str")
