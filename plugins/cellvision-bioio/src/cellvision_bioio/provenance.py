"""Provenance of the files: `groups.csv`, beside the classes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from cellvision import errors, io


def read_groups(table: Path, files: Collection[str]) -> dict[str, dict[str, str | None]]:
    """Read a table with a column ``file`` and provenance columns; all values stay text.

    Parameters
    ----------
    table
        The table.
    files
        The microscope files, relative to its folder; rows of other files are skipped.

    Returns
    -------
    dict
        By column, by file; an empty cell is None.

    Raises
    ------
    errors.CatalogError
        The table cannot be read, lacks a column ``file``, names a file twice, or matches none.
    """
    import pandas as pd

    try:
        rows = io.unescape_frame(
            pd.read_csv(table, dtype=str, keep_default_na=False, sep=None, engine="python")
        )
    except Exception as fault:  # a damaged table can raise anything
        reason = " ".join(str(fault).split())[:160]
        raise errors.CatalogError(
            f"{table} cannot be read as CSV: {reason}", "Save it again as CSV UTF-8."
        ) from fault
    if "file" not in rows.columns:
        raise errors.CatalogError(
            f"{table} {io.missing_column('file', [str(column) for column in rows.columns])}",
            "It must name the path of each microscope file, relative to the table's folder",
        )
    named = rows["file"].str.strip().str.replace("\\", "/").str.removeprefix("./")
    twice = sorted(set(named[named.duplicated()]))
    if twice:
        raise errors.CatalogError(f"{table} names {twice[0]} twice", "Keep one line for each file.")
    rows = rows.assign(file=named)[named.isin(set(files))]
    if rows.empty:
        raise errors.CatalogError(
            f"{table}: none of its rows names a microscope file of this folder",
            "Write paths relative to the table's folder, or remove the table",
        )
    return {
        str(column): {
            file: value.strip() or None
            for file, value in zip(rows["file"], rows[column], strict=True)
        }
        for column in rows.columns
        if column != "file"
    }
