"""Arrangements of labels that a permutation test compares: which labels may swap with which.

The class was assigned to groups, so groups swap: within their batch, or, if every batch holds one
class, whole batches. A group with mixed labels swaps its label composition; the labels are then
shuffled over the images inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

ENUMERABLE = 20_000
"""Up to so many arrangements are all tried; of more, a random sample is."""

_CHUNK = 4_000_000  # numbers held in memory at once


@dataclass(frozen=True, eq=False)
class Tally:
    """Correct answers and images of each class, for each arrangement of labels.

    Attributes
    ----------
    right : numpy.ndarray
        (arrangements, arms, classes) sum of the votes for the arranged label.
    number : numpy.ndarray
        (arrangements, classes) images that have each label.
    exact : bool
        Whether these are all arrangements.
    """

    right: Floats
    number: Floats
    exact: bool


@dataclass(frozen=True, eq=False)
class Arrangements:
    """The labels of one test set, and how they may be permuted.

    Attributes
    ----------
    label, group : numpy.ndarray
        (n,) class number of each image, and number of its group (of its batch if whole batches
        swap).
    classes : int
        Number of classes.
    stratum : numpy.ndarray
        (groups,) groups with the same number may swap.
    composition : numpy.ndarray
        (groups,) row of `compositions` that each group has.
    compositions : numpy.ndarray
        (kinds, classes) distinct label compositions, in lowest terms; (1, 0) is a pure group.
    log_count : float
        Logarithm of the number of distinct arrangements.
    whole_batches : bool
        Whether whole batches swap because every batch holds one class.
    within_batches : bool
        Whether groups swap within batches only.
    """

    label: Indices
    group: Indices
    classes: int
    stratum: Indices
    composition: Indices
    compositions: Indices
    log_count: float
    whole_batches: bool
    within_batches: bool

    @property
    def groups(self) -> int:
        """Number of groups (or batches) that swap."""
        return len(self.stratum)

    @property
    def sizes(self) -> Indices:
        """(groups,) images of each."""
        return np.bincount(self.group, minlength=self.groups)

    @property
    def mixed(self) -> NDArray[np.bool_]:
        """(groups,) whether each holds several classes."""
        several: NDArray[np.bool_] = (self.compositions > 0).sum(axis=1) > 1
        return several[self.composition]

    @property
    def largest_size_ratio(self) -> float:
        """Mean size of the groups of the class with the largest ones, over that of the smallest.

        Mixed groups do not count; 1 if fewer than two classes have pure groups.
        """
        own_class = self.compositions.argmax(axis=1)[self.composition]
        pure = [~self.mixed & (own_class == number) for number in range(self.classes)]
        means = [self.sizes[of_class].mean() for of_class in pure if of_class.any()]
        return float(max(means, default=1.0) / min(means, default=1.0))

    def describe(self) -> str:
        """Say what is permuted, in words fit for a report."""
        if self.whole_batches:
            return "labels of whole batches (each holds one class)"
        where = " within batches" if self.within_batches else ""
        if (self.sizes == 1).all():
            return f"labels of images{where}"
        if not self.mixed.any():
            return f"labels of whole groups{where}"
        if len(np.unique(self.composition)) == 1:
            return "labels of images within their group"
        return f"label compositions of groups{where}, then labels of images inside"

    def tally(
        self, votes: Floats, permutations: int, rng: np.random.Generator, *, enumerate_all: bool
    ) -> Tally:
        """Count correct answers for every arrangement, or for a random sample.

        Parameters
        ----------
        votes
            (n, arms, classes) weight that each arm gives to each class of each image; the same
            arrangements serve all arms.
        permutations
            Size of the random sample.
        rng
            Source of the sample.
        enumerate_all
            Try all arrangements if there are at most `ENUMERABLE` and no group is mixed.
        """
        if enumerate_all and not self.mixed.any() and self.log_count <= log(ENUMERABLE) + 1e-9:
            right, number = self._tally_groups(self._enumerate(), votes, rng)
            return Tally(right, number, exact=True)
        if (self.sizes == 1).all():
            right, number = self._tally_images(votes, permutations, rng)
            return Tally(right, number, exact=False)
        rows = max(1, _CHUNK // self.groups)
        parts = [
            self._tally_groups(self._sample(min(rows, permutations - start), rng), votes, rng)
            for start in range(0, permutations, rows)
        ]
        return Tally(
            np.concatenate([right for right, _ in parts]),
            np.concatenate([number for _, number in parts]),
            exact=False,
        )

    def observed(self, votes: Floats) -> Tally:
        """Count correct answers for the true labels, as one arrangement."""
        right: Floats = np.stack(
            [
                np.bincount(
                    self.label,
                    weights=votes[np.arange(len(votes)), arm, self.label],
                    minlength=self.classes,
                ).astype(np.float64)
                for arm in range(votes.shape[1])
            ]
        )
        number = np.bincount(self.label, minlength=self.classes).astype(np.float64)
        return Tally(right[None], number[None], exact=True)

    def draw(self, rng: np.random.Generator) -> Indices:
        """Return the class of each image, (n,), in one random arrangement."""
        arranged = self.composition.copy()
        for members in self._members():
            arranged[members] = rng.permutation(arranged[members])
        result: Indices = self.compositions.argmax(axis=1)[arranged][self.group]
        several = (self.compositions > 0).sum(axis=1) > 1
        for g in np.flatnonzero(several[arranged]):
            images = np.flatnonzero(self.group == g)
            counts = _apportion(self.compositions[arranged[g]], len(images))
            result[images] = rng.permutation(np.repeat(np.arange(self.classes), counts))
        return result

    def _enumerate(self) -> Indices:
        """All arrangements of pure groups, (arrangements, groups)."""
        arranged = np.empty((1, self.groups), dtype=np.intp)
        for members in self._members():
            orders = _all_orders(tuple(sorted(self.composition[members].tolist())))
            before = len(arranged)
            arranged = np.repeat(arranged, len(orders), axis=0)
            arranged[:, members] = np.tile(orders, (before, 1))
        return arranged

    def _sample(self, rows: int, rng: np.random.Generator) -> Indices:
        arranged = np.empty((rows, self.groups), dtype=np.intp)
        for members in self._members():
            own = self.composition[members]
            arranged[:, members] = rng.permuted(np.broadcast_to(own, (rows, len(own))), axis=1)
        return arranged

    def _members(self) -> list[Indices]:
        order = np.argsort(self.stratum, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.stratum[order])) + 1)

    def _tally_groups(
        self, arranged: Indices, votes: Floats, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        rows, (_, arms, classes) = len(arranged), votes.shape
        sums = np.zeros((self.groups, arms * classes))
        np.add.at(sums, self.group, votes.reshape(len(votes), -1))
        sums = sums.reshape(self.groups, arms, classes)
        right: Floats = np.zeros((rows, arms, classes))
        number: Floats = np.zeros((rows, classes))
        pure = (self.compositions > 0).sum(axis=1) == 1
        for kind in np.flatnonzero(pure):
            c = int(self.compositions[kind].argmax())
            has_class = (arranged == kind).astype(np.float64)
            right[:, :, c] = has_class @ sums[:, :, c]
            number[:, c] = has_class @ self.sizes
        if pure.all():
            return right, number
        for g, size in enumerate(self.sizes):
            distinct = _distinct(votes[self.group == g])
            for kind in np.flatnonzero(~pure):
                chosen = np.flatnonzero(arranged[:, g] == kind)
                if len(chosen) > 0:
                    counts = _apportion(self.compositions[kind], int(size))
                    right[chosen] += _shuffled(counts, distinct, len(chosen), rng)
                    number[chosen] += counts
        return right, number

    def _tally_images(
        self, votes: Floats, permutations: int, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Count with tables of labels and equal answers, faster than shuffling labels."""
        right: Floats = np.zeros((permutations, *votes.shape[1:]))
        for members in self._members():
            images = np.isin(self.group, members)
            counts = np.bincount(self.label[images], minlength=self.classes)
            right += _shuffled(counts, _distinct(votes[images]), permutations, rng)
        number = np.bincount(self.label, minlength=self.classes).astype(np.float64)
        return right, np.broadcast_to(number, (permutations, self.classes))


