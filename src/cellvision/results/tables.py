"""Tables and JSON files of runs and studies, written whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from cellvision import atomic_io, errors
from cellvision.csv_cells import format_frame, most_frequent_delimiter, unescape_frame

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.data.catalog import Catalog

HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
"""Columns of ``history.csv``, apart from the further metrics of an architecture."""

_PREDICTIONS = ("image", "split", "group", "label", "predicted")

_CATALOG_COLUMNS = ("image", "label", "split", "group", "batch")


_ONE = 1.001
"""Largest probability; the sum of rounded ones may exceed 1."""

_DECIMAL_COMMA = re.compile(r"-?\d+,\d+([eE][+-]?\d+)?")

_SAVED_AGAIN = (
    "A spreadsheet saved it: restore the file, or save it as CSV with commas between columns and "
    "decimal points."
)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write standard JSON: infinite numbers and NaN become null."""
    atomic_io.text(path, json.dumps(_plain(content), indent=2, ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file with enough digits to distinguish any two float32 numbers.

    Names that a spreadsheet would compute get an apostrophe in front; see `cellvision.csv_cells`.
    """
    with (
        atomic_io.path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        append_table(file, table, header=True)


def read_table(path: Path, dtype: type[str] | Mapping[str, type[str]]) -> pd.DataFrame:
    """Read a CSV file of `write_table`, in which only empty cells are missing values.

    Names stay text, also a class called "1", "NA" or "=1+1".

    Parameters
    ----------
    path
        The file.
    dtype
        ``str`` for all columns, or by column; other columns are numbers if they can be.

    Raises
    ------
    errors.FolderError
        The file holds no table, or one that a spreadsheet saved in another form.
    """
    import pandas as pd

    try:
        _raise_if_separated(path, list(pd.read_csv(path, nrows=0).columns))
        table = pd.read_csv(path, dtype=dtype, keep_default_na=False, na_values=[""])
    except errors.FolderError:
        raise
    except ValueError as error:  # of pandas' parser, and text that is not UTF-8
        raise errors.FolderError(
            f"{path}: cannot be read: {errors.first_line(error)}", "Restore the file."
        ) from error
    if isinstance(dtype, Mapping):
        _raise_if_decimal_commas(path, table, dtype)
    return unescape_frame(table)


def _raise_if_separated(path: Path, columns: Sequence[str]) -> None:
    """Refuse other separators than commas, which spreadsheets write in many countries."""
    sign = most_frequent_delimiter(columns[0])
    if len(columns) == 1 and sign in columns[0]:
        name = {",": "quotes surround", ";": "semicolons separate", "\t": "tabs separate"}[sign]
        raise errors.FolderError(f"{path}: {name} its columns, not commas alone", _SAVED_AGAIN)


def _raise_if_decimal_commas(path: Path, table: pd.DataFrame, text: Container[str]) -> None:
    if any(table[name].dtype.kind == "f" and table[name].notna().any() for name in table.columns):
        return  # where some decimals have points, others are text
    for name in table.columns:
        values = () if name in text else table[name].dropna()
        comma = next(filter(_DECIMAL_COMMA.fullmatch, map(str, values)), None)
        if comma is not None:
            raise errors.FolderError(
                f"{path}: the column {name!r} has decimal commas ({comma})", _SAVED_AGAIN
            )


def read_predictions(path: Path, class_names: Sequence[str]) -> pd.DataFrame:
    """Read a run's predictions, with the columns of `predictions_table`.

    Raises
    ------
    errors.FolderError
        The file holds no table, a column is missing, or a value is no probability.
    """
    import pandas as pd

    table = read_table(path, dict.fromkeys(_PREDICTIONS, str))
    expected = (*_PREDICTIONS, *(f"p_{name}" for name in class_names))
    missing = [name for name in expected if name not in table.columns]
    if missing:
        raise errors.FolderError(
            f"{path}: the column {missing[0]!r} is missing", "Restore the file or train again."
        )
    for name in expected[len(_PREDICTIONS) :]:
        # A spreadsheet may drop points: 0.1234 becomes 1234, or a text.
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = table[name][table[name].notna() & ~numbers.between(0, _ONE)]
        if len(wrong):
            raise errors.FolderError(
                f"{path}: the column {name!r} holds {wrong.iloc[0]}, which is no probability",
                _SAVED_AGAIN,
            )
    return table


def append_table(file: TextIO, table: pd.DataFrame, *, header: bool) -> None:
    """Append rows to an open CSV file in the format of `write_table`."""
    file.write(format_frame(table, "%.9g", header=header))


def history_table(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """Return the history of a training as a table; further metrics come before the seconds."""
    import pandas as pd

    further = [name for name in (rows[0] if rows else ()) if name not in HISTORY]
    return pd.DataFrame(list(rows), columns=[*HISTORY[:-1], *further, HISTORY[-1]])


def predictions_table(catalog: Catalog, probabilities: np.ndarray) -> pd.DataFrame:
    """Return one row per image: image, split, group, label, predicted, p_<class>...

    Parameters
    ----------
    catalog
        The images.
    probabilities
        Shape (images, classes), in the order of the catalog.
    """
    import pandas as pd

    table = catalog.table[["image", "split", "group", "label"]].copy()
    names = np.array(catalog.class_names, dtype=object)
    table["predicted"] = names[probabilities.argmax(axis=1)]
    columns = {f"p_{name}": probabilities[:, k] for k, name in enumerate(names)}
    table = pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)
    return table.dropna(subset=["split"])  # a fold may leave images out


def provenance_table(catalog: Catalog) -> pd.DataFrame:
    """Return one row per image: image, group, batch and all further provenance columns."""
    table = catalog.table.dropna(subset=["split"])
    further = [name for name in table.columns if name not in _CATALOG_COLUMNS]
    return table[["image", "group", "batch", *further]]
