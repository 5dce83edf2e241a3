"""Groups and batches: fill them from provenance columns, and link what must stay together.

A *group* is the independent unit (well, slide, donor); splits never divide one. A *batch* is what
groups share (plate, day).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.csv_cells import similar_column
from cellvision.data.names import canonical_name, is_missing, normalize_names, quote_list
from cellvision.plurals import counted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

NESTED_IN = {"well": "plate"}
"""Columns whose names start again within another column: every plate has a well B06."""

_LISTED = 5
"""Most names in several spellings that are listed one by one."""

_RESERVED = ("image", "label", "split")

Columns = str | tuple[str, ...] | None
"""A provenance column, several whose combination counts, or None."""


@dataclass(frozen=True)
class Provenance:
    """One resolved setting, ``dataset.group`` or ``dataset.batch``.

    Attributes
    ----------
    column : str or None
        The column, or several joined by ``+``; None if unknown.
    names : pandas.Series
        The name of each row's group or batch; None where it is missing.
    warnings : tuple of str
        One line each.
    """

    column: str | None
    names: pd.Series
    warnings: tuple[str, ...] = ()


def resolve(table: pd.DataFrame, setting: str, columns: Columns) -> Provenance:
    """Read the groups or batches of a table from its provenance columns.

    Parameters
    ----------
    table
        The catalog.
    setting
        ``"group"`` or ``"batch"``. Without `columns`, a column of that name is used.
    columns
        The value of the setting.

    Raises
    ------
    errors.CatalogError
        A column does not exist or cannot be used.
    """
    import pandas as pd

    if columns is None:
        if setting not in table.columns:
            return Provenance(None, pd.Series(None, index=table.index, dtype=object))
        values, missing = _values(table[setting])
        if not values.notna().any():
            return Provenance(None, values)
        return Provenance(setting, values, (*missing, *_spelling_warnings(setting, values)))
    names = [columns] if isinstance(columns, str) else list(columns)
    _check_columns(table, setting, names)
    parent = NESTED_IN.get(names[-1])
    if parent in table.columns and parent not in names:
        names.insert(len(names) - 1, str(parent))
    warnings: list[str] = []
    parts: list[pd.Series] = []
    for name in names:
        values, missing = _values(table[name])
        parts.append(values)
        warnings += missing
    known = pd.concat(parts, axis=1).notna().all(axis=1)
    joined = parts[0].where(known, None)
    for part in parts[1:]:
        joined[known] = joined[known] + "/" + part[known]
    title = columns if isinstance(columns, str) else "+".join(columns)
    return Provenance(title, joined, (*warnings, *_spelling_warnings(title, joined)))


def _check_columns(table: pd.DataFrame, setting: str, names: Sequence[str]) -> None:
    if not names:
        raise errors.CatalogError(
            f"dataset.{setting} names no column", "Name a column, or remove the setting"
        )
    # The class and the split are no provenance, whatever a table calls its columns.
    unknown = [name for name in names if name not in table.columns or name in _RESERVED]
    if unknown:
        available = [str(name) for name in table.columns if name not in _RESERVED]
        near = similar_column(unknown[0], available)
        raise errors.CatalogError(
            f"dataset.{setting} names {unknown[0]!r}, which is not a provenance column"
            if near is None
            else f"dataset.{setting}: there is no column {unknown[0]!r}; did you mean {near!r}?",
            f"Provenance columns: {', '.join(available)}"
            if available
            else "There are none: put a groups.csv with a column 'file' beside the classes",
        )


def _values(column: pd.Series) -> tuple[pd.Series, list[str]]:
    """Return a column's names, None where they are missing, and a warning about such words."""
    names = normalize_names(column)
    missing = names.notna() & names.map(is_missing).astype(bool)
    if not missing.any():
        return names, []
    words = quote_list(sorted(set(names[missing])))
    warning = (
        f"Column {column.name!r} contains {words} in {counted(int(missing.sum()), 'row')}: these "
        "count as missing values, not as a name."
    )
    return names.where(~missing, None), [warning]


def _spelling_warnings(title: str, values: pd.Series) -> list[str]:
    """Warn of names that differ only in spelling, such as 7 and 7.0 or A01 and A1."""
    spellings: dict[str, list[str]] = {}
    for name in dict.fromkeys(values.dropna()):
        spellings.setdefault(canonical_name(name), []).append(name)
    different = [sorted(names) for names in spellings.values() if len(names) > 1]
    warnings = [
        f"Column {title!r} contains {quote_list(names)}, which look like spellings of one name: "
        "splits treat them as one. If they are one, correct the table."
        for names in different[:_LISTED]
    ]
    if len(different) > _LISTED:
        warnings.append(
            f"Column {title!r} has {len(different) - _LISTED} more names in several spellings."
        )
    return warnings


def canonical_groups(values: pd.Series) -> pd.Series:
    """Return each name in its canonical form; None where it is missing."""
    canonical = {name: canonical_name(name) for name in dict.fromkeys(values.dropna())}
    return values.map(canonical).astype(object).where(values.notna(), None)


def linked_groups(*keys: pd.Series) -> np.ndarray:
    """Number rows so that rows which share any key, directly or through others, are equal.

    Parameters
    ----------
    keys
        Series of equal length, such as the group and the pixel digest of each image. A missing
        value links to nothing.

    Returns
    -------
    numpy.ndarray
        Shape (rows,), integers from 0: the connected component of each row.
    """
    import numpy as np
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = len(keys[0])
    links_from: list[np.ndarray] = []
    links_to: list[np.ndarray] = []
    size = rows
    for key in keys:
        codes, names = pd.factorize(key.to_numpy(dtype=object))  # -1 where missing
        known = np.flatnonzero(codes >= 0)
        links_from.append(known)
        links_to.append(size + codes[known])
        size += len(names)
    start, end = np.concatenate(links_from), np.concatenate(links_to)
    graph = coo_array((np.ones(len(start)), (start, end)), shape=(size, size))
    components = connected_components(graph, directed=False)[1][:rows]
    return np.asarray(pd.factorize(components)[0])
