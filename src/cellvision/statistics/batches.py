"""Confounding of class and batch, before any training."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.plurals import agreed, plural
from cellvision.statistics import validation
from cellvision.statistics.arrangements import batch_strata, is_nested, linked_batches, log_orders
from cellvision.statistics.permutation import batch_index

_PERMUTATIONS = 9999


@dataclass(frozen=True, eq=False)
class BatchTable:
    """How classes are distributed over batches, counted in groups.

    Attributes
    ----------
    name : str
        Singular noun for a batch, such as "plate".
    classes, batches : tuple of str
        Rows and columns of `counts`.
    counts : numpy.ndarray
        (classes, batches) groups. A group counts once, for its commonest class and batch.
    cramers_v : float
        Bias-corrected Cramér's V, 0 (class and batch independent) to 1.
    p : float
        Permutation p of the association over groups.
    naming_accuracy, naming_balanced_accuracy : float
        Accuracy of naming the commonest class of the batch, leaving the group itself out; over
        groups. What the batch alone can tell.
    swappable : int
        Groups whose batch holds groups of another class: those that can swap in a permutation
        test within batches.
    groups : int
        Number of groups.
    single_class : int
        Batches that hold one class.
    smallest_p : float
        Least p that a permutation test within batches can give.
    nested : bool
        Whether every batch holds one class: class cannot be told from batch.
    mixed_groups : int
        Groups that hold several classes.
    """

    name: str
    classes: tuple[str, ...]
    batches: tuple[str, ...]
    counts: NDArray[np.intp]
    cramers_v: float
    p: float
    naming_accuracy: float
    naming_balanced_accuracy: float
    swappable: int
    groups: int
    single_class: int
    smallest_p: float
    nested: bool
    mixed_groups: int

    def sentence(self, images: str = "") -> str:
        """Say what matters most before training.

        Parameters
        ----------
        images
            The images that were tabulated, such as "the test set", if they are not all images.
        """
        total, several = len(self.batches), plural(self.name)
        of = f" of {images}" if images else ""
        if self.nested:
            return (
                f"Every {self.name}{of} holds one class ({total} {several}): class cannot be told "
                f"from {self.name}."
            )
        if self.single_class:
            return (
                f"{self.single_class} of {total} {several}{of} "
                f"{agreed(self.single_class, 'holds')} one class: class cannot be told from "
                f"{self.name} there."
            )
        if self.swappable == 0 or self.smallest_p > 0.05:
            return (
                f"No p below {self.smallest_p:.2g} is possible within {several}{of}: class can "
                f"hardly be told from {self.name}."
            )
        return (
            f"{self.swappable} of {self.groups} groups{of} share a {self.name} with groups of "
            f"another class (Cramér's V {self.cramers_v:.2f}, p = {self.p:.2g})."
        )


def batch_table(
    labels: ArrayLike,
    batches: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    name: str = "batch",
    seed: int = 0,
) -> BatchTable:
    """Tabulate class by batch in groups, and measure how much the batch says of the class.

    Needs no predictions: run it before any training.

    Parameters
    ----------
    labels
        (n,) class of each image.
    batches
        (n,) batch of each image.
    groups
        (n,) group of each image; None: every image is its own group.
    name
        Singular noun for a batch in sentences.
    seed
        Seed of the permutations.

    Raises
    ------
    InvalidInput
        There is no image, or lengths differ.

    Notes
    -----
    Bias-corrected V: W. Bergsma (2013), J. Korean Stat. Soc. 42, 323-328. Leaving the group out
    lowers the accuracy of naming below chance where classes are balanced within batches.

    Examples
    --------
    >>> wells = list(range(12))
    >>> plates = ["p1"] * 4 + ["p2"] * 4 + ["p3"] * 4
    >>> drugs = ["a", "a", "b", "b"] + ["a"] * 4 + ["b"] * 4
    >>> batch_table(drugs, plates, wells, name="plate").sentence()
    '2 of 3 plates hold one class: class cannot be told from plate there.'
    """
    truth = validation.check_column(labels, "labels")
    n = len(truth)
    class_names, label = validation.encode(truth)
    batch_names, _ = validation.encode(validation.check_column(batches, "batches"))
    batch = batch_index(batches, n)
    group = validation.group_index(groups, n, "labels")
    class_of = _commonest(group, label, len(class_names))
    batch_of = _commonest(group, batch, len(batch_names))
    shape = len(class_names), len(batch_names)
    counts = np.bincount(class_of * shape[1] + batch_of, minlength=shape[0] * shape[1])
    counts = counts.reshape(shape)
    stratum = batch_strata(group, batch)
    swappable, log_count = 0, 0.0
    for s in np.unique(stratum):
        per_class = np.bincount(class_of[stratum == s])
        log_count += log_orders(per_class)
        swappable += int(per_class.sum()) if (per_class > 0).sum() > 1 else 0
    naming = _naming_scores(counts, class_of, batch_of)
    kept = counts[:, counts.sum(axis=0) > 0]
    return BatchTable(
        name=name,
        classes=tuple(map(str, class_names)),
        batches=tuple(map(str, batch_names)),
        counts=counts,
        cramers_v=cramers_v(counts),
        p=_association_p(counts, seed),
        naming_accuracy=float(naming.mean()),
        naming_balanced_accuracy=float(
            np.mean([naming[class_of == c].mean() for c in np.unique(class_of)])
        ),
        swappable=swappable,
        groups=len(class_of),
        single_class=int(((kept > 0).sum(axis=0) == 1).sum()) if shape[0] > 1 else 0,
        smallest_p=exp(-log_count),
        nested=shape[1] > 1 and is_nested(label, linked_batches(group, batch)),
        mixed_groups=int((_classes_per_group(group, label) > 1).sum()),
    )


def cramers_v(counts: NDArray[np.intp]) -> float:
    """Return bias-corrected Cramér's V of a table of counts (Bergsma 2013); 0 if not defined."""
    table = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    n, (rows, columns) = int(table.sum()), table.shape
    if n < 2 or min(rows, columns) < 2:
        return 0.0
    phi = max(_chi_squared(table[None])[0] / n - (rows - 1) * (columns - 1) / (n - 1), 0.0)
    row_size = rows - (rows - 1) ** 2 / (n - 1)
    column_size = columns - (columns - 1) ** 2 / (n - 1)
    smaller = min(row_size, column_size) - 1
    # With about as many batches as groups nothing is left once the bias is removed.
    return float(min(np.sqrt(phi / smaller), 1.0)) if smaller > 1e-9 else 0.0


