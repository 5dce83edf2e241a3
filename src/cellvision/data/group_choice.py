"""Choose whole groups so that classes keep their proportions: the algorithm behind a split."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

_SHUFFLES = 8
"""How many random partitions are compared; the one nearest to the requested counts is taken."""

_MANY = 800
"""StratifiedGroupKFold weighs every group against every fold in Python, which takes about a
third of a second for this many groups. With more, random choice gives proportions as near."""


def choose_groups(
    labels: np.ndarray,
    groups: np.ndarray,
    fraction: float,
    seed: int,
    batches: np.ndarray | None = None,
) -> np.ndarray:
    """Choose whole groups; of many random choices, the one whose class counts are nearest.

    With batches, it is the one whose counts of classes, and of classes within batches, are nearest.

    Parameters
    ----------
    labels, groups
        The class and the group of each row.
    fraction
        The requested fraction of the rows.
    seed
        Seed of the choice.
    batches
        The batch of each row; None if batches are unknown.

    Returns
    -------
    numpy.ndarray
        The positions of the chosen rows, ascending.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    numbers = np.unique(groups, return_inverse=True)[1]
    cells = classes if batches is None else _cells(classes, batches)
    packed = [values.astype(np.int64).tobytes() for values in (classes, numbers, cells)]
    return _chosen(*packed, fraction, seed, has_batches=batches is not None).copy()


@lru_cache(maxsize=8)
def _chosen(
    packed_classes: bytes,
    packed_groups: bytes,
    packed_cells: bytes,
    fraction: float,
    seed: int,
    *,
    has_batches: bool,
) -> np.ndarray:
    """Choose, once for the same rows: a recipe and a training divide the same images."""
    classes, numbers, cells = (
        np.frombuffer(packed, np.int64) for packed in (packed_classes, packed_groups, packed_cells)
    )
    totals, cell_sizes = np.bincount(classes), np.bincount(cells)

    def distance(rows: np.ndarray) -> float:
        shares = np.bincount(classes[rows], minlength=len(totals)) / totals
        absent = np.sum((shares == 0) | (shares == 1))
        total = float(np.abs(shares - fraction).sum() + len(totals) * absent)
        if not has_batches:
            return total
        counts = np.bincount(cells[rows], minlength=len(cell_sizes))
        return total + float(np.abs(counts - fraction * cell_sizes).sum() / len(cells))

    choices = list(_choices(classes, numbers, fraction, seed))
    first = np.unique(numbers, return_index=True)[1]
    if has_batches and np.bincount(cells[first]).max() > 1:
        # Strata of one group each say nothing about classes, so both kinds are compared.
        choices += _choices(cells, numbers, fraction, seed)
    best = min(choices, key=distance)
    if distance(best) >= len(totals):
        # A class is missing on one side.
        pairs = np.unique(np.stack([classes, numbers]), axis=1)
        counts = np.bincount(pairs[0])
        if np.median(counts) * fraction >= 1:  # only some classes have so few groups
            best = min(best, _completed(best, classes, numbers, seed), key=distance)
        if distance(best) >= len(totals):
            # With as many folds as the rarest class has groups, every fold can contain it, though
            # the fraction is met less closely.
            rarest = _choices(classes, numbers, fraction, seed, int(counts.min()))
            best = min(best, *rarest, key=distance)
    return best


def _completed(rows: np.ndarray, classes: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Move one group of each class that is missing among the chosen rows, or among the others."""
    generator = np.random.default_rng([seed, 1])
    chosen = np.zeros(len(classes), bool)
    chosen[rows] = True
    for label in range(int(classes.max()) + 1):
        own = classes == label
        if len(np.unique(chosen[own])) == 1:
            moved = generator.choice(np.unique(groups[own]))
            chosen[groups == moved] = not chosen[own][0]
    return np.flatnonzero(chosen)


def _cells(classes: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Number the combinations of class and batch that occur."""
    batch = np.unique(batches.astype(str), return_inverse=True)[1]
    numbers: np.ndarray = np.unique(classes * (batch.max() + 1) + batch, return_inverse=True)[1]
    return numbers


def _choices(
    classes: np.ndarray, groups: np.ndarray, fraction: float, seed: int, most: int | None = None
) -> Iterator[np.ndarray]:
    """Yield random choices of whole groups, stratified by class, from scikit-learn's folds."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    count = int(groups.max()) + 1
    largest = int(np.bincount(classes).max())
    folds, taken = _folds(fraction, min(most or count, count, largest))
    # A group counts for the class of its first row; with several classes per group,
    # proportions are near because groups are many.
    first = np.unique(groups, return_index=True)[1]
    largest = int(np.bincount(classes[first]).max())
    over_groups = count == len(groups) or (count > _MANY and largest > 1)
    if over_groups:
        folds, taken = _folds(fraction, min(folds, largest))
    for shuffle in range(_SHUFFLES if over_groups else max(1, min(_SHUFFLES, _MANY // count))):
        state = int(np.random.SeedSequence([seed, shuffle]).generate_state(1)[0])
        with warnings.catch_warnings():
            # scikit-learn warns of classes smaller than the folds; `choose_groups` handles them.
            warnings.simplefilter("ignore", UserWarning)
            if over_groups:
                splitter = StratifiedKFold(folds, shuffle=True, random_state=state)
                parts = [
                    np.flatnonzero(np.isin(groups, chosen))
                    for _, chosen in splitter.split(first, classes[first])
                ]
            else:
                splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=state)
                parts = [rows for _, rows in splitter.split(classes, classes, groups)]
        for start in range(0, folds - taken + 1, taken):
            yield np.sort(np.concatenate(parts[start : start + taken]))


def _folds(fraction: float, most: int) -> tuple[int, int]:
    """Return how many folds to make and how many of them to take, to be near a fraction."""
    most = max(2, most)
    choices = [
        (folds, min(max(1, round(fraction * folds)), folds - 1)) for folds in range(2, most + 1)
    ]
    near = (pair for pair in choices if abs(pair[1] / pair[0] - fraction) <= fraction / 20)
    return next(near, min(choices, key=lambda pair: abs(pair[1] / pair[0] - fraction)))