def build_arrangements(
    label: Indices, group: Indices, batch: Indices | None, classes: int
) -> Arrangements:
    """Find which groups, or batches, may swap labels.

    Parameters
    ----------
    label, group, batch
        (n,) class, group and batch of each image, as numbers from 0; `batch` None: groups swap
        freely.
    classes
        Number of classes.
    """
    stratum = np.zeros(int(group.max()) + 1, dtype=np.intp)
    whole_batches = within = False
    if batch is not None and batch.max() > 0:
        linked = linked_batches(group, batch)
        if is_nested(label, linked):
            group, whole_batches = linked, True
            stratum = np.zeros(int(linked.max()) + 1, dtype=np.intp)
        else:
            stratum, within = batch_strata(group, batch), True
    counts = np.bincount(group * classes + label, minlength=(int(group.max()) + 1) * classes)
    counts = counts.reshape(-1, classes)
    lowest = counts // np.gcd.reduce(counts, axis=1, keepdims=True)
    compositions, composition = np.unique(lowest, axis=0, return_inverse=True)
    composition = composition.reshape(-1)
    log_count = sum(
        log_orders(np.bincount(composition[stratum == s])) for s in np.unique(stratum)
    ) + sum(log_orders(row) for row in counts if (row > 0).sum() > 1)
    return Arrangements(
        label=label,
        group=group,
        classes=classes,
        stratum=stratum,
        composition=composition,
        compositions=compositions,
        log_count=log_count,
        whole_batches=whole_batches,
        within_batches=within,
    )


