"""Provenance of images: the tables `groups.csv` and `manifest.csv`."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cellvision import errors
from cellvision.io import compose_name, missing_column, most_frequent_delimiter, unescape_cell

from .layout import MANIFEST

CATALOG_COLUMNS = ("image", "label", "split")
"""Columns that the folders decide on; those of a table become ``<name>_in_table``."""

_DELIMITERS = (",", ";", "\t")

_ABOVE = 2
"""Levels above the images at which a manifest may be: above a class, or a class of a split."""


@dataclass
class Provenance:
    """Joined content of the provenance tables.

    Attributes
    ----------
    columns
        All columns, in the order of the tables.
    rows
        Values by image and column, without empty cells.
    absent
        Number of rows that name no image, by table.
    has_fields
        Whether a manifest names the field of each image.
    """

    columns: dict[str, None] = field(default_factory=dict)
    rows: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    absent: dict[str, int] = field(default_factory=dict)
    has_fields: bool = False


def read_provenance(root: Path, tables: Sequence[str], images: Sequence[str]) -> Provenance:
    """Join provenance tables on the images.

    Values stay text, so that well 01 stays 01. Files are relative to the folder of their table.
    Fields and sources of a manifest below `root` are prefixed with its folder, because manifests
    of other folders may use the same names.

    Parameters
    ----------
    root
        The folder of the data set.
    tables, images
        POSIX paths relative to it.

    Raises
    ------
    errors.CatalogError
        A table cannot be read, names an image twice, matches no image, or contradicts another.
    """
    joined = Provenance()
    source_of: dict[tuple[str, str], str] = {}
    for table in tables:
        base = PurePosixPath(table).parent
        columns, rows = read_csv(root / table)
        renamed = _renamed(columns)
        joined.columns |= dict.fromkeys(renamed.values())
        joined.has_fields |= table.endswith(MANIFEST) and "field" in columns
        matched = _match(root / table, rows, [i for i in images if _below(i, base)], base)
        joined.absent[table] = len(rows) - len(matched)
        for image, (_, row) in matched.items():
            for column, value in row.items():
                if column not in renamed or value == "":
                    continue
                if table.endswith(MANIFEST) and column in ("field", "source"):
                    value = (base / value).as_posix()
                known = joined.rows[image].setdefault(renamed[column], value)
                before = source_of.setdefault((image, renamed[column]), table)
                if known != value:
                    raise errors.CatalogError(
                        f"{root}: {image} has {column} {known!r} in {before} "
                        f"and {value!r} in {table}",
                        f"Correct one of them, or remove the column {column!r} from one.",
                    )
    return joined


def manifest_above(root: Path, images: Sequence[str]) -> Provenance:
    """Read the manifest above `root`, for a split or class of a prepared folder used alone.

    Parameters
    ----------
    root
        The folder of the data set.
    images
        POSIX paths relative to it.
    """
    whole = root.resolve()
    for outer in whole.parents[:_ABOVE]:
        if not (outer / MANIFEST).is_file():
            continue
        try:
            columns, rows = read_csv(outer / MANIFEST)
        except errors.CatalogError:
            continue  # a manifest of something else
        renamed, start = _renamed(columns), whole.relative_to(outer).as_posix()
        by_file = {_key(row["file"]): row for _, row in rows}
        above = Provenance(dict.fromkeys(renamed.values()), has_fields="field" in columns)
        for image in images:
            for column, value in by_file.get(_key(f"{start}/{image}"), {}).items():
                if column in renamed and value:
                    above.rows[image][renamed[column]] = value
        if above.rows:
            return above
    return Provenance()


def _renamed(columns: Sequence[str]) -> dict[str, str]:
    return {name: f"{name}_in_table" if name in CATALOG_COLUMNS else name for name in columns}


Row = tuple[int, dict[str, str]]
"""Line number in the file, and the values by column."""


def read_csv(path: Path, file: str = "file") -> tuple[list[str], list[Row]]:
    """Read a table of files: its columns except that of the files, and its rows.

    Commas, semicolons (which spreadsheets write in many countries) and tabs separate values.

    Parameters
    ----------
    path
        The table.
    file
        Column of the files.

    Raises
    ------
    errors.CatalogError
        The file is not UTF-8, lacks the column, has a column twice, or has a ragged line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:  # keeps returns in names
            text = stream.read()
    except UnicodeDecodeError as fault:
        raise errors.CatalogError(
            f"{path} is not in UTF-8 (byte {fault.start})", "Save it again as CSV UTF-8."
        ) from fault
    except OSError as fault:
        raise errors.CatalogError(f"{path} cannot be read: {fault.strerror}") from fault
    if not text.strip():
        raise errors.CatalogError(f"{path} is empty", "Fill it, or remove it.")
    top = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]
    with_file = [d for d in _DELIMITERS if file in _names(top, d)]
    delimiter = with_file[0] if with_file else most_frequent_delimiter(top)
    # strict: an unclosed quote would silently swallow the rest of the table.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[Row] = []
    try:
        for escaped in reader:
            cells = [unescape_cell(cell) for cell in escaped]
            if not any(cells):
                continue
            if not header:
                header = _header(path, cells, file)
                continue
            if len(cells) < len(header) or any(cells[len(header) :]):
                raise errors.CatalogError(
                    f"{path}, line {reader.line_num}: {len(cells)} values "
                    f"for {len(header)} columns",
                    "Give every line one value for each column.",
                )
            rows.append((reader.line_num, dict(zip(header, cells, strict=False))))
    except csv.Error as fault:
        raise errors.CatalogError(
            f"{path}, line {reader.line_num}: {fault}", "Save it again as CSV UTF-8."
        ) from fault
    return [name for name in header if name not in ("", file)], rows


