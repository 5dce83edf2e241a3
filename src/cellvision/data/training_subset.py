"""Nested subsets of the training groups, for accuracy against the number of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.split_names import is_training
from cellvision.plurals import counted

if TYPE_CHECKING:
    import pandas as pd


def training_blocks(table: pd.DataFrame, blocks: np.ndarray) -> np.ndarray:
    """Return the blocks that have training images.

    Parameters
    ----------
    table
        The images with their splits.
    blocks
        (rows,) what a split keeps together: groups, or images where groups are unknown.
    """
    return np.unique(blocks[table["split"].map(is_training).to_numpy(dtype=bool)])


def keep_training_groups(
    table: pd.DataFrame, blocks: np.ndarray, number: int, seed: int
) -> np.ndarray:
    """Choose the rows to keep if only so many groups are trained on.

    Subsets are nested: a larger number keeps what a smaller one keeps. Classes keep their
    proportions as nearly as whole groups allow.

    Parameters
    ----------
    table
        The images with ``label`` and ``split``.
    blocks
        As for `training_blocks`.
    number
        Number of training groups.
    seed
        Seed of their order.

    Returns
    -------
    numpy.ndarray
        (rows,) booleans; False for training images of other groups.

    Raises
    ------
    errors.SplitError
        There are fewer training groups, or a class would have none.
    """
    import pandas as pd

    is_trained = table["split"].map(is_training).to_numpy(dtype=bool)
    rows = pd.DataFrame({"block": blocks[is_trained], "label": table["label"][is_trained]})
    # A group with several labels counts for its most common one.
    label = rows.groupby("block")["label"].agg(lambda values: str(values.value_counts().idxmax()))
    if number > len(label):
        raise errors.SplitError(
            f"{number} training groups are requested, and there are {len(label)}",
            f"--set split.training_groups={len(label)}, or fewer",
        )
    rng = np.random.default_rng(seed)
    shuffled = label.sort_index().iloc[rng.permutation(len(label))]
    by_class = shuffled.groupby(shuffled.to_numpy())
    position = (by_class.cumcount() + 0.5) / by_class.transform("size")
    chosen = position.sort_values(kind="stable").index[:number]
    missing = sorted(set(rows["label"]) - set(rows.loc[rows["block"].isin(chosen), "label"]))
    if missing:
        raise errors.SplitError(
            f"class {missing[0]!r} has none of {counted(number, 'training group')}",
            "Request more groups",
        )
    keep: np.ndarray = ~is_trained | np.isin(blocks, chosen.to_numpy())
    return keep
