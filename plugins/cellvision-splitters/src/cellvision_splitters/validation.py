"""Validation groups, taken from the training images of a fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cellvision_splitters.stratified import stratified_folds


def hold_out_validation(
    splits: Sequence[str], catalog: pd.DataFrame, fraction: float, seed: int
) -> list[str]:
    """Turn about a fraction of the training images into validation images, in whole blocks.

    Classes keep their shares as nearly as whole blocks allow. Nothing is held out if a class
    would be left without training images.

    Parameters
    ----------
    splits
        One split per row of the catalog.
    catalog
        With the columns ``label`` and ``block``.
    fraction
        Fraction of the training images, 0 to 1.
    seed
        Seed of the choice.
    """
    result = np.asarray(splits, dtype=object)
    rows = np.flatnonzero(result == "train")
    training = catalog.iloc[rows]
    blocks, labels = training["block"].to_numpy(), training["label"].to_numpy()
    fewest = int(training.groupby("label")["block"].nunique().min()) if len(rows) else 0
    parts = min(round(1 / fraction), fewest) if fraction else 0
    if parts < 2:
        return list(result)
    held_out = stratified_folds(labels, blocks, parts, seed)[0]
    remaining = np.setdiff1d(np.arange(len(rows)), held_out)
    if set(labels[remaining]) == set(labels):
        result[rows[held_out]] = "validation"
    return list(result)