def commonest_class_of_batch(
    training_labels: ArrayLike, training_batches: ArrayLike, batches: ArrayLike
) -> NDArray[np.generic]:
    """Predict each image's class as the commonest training class of its batch; no pixel is seen.

    Parameters
    ----------
    training_labels, training_batches
        (m,) class and batch of training images.
    batches
        (n,) batch of the images to predict.

    Returns
    -------
    numpy.ndarray
        (n,) predicted classes; the commonest class of all for batches without training images.
    """
    labels = validation.check_column(training_labels, "training_labels")
    names = validation.check_column(training_batches, "training_batches").astype(str)
    validation.check_same_length(training_labels=labels, training_batches=names)
    classes, label = validation.encode(labels)
    fallback = int(np.bincount(label).argmax())
    commonest = {name: int(np.bincount(label[names == name]).argmax()) for name in np.unique(names)}
    batch_names = validation.check_column(batches, "batches").astype(str)
    predicted: NDArray[np.generic] = classes[
        [commonest.get(name, fallback) for name in batch_names]
    ]
    return predicted


def _commonest(group: NDArray[np.intp], value: NDArray[np.intp], values: int) -> NDArray[np.intp]:
    counts = np.bincount(group * values + value, minlength=(int(group.max()) + 1) * values)
    return np.asarray(counts.reshape(-1, values).argmax(axis=1))


def _classes_per_group(group: NDArray[np.intp], label: NDArray[np.intp]) -> NDArray[np.intp]:
    pairs = np.unique(np.stack([group, label]), axis=1)
    return np.bincount(pairs[0])


def _naming_scores(
    counts: NDArray[np.intp], class_of: NDArray[np.intp], batch_of: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return, per group, the chance that the commonest class of the rest of its batch is right."""
    rest = counts[:, batch_of].T.copy()  # (groups, classes)
    rest[np.arange(len(class_of)), class_of] -= 1
    best = rest == rest.max(axis=1, keepdims=True)  # ties share; an empty rest names any class
    return np.asarray(best[np.arange(len(class_of)), class_of] / best.sum(axis=1))


def _chi_squared(tables: NDArray[np.intp]) -> NDArray[np.float64]:
    rows, columns = tables.sum(axis=2), tables.sum(axis=1)
    expected = rows[:, :, None] * columns[:, None] / tables[0].sum()
    return np.asarray(((tables - expected) ** 2 / expected).sum(axis=(1, 2)))


def _association_p(counts: NDArray[np.intp], seed: int) -> float:
    from scipy.stats import random_table

    table = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return 1.0
    rng = np.random.default_rng(seed)
    drawn = random_table.rvs(
        table.sum(axis=1), table.sum(axis=0), size=_PERMUTATIONS, random_state=rng
    )
    null = _chi_squared(np.asarray(drawn).reshape(-1, *table.shape))
    observed = _chi_squared(table[None])[0]
    return float((np.sum(null >= observed - 1e-9) + 1) / (_PERMUTATIONS + 1))
