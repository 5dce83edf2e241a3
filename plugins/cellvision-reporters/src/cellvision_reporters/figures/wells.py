"""Positions of wells on a plate, from names such as A01 or plate3/P24."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run

_WELL = re.compile(r"([A-Pa-p])0?([1-9]|1[0-9]|2[0-4])")

SHAPES = ((8, 12), (16, 24))
"""Rows and columns of plates with 96 and 384 wells."""

_PLACE = ["plate", "row", "column"]
"""Columns that name a well."""


class Position(NamedTuple):
    """A well's row and column, both from 0."""

    row: int
    column: int


def well_position(name: object) -> Position | None:
    """Return the position of a well; None if the name is not that of a well.

    Examples
    --------
    >>> well_position("A01"), well_position("plate 3/p24"), well_position("donor 7")
    (Position(row=0, column=0), Position(row=15, column=23), None)
    """
    match = _WELL.fullmatch(str(name).rpartition("/")[2].strip())
    if match is None:
        return None
    return Position(ord(match[1].upper()) - ord("A"), int(match[2]) - 1)


def plate_shape(positions: list[Position]) -> tuple[int, int]:
    """Return rows and columns of the smallest plate with all these positions."""
    for rows, columns in SHAPES:
        if all(well.row < rows and well.column < columns for well in positions):
            return rows, columns
    return SHAPES[-1]


def wells_of(run: Run, split: str) -> pd.DataFrame:
    """Return one row per well of a split with images; empty if wells have no such names.

    The well is the column ``well`` of the provenance, or else the group; the plate is the column
    ``plate``, or else the batch.

    Parameters
    ----------
    run
        The run.
    split
        Name of a split.

    Returns
    -------
    pandas.DataFrame
        ``plate``, ``row``, ``column``, ``label`` (the most common), ``images`` and ``accuracy``.
    """
    import pandas as pd

    empty = pd.DataFrame(columns=["plate", "row", "column", "label", "images", "accuracy"])
    rows = run.predictions
    rows = rows[rows["split"] == split]
    if not (run.folder / "provenance.csv").is_file() or rows.empty:
        return empty
    provenance = run.provenance.set_index("image").reindex(rows["image"])
    name = "well" if "well" in provenance.columns else "group"
    positions = provenance[name].map(well_position)
    if positions.isna().any():
        return empty
    plate = "plate" if "plate" in provenance.columns else "batch"
    table = pd.DataFrame(
        {
            "plate": provenance[plate].fillna("").astype(str).to_numpy(),
            "row": [position.row for position in positions],
            "column": [position.column for position in positions],
            "label": rows["label"].to_numpy(),
            "right": (rows["predicted"] == rows["label"]).to_numpy(float),
        }
    )
    by_well = table.groupby(_PLACE).agg(images=("right", "size"), accuracy=("right", "mean"))
    result = _commonest_labels(table).merge(by_well.reset_index(), on=_PLACE)
    return result.sort_values(_PLACE, ignore_index=True)


def _commonest_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Return the most common label of each well; of equally common ones, the first in the table.

    Counting all wells at once takes a hundredth of the time of counting one after the other.
    """
    counts = table.groupby([*_PLACE, "label"], sort=False).size().reset_index(name="count")
    counts = counts.sort_values("count", ascending=False, kind="stable").drop_duplicates(_PLACE)
    return counts[[*_PLACE, "label"]]


def is_edge(wells: pd.DataFrame, shape: tuple[int, int]) -> pd.Series:
    """Return whether each well lies in the outer rows or columns of its plate."""
    rows, columns = shape
    return wells["row"].isin([0, rows - 1]) | wells["column"].isin([0, columns - 1])
