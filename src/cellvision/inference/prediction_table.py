"""Write the table of predictions in blocks, so that it never has to fit into memory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.file_search import PROVENANCE_TABLES
from cellvision.inference.table_files import SUFFIXES, TableFile
from cellvision.results.claimed_folder import is_table_of_results

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.inference.image_search import ImageFile
    from cellvision.inference.trust import PredictionTrust
    from cellvision.interfaces.dataset import Dataset

_ROWS = 1024
"""Rows that are written at a time."""


class PredictionTable:
    """Collects rows into blocks, and passes each block to a file and to a function.

    Parameters
    ----------
    class_names
        The classes, in the order of the probabilities.
    file
        Receives the rows; None writes none.
    on_block
        Called with every block.
    group_column, groups
        Name of a column with the group of each image, and the groups; None leaves it out.
    model
        What predicts, for the column ``model``; empty leaves it out.
    trust
        Adds its columns; None adds none.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        file: TableFile | None,
        on_block: Callable[[pd.DataFrame], None],
        *,
        group_column: str | None = None,
        groups: Mapping[str, str] | None = None,
        model: str = "",
        trust: PredictionTrust | None = None,
    ) -> None:
        self._class_names = np.array(class_names, dtype=object)
        self._file = file
        self._on_block = on_block
        self._group_column = group_column
        self._groups = groups or {}
        self._model = model
        self._trust = trust
        self._rows: list[tuple[str, np.ndarray]] = []
        self._has_header = False

    def add(self, image: str, probabilities: np.ndarray) -> None:
        """Add an image with its probabilities."""
        self._rows.append((image, probabilities))
        if len(self._rows) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Write and pass on the rows so far."""
        import pandas as pd

        if not self._rows:
            return
        names = [name for name, _ in self._rows]
        probabilities = np.stack([row for _, row in self._rows])
        block = pd.DataFrame({"image": names})
        if self._group_column is not None:
            block[self._group_column] = [self._groups[name] for name in names]
        block["predicted"] = self._class_names[probabilities.argmax(axis=1)]
        for number, name in enumerate(self._class_names):
            block[f"p_{name}"] = probabilities[:, number]
        if self._trust is not None:
            block = block.assign(**self._trust.image_columns(probabilities, self._class_names))
        if self._model:
            block["model"] = self._model
        if self._file is not None:
            self._file.append(block, header=not self._has_header)
        self._on_block(block)
        self._rows, self._has_header = [], True


def check_table_path(
    out: Path, images: Sequence[ImageFile], dataset: Dataset | None = None
) -> None:
    """Refuse a table that would overwrite an image, or that is not named .csv or .xlsx.

    Parameters
    ----------
    out
        The table.
    images
        The images to predict.
    dataset
        The data set that reads them; None if they are files.

    Raises
    ------
    errors.ExperimentError
        The name has another ending.
    errors.FolderError
        It is a folder, one of the images, the data set's own file, a table of their groups, or a
        table of a run or study.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise errors.ExperimentError(
            f"--out {out}: the table of predictions is a CSV file or an Excel workbook (.xlsx)",
            f"Such as --out {out.with_suffix('.csv').name}. Images are listed before --out.",
        )
    if out.is_dir():
        raise errors.FolderError(f"{out}: this is a folder", f"Such as {out / 'predictions.csv'}")
    if not out.exists():
        return
    target = out.resolve()
    # Path.resolve() raises an error for a link that leads back to itself.
    if any(os.path.realpath(image.path) == str(target) for image in images):
        raise errors.FolderError(f"{out}: this is one of the images", "Name another file.")
    source = getattr(dataset, "path", None)
    if isinstance(source, Path) and source.expanduser().resolve() == target:
        raise errors.FolderError(f"{out}: this lists the images", "Name another file.")
    if is_table_of_results(out):
        raise errors.FolderError(f"{out}: this is a table of a run or study", "Name another file.")
    if out.name in PROVENANCE_TABLES:
        raise errors.FolderError(
            f"{out}: this table says where images come from", "Name another file."
        )


def group_table_path(out: Path, column: str) -> Path:
    """Return the file of the groups' predictions, beside that of the images' predictions.

    Signs of the column's name that no file name holds become ``-``.
    """
    name = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "-", column)
    return out.with_name(f"{out.stem}_by_{name}{out.suffix}")
