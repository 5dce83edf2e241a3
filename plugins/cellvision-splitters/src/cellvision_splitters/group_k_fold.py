"""Folds in which every group is tested once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from cellvision import Splitter, errors
from cellvision_splitters.validation import hold_out_validation

if TYPE_CHECKING:
    import pandas as pd


class GroupKFold(Splitter):
    """Divides groups into k folds; each fold is the test set once.

    Groups stay whole, and classes keep their shares as nearly as that allows (scikit-learn's
    StratifiedGroupKFold).

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.splitters.create("group_k_fold", k=5)
    GroupKFold(k=5, validation=0.15, seed=0)
    """

    k: int = Field(default=5, ge=2)
    """Number of folds."""

    validation: float = Field(default=0.15, ge=0, lt=0.5)
    """Fraction of each fold's training images used for validation."""

    seed: int = Field(default=0, ge=0)
    """Seed of the division."""

    def folds(self, catalog: pd.DataFrame) -> Sequence[Sequence[str]]:
        """Return k folds; see `cellvision.Splitter.folds`."""
        from sklearn.model_selection import StratifiedGroupKFold

        blocks = catalog.groupby("label")["block"].nunique()
        if int(blocks.min()) < self.k:
            raise errors.SplitError(
                f"class {blocks.idxmin()!r} has too few groups ({blocks.min()}) for {self.k} folds",
                f"Use at most {max(int(blocks.min()), 2)} folds, or more groups",
            )
        splitter = StratifiedGroupKFold(self.k, shuffle=True, random_state=self.seed)
        result = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # classes smaller than k are refused above
            parts = list(splitter.split(catalog["image"], catalog["label"], catalog["block"]))
        for number, (_, test) in enumerate(parts):
            splits = ["train"] * len(catalog)
            for row in test:
                splits[row] = "test"
            result.append(hold_out_validation(splits, catalog, self.validation, self.seed + number))
        return result
