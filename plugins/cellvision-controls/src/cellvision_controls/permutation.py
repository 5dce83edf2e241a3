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
    """Permute labels across groups, with one mapping for all splits.

    Groups with one label exchange labels with each other; in a group with several labels its
    images do. Groups exchange labels within their stratum (their split), so that each split keeps
    its classes; strata that share a group count as one.

    Parameters
    ----------
    table
        With the column ``label``, and ``stratum`` or ``split``.
    groups
        The group of each row.
    seed
        Integers, the seed of the permutation.

    Returns
    -------
    numpy.ndarray
        The new label of each row.
    """
    strata = table["stratum"] if "stratum" in table.columns else table["split"]
    rng = np.random.default_rng(seed)
    labels = table["label"].to_numpy(dtype=object).copy()
    by_group = table.assign(_group=groups).groupby("_group", sort=False)
    group_label = by_group["label"].first()
    is_pure = by_group["label"].nunique() == 1  # noqa: PD101 - of groups, not of a series
    for group in is_pure.index[~is_pure]:
        rows = by_group.indices[group]
        labels[rows] = rng.permutation(labels[rows])
    stratum = strata.groupby(groups, sort=False).first().map(_strata(strata, groups))
    new_label = group_label.copy()
    for _, members in group_label[is_pure].groupby(stratum[is_pure], sort=False):
        new_label[members.index] = rng.permutation(members.to_numpy(dtype=object))
    in_pure_group = groups.map(is_pure).to_numpy(dtype=bool)
    labels[in_pure_group] = groups.map(new_label).to_numpy(dtype=object)[in_pure_group]
    return labels


def _strata(splits: pd.Series, groups: pd.Series) -> dict[str, int]:
    """Number the splits; splits that share groups get the same number."""
    import pandas as pd

    number = {name: k for k, name in enumerate(dict.fromkeys(splits))}
    pairs = pd.DataFrame({"group": groups, "split": splits}).drop_duplicates()
    for _, shared in pairs[pairs["group"].duplicated(keep=False)].groupby("group")["split"]:
        merged = {number[name] for name in shared}
        number = {name: min(merged) if k in merged else k for name, k in number.items()}
    return number
