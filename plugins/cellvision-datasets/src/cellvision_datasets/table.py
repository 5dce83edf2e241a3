"""Images listed in a table: one row per image with file, label and provenance."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from cellvision import errors, remote
from cellvision.io import ColumnName, compose_name, missing_column

from .fence import require_allowed
from .image_files import ImageFiles
from .provenance import CATALOG_COLUMNS, read_csv

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import DecodedImage

_TEXT = (".csv", ".tsv", ".txt")
_LONGEST_HEADER = 2**16
"""Bytes of the first line that are looked at."""

_PARQUET = (".parquet", ".pq")


class Table(ImageFiles):
    r"""Images listed in a CSV, TSV or Parquet table with a column for file and for label.

    The id of an image is its file as the table names it, with forward slashes; it may also be an
    address on remote storage, if `allowed` contains it. All further columns are provenance, as
    text; a column ``group`` names the independent group. Columns named like the catalog's own
    (``image``, ``label``, ``split``) that no setting chooses become ``image_in_table`` and so on.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "cells.csv").write_text("file,moa,well\nx/1.tif,DMSO,01\n")
    >>> Table(path=folder / "cells.csv", label="moa").catalog()
         image label well
    0  x/1.tif  DMSO   01
    """

    path: remote.Location
    """Table, or its address on remote storage: CSV or TSV (`.csv`, `.tsv`, `.txt`; UTF-8)
    or Parquet (`.parquet`, `.pq`)."""

    file: ColumnName = "file"
    """Column of the image files."""

    label: ColumnName = "label"
    """Column of the classes."""

    split: ColumnName | None = None
    """Column of the splits. None: a column ``split``, if the table has one."""

    root: remote.Location | None = None
    """Folder or address that files are relative to. None: the folder of the table."""

    allowed: tuple[remote.Location, ...] = ()
    """Further folders and addresses in which the table may name files. Files elsewhere are
    refused: opening a table of others must not reach other folders or the network."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a path is a CSV or TSV table with the columns ``file`` and ``label``.

        Other capitals count, so that the error is about the names of the columns.
        """
        if path.suffix.lower() not in (".csv", ".tsv") or not path.is_file():
            return False
        with path.open("rb") as file:
            header = file.readline(_LONGEST_HEADER).decode("utf-8-sig", "replace")
        columns = {name.strip().strip('"').casefold() for name in re.split(r"[,;\t]", header)}
        return {"file", "label"} <= columns

    def catalog(self) -> pd.DataFrame:
        """List all rows of the table.

        Raises
        ------
        errors.CatalogError
            The table is missing, cannot be read, lacks a column, or has a row without file.
        """
        with remote.file(self.path) as path:
            table = self._catalog(path)
        remote.fetch(self._root, list(table["image"]))
        return table

    def _catalog(self, path: Path) -> pd.DataFrame:
        import pandas as pd

        if not path.is_file():
            if path.is_dir():
                raise errors.CatalogError(
                    f"{path} is a folder, not a table",
                    "Name the table, or use the data set 'folder'.",
                )
            raise errors.CatalogError(f"there is no table {path}", "Check the path")
        columns = self._columns(path)
        for name in (self.label, self.split):
            if name is not None and name not in columns:
                raise errors.CatalogError(
                    f"{path} {missing_column(name, list(columns))}",
                    "Name the columns with dataset.file, dataset.label and dataset.split.",
                )
        split = self.split or ("split" if "split" in columns else None)
        table = {
            "image": [str(file).strip().replace("\\", "/") for file in columns[self.file]],
            "label": columns[self.label],
        }
        if split is not None:
            table["split"] = columns[split]
        for name, values in columns.items():
            if name not in (self.file, self.label, split):
                table[f"{name}_in_table" if name in CATALOG_COLUMNS else name] = values
        return pd.DataFrame(table)

    def relocated(self, path: str | os.PathLike[str]) -> Self:
        """Return this data set with another table, or with its files in another folder.

        A folder that contains a table of the same name replaces the table's folder too.
        """
        table = Path(path) / Path(self.path).name
        if not remote.is_address(path):
            if Path(path).is_file():
                return super().relocated(path)
            if self.root is None and table.is_file():
                return super().relocated(table)
        return type(self)(**{**dict(self), "root": path})

    def decode(self, image: str) -> DecodedImage:
        """Decode one file with its bit depth; nothing is scaled.

        Raises
        ------
        errors.UnreadableImage
            There is no such file, or it cannot be decoded.
        """
        try:
            return super().decode(image)
        except errors.UnreadableImage as fault:
            is_remote = remote.is_address(self._root) or remote.is_address(image)
            if is_remote or os.path.lexists(self.locate(image)):
                raise
            hint = f"Paths count from the folder {self._root}: check them, or set dataset.root"
            raise errors.UnreadableImage(image, fault.reason, hint) from fault

    def locate(self, image: str) -> Path:
        """Return the file of one image."""
        return remote.locate(self._root, image)

    @property
    def _root(self) -> Path | str:
        if self.root is not None:
            return self.root
        return self.path.rpartition("/")[0] if isinstance(self.path, str) else self.path.parent

    def _columns(self, path: Path) -> dict[str, Sequence[str | None]]:
        """Return all columns as text; empty cells are None, and refused in the column of files."""
        suffix = path.suffix.lower()
        columns: dict[str, list[str | None]]
        if suffix in _TEXT:
            names, rows = read_csv(path, self.file)
            columns = {name: [row[name] or None for _, row in rows] for name in (self.file, *names)}
            positions = [f"line {line}" for line, _ in rows]
        elif suffix in _PARQUET:
            columns = _read_parquet(path)
            if self.file not in columns:
                raise errors.CatalogError(
                    f"{path} {missing_column(self.file, list(columns))}",
                    "Name the column of files with dataset.file.",
                )
            positions = [f"row {row}" for row in range(len(columns[self.file]))]
        else:
            raise errors.CatalogError(
                f"{path}: unknown suffix for a table",
                f"Save it as one of {' '.join((*_TEXT, *_PARQUET))}",
            )
        for position, file in zip(positions, columns[self.file], strict=True):
            if not (file or "").strip():
                raise errors.CatalogError(
                    f"{path}, {position}: no file", "Name it, or remove the row."
                )
            require_allowed(str(file), f"{path}, {position}", self._root, self.allowed)
        return cast("dict[str, Sequence[str | None]]", columns)


def _read_parquet(path: Path) -> dict[str, list[str | None]]:
    import pandas as pd

    try:
        # Nullable types: whole numbers with gaps stay whole, so that well 1 is not "1.0".
        table = pd.read_parquet(path, dtype_backend="numpy_nullable")
    except Exception as fault:  # a damaged file can raise anything
        reason = " ".join(str(fault).split())[:160]
        raise errors.CatalogError(
            f"{path} cannot be read as Parquet: {reason}", "Write it again, or save it as CSV."
        ) from fault
    return {
        compose_name(str(name)): [None if pd.isna(value) else str(value) for value in table[name]]
        for name in table.columns
    }
