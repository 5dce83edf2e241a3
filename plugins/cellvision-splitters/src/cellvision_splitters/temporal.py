"""One fold that trains on earlier images and tests on later ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from cellvision import Splitter, errors, io
from cellvision_splitters.validation import hold_out_validation

if TYPE_CHECKING:
    import pandas as pd


class Temporal(Splitter):
    """Trains on earlier days and tests on later ones, as if the model were used next month."""

    column: io.ColumnName = "batch"
    """Provenance column that tells the time; sorted as numbers, dates (ISO 8601, in UTC
    unless they name a time zone) or text."""

    test: float = Field(default=0.3, gt=0, lt=1)
    """Fraction of the images in the test set, at least; whole days are taken."""

    validation: float = Field(default=0.15, ge=0, lt=0.5)
    """Fraction of the training images used for validation."""

    seed: int = Field(default=0, ge=0)
    """Seed of the choice of validation groups."""

    def folds(self, catalog: pd.DataFrame) -> Sequence[Sequence[str]]:
        """Return one fold; see `cellvision.Splitter.folds`."""
        if self.column not in catalog.columns or catalog[self.column].isna().any():
            raise errors.SplitError(
                f"column {self.column!r} is not known for every image",
                "Name the column that tells the time: split.splitter.column",
            )
        times = _sortable(catalog[self.column])
        # A group that spans several times counts for the last of them.
        times = times.groupby(catalog["block"]).transform("max")
        counts = times.value_counts().sort_index(ascending=False).cumsum() / len(times)
        first_test = counts.index[int(np.searchsorted(counts.to_numpy(), self.test))]
        splits = ["test" if time >= first_test else "train" for time in times]
        trained = set(catalog.loc[[split == "train" for split in splits], "label"])
        missing = sorted(set(catalog["label"]) - trained)
        if missing:
            raise errors.SplitError(
                f"class {missing[0]!r} has no training image before {self.column} {first_test}",
                "Lower split.splitter.test, or leave the class out (dataset.classes)",
            )
        return [hold_out_validation(splits, catalog, self.validation, self.seed)]


def _sortable(column: pd.Series) -> pd.Series:
    """Return the column as numbers or dates if all values are, else as text."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all():
        return numbers
    # Without utc, several time zones raise ValueError.
    dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    return dates.dt.tz_localize(None) if dates.notna().all() else column.astype(str)
