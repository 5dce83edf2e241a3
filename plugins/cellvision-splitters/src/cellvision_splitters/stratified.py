"""Stratified folds of whole blocks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_KEPT = 128
"""How many divisions are remembered: the recipe, a check and every fold of a study divide the
same images, and weighing each of a thousand blocks against each fold takes about a second."""


def stratified_folds(
    strata: np.ndarray, blocks: np.ndarray, k: int, seed: int
) -> tuple[np.ndarray, ...]:
    """Return the rows of each of k folds in which strata keep their shares.

    Parameters
    ----------
    strata
        The stratum of each row, such as its class.
    blocks
        The block of each row; no block is divided.
    k
        Number of folds.
    seed
        Seed of the division.

    Returns
    -------
    tuple of numpy.ndarray
        Row numbers, ascending; every row is in one fold. Read-only.
    """
    numbers = [np.unique(values, return_inverse=True)[1] for values in (strata, blocks)]
    return _divided(*(values.astype(np.int64).tobytes() for values in numbers), k, seed)


@lru_cache(maxsize=_KEPT)
def _divided(
    packed_strata: bytes, packed_blocks: bytes, k: int, seed: int
) -> tuple[np.ndarray, ...]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    strata, blocks = (np.frombuffer(packed, np.int64) for packed in (packed_strata, packed_blocks))
    if len(np.unique(blocks)) == len(blocks):
        # No block to keep whole: the same problem without the search, which is slow.
        splits = StratifiedKFold(k, shuffle=True, random_state=seed).split(strata, strata)
    else:
        folds = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
        splits = folds.split(strata, strata, blocks)
    parts = tuple(part for _, part in splits)
    for part in parts:
        part.flags.writeable = False
    return parts
