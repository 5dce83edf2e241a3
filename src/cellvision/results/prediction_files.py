"""The tables ``predictions.csv``, ``provenance.csv`` and ``groups.csv`` of predicted images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cellvision.results.group_table import group_table
from cellvision.results.tables import predictions_table, provenance_table, write_table

if TYPE_CHECKING:
    import numpy as np

    from cellvision.data.catalog import Catalog


def write_predictions(folder: Path, catalog: Catalog, probabilities: np.ndarray) -> None:
    """Write the tables; that of groups only if groups are known.

    Parameters
    ----------
    folder
        Where to write them.
    catalog
        The images.
    probabilities
        Their probabilities, shape (images, classes).
    """
    predictions = predictions_table(catalog, probabilities)
    provenance = provenance_table(catalog)
    write_table(folder / "predictions.csv", predictions)
    write_table(folder / "provenance.csv", provenance)
    if catalog.group_column is not None:
        groups = group_table(predictions, provenance, catalog.class_names)
        write_table(folder / "groups.csv", groups)