def _names(line: str, delimiter: str) -> list[str]:
    return [compose_name(name.strip().strip('"')) for name in line.split(delimiter)]


def _header(path: Path, cells: Sequence[str], file: str) -> list[str]:
    names = [compose_name(name.strip()) for name in cells]
    if file not in names:
        raise errors.CatalogError(
            f"{path} {missing_column(file, names)}",
            f"Name the column {file!r} that holds the path of each image, relative to the table's "
            "folder.",
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise errors.CatalogError(f"{path} has the column {twice[0]!r} twice", "Rename one of them")
    return names


def _match(
    table: Path, rows: Sequence[Row], images: Sequence[str], base: PurePosixPath
) -> dict[str, Row]:
    """Find the image that each row names, by path, or by file name if that is unique."""
    by_path = {_key(PurePosixPath(image).relative_to(base).as_posix()): image for image in images}
    by_name: dict[str, list[str]] = defaultdict(list)
    for path, name in by_path.items():
        by_name[PurePosixPath(path).name].append(name)
    matched: dict[str, Row] = {}
    for line, row in rows:
        file = _key(row["file"])
        if not row["file"].strip():
            raise errors.CatalogError(
                f"{table}, line {line}: no file", "Name it, or remove the line."
            )
        # A name with a folder is matched as a path only.
        same = by_name.get(file, []) if "/" not in file else []
        image = by_path.get(file) or (same[0] if len(same) == 1 else None)
        if image is None and len(same) > 1:
            raise errors.CatalogError(
                f"{table}, line {line}: {file} is ambiguous: {same[0]} or {same[1]}",
                "Write the path relative to the table's folder.",
            )
        if image is None:
            continue
        if image in matched:
            raise errors.CatalogError(
                f"{table}, lines {matched[image][0]} and {line} both name {image}",
                "Keep one line for each file.",
            )
        matched[image] = (line, row)
    if rows and not matched:
        raise errors.CatalogError(
            f"{table}: none of its {len(rows)} rows names an image of this folder "
            f"(first: {rows[0][1]['file']})",
            "Write paths relative to the table's folder, or remove the table.",
        )
    return matched


def _key(file: str) -> str:
    """Normalise a path: forward slashes, composed accents, no leading './'."""
    slashed = unicodedata.normalize("NFC", file.strip().replace("\\", "/"))
    return PurePosixPath(slashed).as_posix()


def _below(image: str, base: PurePosixPath) -> bool:
    return base in PurePosixPath(image).parents
