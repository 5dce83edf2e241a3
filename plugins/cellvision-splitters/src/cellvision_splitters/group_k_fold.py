"""Folds in which every group is tested once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from cellvision import Splitter, errors
from cellvision_splitters.stratified import stratified_folds
from cellvision_splitters.validation import hold_out_validation

if TYPE_CHECKING:
    import pandas as pd

_SHUFFLES = 8
"""How many random divisions are compared if batches are known."""


class GroupKFold(Splitter):
    """Divides groups into k folds; each fold is the test set once.

    Groups stay whole, and classes keep their shares as nearly as that allows (scikit-learn's
    StratifiedGroupKFold). If batches are known, several divisions are compared, and the one is
    taken in which classes keep their shares within batches as well.

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
        blocks = catalog.groupby("label")["block"].nunique()
        if int(blocks.min()) < self.k:
            raise errors.SplitError(
                f"class {blocks.idxmin()!r} has too few groups ({blocks.min()}) for {self.k} folds",
                f"Use at most {max(int(blocks.min()), 2)} folds, or more groups",
            )
        result = []
        for number, test in enumerate(self._parts(catalog)):
            splits = ["train"] * len(catalog)
            for row in test:
                splits[row] = "test"
            result.append(hold_out_validation(splits, catalog, self.validation, self.seed + number))
        return result

    def _parts(self, catalog: pd.DataFrame) -> list[np.ndarray]:
        """Return the rows that each fold tests."""
        labels = catalog["label"].astype(str).to_numpy()
        divide = partial(_divide, blocks=catalog["block"].to_numpy(), k=self.k)
        if "batch" not in catalog or catalog["batch"].nunique() < 2:
            return divide(labels, seed=self.seed)
        cells = np.array([f"{a}\0{b}" for a, b in zip(labels, catalog["batch"], strict=True)])
        seeds = range(self.seed, self.seed + _SHUFFLES)
        # Strata of one group each say nothing about classes, so both kinds are compared.
        stratified_by = [labels]
        if catalog.groupby(["label", "batch"], observed=True).size().max() >= self.k:
            stratified_by.append(cells)  # scikit-learn refuses if all strata are smaller than k
        divisions = [divide(strata, seed=seed) for strata in stratified_by for seed in seeds]
        return min(
            divisions, key=lambda parts: _imbalance(parts, labels) + _imbalance(parts, cells)
        )


def _divide(strata: np.ndarray, *, blocks: np.ndarray, k: int, seed: int) -> list[np.ndarray]:
    """Divide whole blocks into k parts in which strata keep their shares."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # strata smaller than k; classes are not
        return list(stratified_folds(strata, blocks, k, seed))


def _imbalance(parts: Sequence[np.ndarray], strata: np.ndarray) -> float:
    """Return the fraction of images that would have to move for equal shares in all parts."""
    numbers = np.unique(strata, return_inverse=True)[1]
    sizes = np.bincount(numbers)
    counts = np.stack([np.bincount(numbers[part], minlength=len(sizes)) for part in parts])
    return float(np.abs(counts - sizes / len(parts)).sum() / 2 / len(strata))
