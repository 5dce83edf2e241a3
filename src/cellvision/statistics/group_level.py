"""Answers for groups: one prediction per well or donor, from the mean probability of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import validation
from cellvision.statistics.arrangements import build_arrangements
from cellvision.statistics.intervals import Interval, wilson_interval
from cellvision.statistics.permutation import (
    PERMUTATIONS,
    PermutationTest,
    batch_index,
    null_distribution,
    summarise,
)

Floats = NDArray[np.float64]

_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class GroupPredictions:
    """One answer per group.

    Attributes
    ----------
    groups : numpy.ndarray
        (groups,) names, sorted.
    images : numpy.ndarray
        (groups,) images of each.
    probabilities : numpy.ndarray
        (groups, classes) mean over images.
    predicted : numpy.ndarray
        (groups,) number of the most probable class; -1 for a tie.
    class_names : tuple of str
        Names of the classes.
    """

    groups: NDArray[np.generic]
    images: NDArray[np.intp]
    probabilities: Floats
    predicted: NDArray[np.intp]
    class_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class GroupScores:
    """How often groups are classified correctly.

    Attributes
    ----------
    predictions : GroupPredictions
        The answers.
    labels : numpy.ndarray
        (groups,) class number of each; -1 if its images have several labels.
    accuracy : Interval
        Wilson over groups that have one label and no tie.
    balanced_accuracy : float
        Mean recall of the classes over the same groups; NaN if there is none.
    test : PermutationTest or None
        Statistic: mean probability of the true class, averaged over classes. None if there are
        fewer than two groups with one label.
    ties, mixed : int
        Groups left out for a tie, and for several labels.
    """

    predictions: GroupPredictions
    labels: NDArray[np.intp]
    accuracy: Interval
    balanced_accuracy: float
    test: PermutationTest | None
    ties: int
    mixed: int


def predict_groups(
    probabilities: ArrayLike, groups: ArrayLike, class_names: Sequence[str] | None = None
) -> GroupPredictions:
    """Predict a class for each group from the mean probability of its images.

    Parameters
    ----------
    probabilities
        (n, classes), or (runs, n, classes): the mean over runs.
    groups
        (n,) group of each image.
    class_names
        Names in the order of the columns.

    Raises
    ------
    InvalidInput
        There is no image, lengths differ, or probabilities lie outside 0 to 1.

    Examples
    --------
    >>> answers = predict_groups([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], ["A01", "A01", "A02"])
    >>> answers.probabilities.round(2).tolist(), answers.predicted.tolist()
    ([[0.65, 0.35], [0.2, 0.8]], [0, 1])
    """
    array = np.asarray(probabilities, dtype=np.float64)
    table = validation.check_probabilities(array.mean(axis=0) if array.ndim == 3 else array)
    names = validation.check_column(groups, "groups")
    validation.check_same_length(probabilities=table, groups=names)
    classes = table.shape[1]
    labels = tuple(map(str, range(classes) if class_names is None else class_names))
    if len(labels) != classes:
        raise InvalidInput(f"{len(labels)} class_names for {classes} columns", "Give one each.")
    distinct, index = validation.encode(names)
    images = np.bincount(index)
    sums = np.stack([np.bincount(index, weights=table[:, c]) for c in range(classes)], axis=1)
    mean = sums / images[:, None]
    tied = (mean >= mean.max(axis=1, keepdims=True) - _TIE).sum(axis=1) > 1
    predicted = np.where(tied, -1, mean.argmax(axis=1))
    return GroupPredictions(distinct, images, mean, predicted, labels)


def score_groups(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike,
    *,
    batches: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    confidence: float = 0.95,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> GroupScores:
    """Score the answers for groups.

    Groups whose two best classes tie, and groups with several labels, are left out and counted.

    Parameters
    ----------
    labels
        (n,) class numbers from 0, or names with ``class_names``.
    probabilities, groups, class_names
        As for `predict_groups`.
    batches
        (n,) batch of each image: groups then swap labels within batches only.
    confidence
        Level of the interval.
    permutations, seed
        Of the permutation test.

    Raises
    ------
    InvalidInput
        As for `predict_groups`, or a label is unknown.
    """
    validation.check_confidence(confidence)
    answers = predict_groups(probabilities, groups, class_names)
    classes = answers.probabilities.shape[1]
    label, _ = validation.class_numbers(labels, classes, class_names)
    index = validation.group_index(groups, len(label), "labels")
    counts = np.bincount(index * classes + label, minlength=len(answers.groups) * classes)
    counts = counts.reshape(-1, classes)
    pure = (counts > 0).sum(axis=1) == 1
    of_group = np.where(pure, counts.argmax(axis=1), -1)
    decided = pure & (answers.predicted >= 0)
    right = answers.predicted[decided] == of_group[decided]
    wilson = wilson_interval(float(right.sum()), int(decided.sum()), confidence)
    recalls = [right[of_group[decided] == c].mean() for c in np.unique(of_group[decided])]
    batch = None if batches is None else batch_index(batches, len(label))
    return GroupScores(
        predictions=answers,
        labels=of_group,
        accuracy=Interval(
            wilson.estimate,
            wilson.low,
            wilson.high,
            method="Wilson over groups",
            n=len(label),
            groups=int(decided.sum()),
            warning=wilson.warning and "no group to score",
        ),
        balanced_accuracy=float(np.mean(recalls)) if recalls else float("nan"),
        test=_test(answers.probabilities, of_group, index, batch, permutations, seed),
        ties=int((pure & (answers.predicted < 0)).sum()),
        mixed=int((~pure).sum()),
    )


def _test(
    probabilities: Floats,
    of_group: NDArray[np.intp],
    index: NDArray[np.intp],
    batch: NDArray[np.intp] | None,
    permutations: int,
    seed: int,
) -> PermutationTest | None:
    """Permute labels of groups; each group counts once, with its mean probabilities."""
    kept = np.flatnonzero(of_group >= 0)
    if len(kept) < 2:
        return None
    own_batch = None
    if batch is not None:
        # A group in several batches swaps with groups of the same batches.
        sets = [tuple(np.unique(batch[index == g])) for g in kept]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(sets))}
        own_batch = np.array([numbers[name] for name in sets], dtype=np.intp)
    arrangements = build_arrangements(
        of_group[kept], np.arange(len(kept)), own_batch, probabilities.shape[1]
    )
    null = null_distribution(
        arrangements,
        probabilities[kept][:, None],
        "balanced_accuracy",
        permutations,
        np.random.default_rng(seed),
    )
    return summarise(float(null.observed[0]), null.null[:, 0], [null], permutations)
