"""Permute labels, over groups or over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.statistics import Finding

LEAK: Mapping[Finding, str] = {"leak": "suspicious: permuted labels beat chance (a leak or a bug)"}
"""What the verdict says if permuted labels beat chance."""


def permute_labels(table: pd.DataFrame, groups: pd.Series, seed: Sequence[int]) -> np.ndarray:
    """Permute labels across groups, as the permutation test of these labels does.

    Groups exchange labels within their stratum (their split), so that each split keeps its
    classes, and there within their batch, so that recognising the batch gains nothing. If every
    batch holds one class, whole batches exchange labels. A group with several labels exchanges its
    composition of labels, and its images exchange labels among themselves. Strata that share a
    group count as one, so a group has one mapping in all splits.

    Parameters
    ----------
    table
        With the columns ``label``, ``stratum`` or ``split``, and ``batch`` if batches are known.
    groups
        The group of each row.
    seed
        Integers, the seed of the permutation.

    Returns
    -------
    numpy.ndarray
        The new label of each row.
    """
    from cellvision.statistics import permuted_labels

    strata = table["stratum"] if "stratum" in table.columns else table["split"]
    numbers = strata.map(_strata(strata, groups)).to_numpy()
    labels = table["label"].to_numpy(dtype=object).copy()
    batches = _batches(table)
    rng = np.random.default_rng(seed)
    for number in dict.fromkeys(numbers):
        rows = numbers == number
        batch = None if batches is None else batches[rows]
        labels[rows] = permuted_labels(
            labels[rows], groups.to_numpy()[rows], batches=batch, seed=rng
        )
    return labels


def _batches(table: pd.DataFrame) -> np.ndarray | None:
    """Return the batch of each row; None if it is unknown for all or for some."""
    if "batch" not in table.columns or table["batch"].isna().any():
        return None
    return table["batch"].astype(str).to_numpy(dtype=object)


def _strata(splits: pd.Series, groups: pd.Series) -> dict[str, int]:
    """Number the splits; splits that share groups get the same number."""
    import pandas as pd

    number = {name: k for k, name in enumerate(dict.fromkeys(splits))}
    pairs = pd.DataFrame({"group": groups, "split": splits}).drop_duplicates()
    for _, shared in pairs[pairs["group"].duplicated(keep=False)].groupby("group")["split"]:
        merged = {number[name] for name in shared}
        number = {name: min(merged) if k in merged else k for name, k in number.items()}
    return number