def is_nested(label: Indices, batch: Indices) -> bool:
    """Return whether every batch holds one class, and there are several classes."""
    pairs = np.unique(np.stack([batch, label]), axis=1).shape[1]
    return pairs == len(np.unique(batch)) and len(np.unique(label)) > 1


def batch_strata(group: Indices, batch: Indices) -> Indices:
    """Return a number per group, equal for groups that lie in the same batch or batches."""
    pairs = np.unique(np.stack([group, batch]), axis=1)
    sets: dict[int, list[int]] = {}
    for g, b in pairs.T.tolist():
        sets.setdefault(g, []).append(b)
    numbers: dict[tuple[int, ...], int] = {}
    strata = [numbers.setdefault(tuple(sets[g]), len(numbers)) for g in range(len(sets))]
    return np.array(strata, dtype=np.intp)


def linked_batches(group: Indices, batch: Indices) -> Indices:
    """Return the batch of each image, where batches that share a group count as one."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    groups, batches = int(group.max()) + 1, int(batch.max()) + 1
    size = groups + batches
    edges = coo_matrix((np.ones(len(group)), (group, groups + batch)), shape=(size, size))
    component = connected_components(edges, directed=False)[1][groups + batch]
    return np.unique(component, return_inverse=True)[1].reshape(-1)


def log_orders(counts: Indices) -> float:
    """Logarithm of the number of distinct orders of so many things of each kind."""
    return lgamma(int(counts.sum()) + 1) - sum(lgamma(int(c) + 1) for c in counts)


def _apportion(composition: Indices, images: int) -> Indices:
    """Divide images among classes in proportion, by largest remainder."""
    quota = composition * images / composition.sum()
    counts: Indices = np.floor(quota + 1e-9).astype(np.intp)
    rest = images - int(counts.sum())
    counts[np.argsort(-(quota - counts), kind="stable")[:rest]] += 1
    return counts


def _distinct(votes: Floats) -> tuple[Floats, Indices]:
    """Return the distinct votes of images, (kinds, arms, classes), and how often each occurs."""
    kinds, times = np.unique(votes.reshape(len(votes), -1), axis=0, return_counts=True)
    if len(kinds) == 1:  # for a table with one column SciPy 1.17 returns zeros
        kinds, times = np.vstack([kinds, kinds]), np.append(times, 0)
    return kinds.reshape(-1, *votes.shape[1:]), times


def _shuffled(
    counts: Indices, votes: tuple[Floats, Indices], size: int, rng: np.random.Generator
) -> Floats:
    """Sums of votes, (size, arms, classes), when labels are shuffled over these images."""
    from scipy.stats import random_table

    kinds, times = votes
    classes = kinds.shape[2]
    rows = max(1, _CHUNK // (len(kinds) * classes))
    parts = []
    for start in range(0, size, rows):
        some = min(rows, size - start)
        tables = random_table.rvs(counts, times, size=some, random_state=rng)
        # A product of matrices for each class: einsum adds up one number at a time.
        by_class = tables.reshape(some, classes, -1).astype(np.float64).swapaxes(0, 1)
        sums = by_class @ kinds.transpose(2, 0, 1)
        parts.append(sums.transpose(1, 2, 0))
    return np.concatenate(parts)


@lru_cache(maxsize=16)
def _all_orders(kinds: tuple[int, ...]) -> Indices:
    """Return every distinct order of these kinds, (orders, kinds), read-only."""
    orders = np.array(list(_orders(kinds)), dtype=np.intp)
    orders.setflags(write=False)
    return orders


def _orders(kinds: Sequence[int]) -> Iterator[list[int]]:
    """Yield every distinct order of these kinds."""
    distinct = sorted(set(kinds))

    def fill(position: int, free: tuple[int, ...], row: list[int]) -> Iterator[list[int]]:
        kind = distinct[position]
        if position == len(distinct) - 1:
            for slot in free:
                row[slot] = kind
            yield list(row)
            return
        for chosen in combinations(free, kinds.count(kind)):
            for slot in chosen:
                row[slot] = kind
            taken = set(chosen)
            yield from fill(position + 1, tuple(f for f in free if f not in taken), row)

    return fill(0, tuple(range(len(kinds))), [0] * len(kinds))
