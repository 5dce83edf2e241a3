"""Folds that leave one value of a provenance column out at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from cellvision import Splitter, errors, io
from cellvision_splitters.validation import hold_out_validation

if TYPE_CHECKING:
    import pandas as pd


class LeaveOneOut(Splitter):
    """Tests on one compound, plate, donor, ... at a time, and trains on the others.

    Published protocols for mechanisms of action leave one compound out. With `not_same`, training
    images that share another property with the test images are left out as well, such as their
    plate: ``not_same=("batch",)`` tests on new compounds on new plates.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.splitters.create("leave_one_out", column="compound").column
    'compound'
    """

    column: io.ColumnName = "group"
    """Provenance column whose values are left out one by one."""

    not_same: tuple[io.ColumnName, ...] = ()
    """Columns in which training images must differ from every test image."""

    validation: float = Field(default=0.15, ge=0, lt=0.5)
    """Fraction of each fold's training images used for validation."""

    seed: int = Field(default=0, ge=0)
    """Seed of the choice of validation groups."""

    @property
    def left_out_column(self) -> str:
        """The column; see `cellvision.Splitter.left_out_column`."""
        return self.column

    def folds(self, catalog: pd.DataFrame) -> Sequence[Sequence[str]]:
        """Return one fold per value; see `cellvision.Splitter.folds`."""
        self._check_columns(catalog)
        values = catalog[self.column].astype(str)
        names = sorted(set(values))
        if len(names) < 2:
            raise errors.SplitError(
                f"column {self.column!r} has one value only: nothing can be left out",
                "Name another column",
            )
        self._check_blocks(catalog, values)
        result = []
        for number, name in enumerate(names):
            test = values == name
            excluded = self._shares(catalog, test) & ~test
            splits = [
                "test" if is_test else "" if is_excluded else "train"
                for is_test, is_excluded in zip(test, excluded, strict=True)
            ]
            self._check_training(catalog, splits, name)
            result.append(hold_out_validation(splits, catalog, self.validation, self.seed + number))
        return result

    def _check_columns(self, catalog: pd.DataFrame) -> None:
        for column in (self.column, *self.not_same):
            if column not in catalog.columns or catalog[column].isna().any():
                raise errors.SplitError(
                    f"column {column!r} is not known for every image",
                    f"Known columns: {', '.join(map(str, catalog.columns))}",
                )

    def _check_blocks(self, catalog: pd.DataFrame, values: pd.Series) -> None:
        """Refuse groups that hold several values: leaving one out would split the group."""
        several = values.groupby(catalog["block"]).nunique()
        if (several > 1).any():
            example = catalog.loc[catalog["block"] == several.idxmax(), "image"].iloc[0]
            raise errors.SplitError(
                f"the group of {example} holds several values of {self.column!r}",
                "Leave out a column that is the same within every group",
            )

    def _shares(self, catalog: pd.DataFrame, test: pd.Series) -> pd.Series:
        shares = test & False
        for column in self.not_same:
            shares |= catalog[column].isin(set(catalog.loc[test, column]))
        # Blocks stay whole: an excluded image takes its block along.
        return catalog["block"].isin(set(catalog.loc[shares, "block"]))

    def _check_training(self, catalog: pd.DataFrame, splits: Sequence[str], name: str) -> None:
        trained = set(catalog.loc[[split == "train" for split in splits], "label"])
        missing = sorted(set(catalog["label"]) - trained)
        if missing:
            raise errors.SplitError(
                f"without {self.column} {name!r} no training image of class {missing[0]!r} is left",
                "Leave out another column, or use classes with at least two of its values",
            )
