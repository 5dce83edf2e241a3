"""Whether predictions this good would arise if the labels said nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp, lgamma, log
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import checks

_ENUMERABLE = 20_000  # arrangements that are all tried rather than sampled
_CHUNK = 2_000_000

Statistic = Literal["balanced_accuracy", "accuracy"]


@dataclass(frozen=True)
class Permutation:
    """A permutation test of held-out predictions against labels.

    Attributes
    ----------
    statistic : float
        Of the true labels: balanced accuracy, or accuracy.
    null_mean, null_sd : float
        Of the same statistic over the permuted labels.
    null_low, null_high : float
        Between which 95 % of the permuted labels fall.
    p : float
        One-sided: the share of arrangements that do as well as the true one, which is among
        them.
    smallest_p : float
        The least p that this number of groups (and of permutations) can give. Where it is above
        0.05, no result could have been significant.
    effect : float
        ``statistic - null_mean``.
    effect_sd : float
        The same in null SDs; NaN where the null does not vary.
    arrangements : int
        Label arrangements tried.
    exact : bool
        Whether these are all there are.
    permuted : str
        What was permuted, in words fit for a report.
    n, groups : int
        Images and groups.
    warning : str or None
        Why the test deserves less trust than usual.
    """

    statistic: float
    null_mean: float
    null_sd: float
    null_low: float
    null_high: float
    p: float
    smallest_p: float
    effect: float
    effect_sd: float
    arrangements: int
    exact: bool
    permuted: str
    n: int
    groups: int
    warning: str | None = None


def permutation_test(
    labels: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    statistic: Statistic = "balanced_accuracy",
    permutations: int = 9999,
    seed: int = 0,
) -> Permutation:
    """Permute labels across groups, and see how often predictions do as well by chance.

    Predictions stay where they are. A group whose images share one label keeps them together:
    whole groups swap labels. In a group that holds several labels, its images swap labels among
    themselves, so that what makes the group special explains nothing. All arrangements are
    tried where there are at most 20,000 (and no group holds several labels); otherwise a random
    sample of them, with p = (b + 1) / (m + 1).

    Parameters
    ----------
    labels
        (n,) the true class of held-out images. (runs, n) where each run has labels of its own,
        drawn at random for it: then every run's labels are permuted by themselves.
    predictions
        (n,) the predicted class, or (runs, n) of several runs on the same images: the statistic
        is the mean over runs, and each arrangement of labels serves all of them, so that runs
        do not count as further images.
    groups
        (n,) the unit each image came from; None where images are independent.
    statistic
        ``"balanced_accuracy"`` (the mean recall of the classes; a network that always gives one
        answer scores 1 / classes, whatever the sizes of the groups) or ``"accuracy"``.
    permutations
        Sample size where not all arrangements are tried.
    seed
        Of that sample.

    Raises
    ------
    InvalidInput
        No image, lengths that differ, or an unknown statistic.

    Notes
    -----
    Valid if, under the null, labels could have fallen on the groups in any order: groups of one
    donor, or of one plate each with its own class, are not such units. (b + 1) / (m + 1):
    Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39. Whole-block permutation:
    Winkler et al. (2015), NeuroImage 123, 253-268.

    Examples
    --------
    >>> wells = [w for w in range(8) for _ in range(3)]
    >>> classes = ["dead" if w < 4 else "live" for w in wells]
    >>> test = permutation_test(classes, classes, wells)
    >>> test.exact, test.arrangements, round(test.p, 4)
    (True, 70, 0.0143)
    """
    if statistic not in ("balanced_accuracy", "accuracy"):
        raise InvalidInput(
            f"unknown statistic {statistic!r}", "Give 'balanced_accuracy' or 'accuracy'."
        )
    if permutations < 1:
        raise InvalidInput(f"permutations is {permutations}", "Give 1 or more.")
    truth, answer = _by_run(labels, "labels"), _by_run(predictions, "predictions")
    checks.same_length(labels=truth[0], predictions=answer[0])
    if len(truth) not in (1, len(answer)):
        raise InvalidInput(
            f"labels of {len(truth)} runs, predictions of {len(answer)}",
            "Give one row of labels for all runs, or one a run.",
        )
    n = truth.shape[1]
    group = checks.group_index(groups, n, "labels")
    label, predicted, classes = _class_numbers(truth, answer)
    rng = np.random.default_rng(seed)
    # Runs that share labels are one test of their mean; labels of their own, one test each.
    tested = [predicted] if len(label) == 1 else list(predicted[:, None])
    parts = [
        _arrange(own, _votes(runs, classes), group, statistic, permutations, rng, len(label) == 1)
        for own, runs in zip(label, tested, strict=True)
    ]
    observed = float(np.mean([part.observed for part in parts]))
    null = np.mean([part.null for part in parts], axis=0)
    as_good = int((null >= observed - 1e-12).sum())
    exact = parts[0].exact
    if exact:
        p, smallest = as_good / len(null), 1 / len(null)
    else:
        possible = sum(part.log_count for part in parts)
        smallest = max(1 / (permutations + 1), exp(-possible))
        p = max((as_good + 1) / (permutations + 1), smallest)
    sd = float(null.std())
    sd = sd if sd > 1e-12 else 0.0
    low, high = np.quantile(null, [0.025, 0.975])
    mean = float(null.mean())
    count = int(group.max()) + 1
    return Permutation(
        observed,
        mean,
        sd,
        float(low),
        float(high),
        p,
        smallest,
        observed - mean,
        (observed - mean) / sd if sd else float("nan"),
        len(null),
        exact,
        _in_words(parts[0].pure, parts[0].mixed, count == n),
        n,
        count,
        _warning(smallest, count, max(len(np.unique(own)) for own in label)),
    )


@dataclass(frozen=True, eq=False)
class _Arrangements:
    """What permuted labels score, and what the given ones do."""

    observed: float
    null: NDArray[np.float64]
    log_count: float
    exact: bool
    pure: int
    mixed: int


def _arrange(
    label: NDArray[np.intp],
    votes: NDArray[np.float64],
    group: NDArray[np.intp],
    statistic: Statistic,
    permutations: int,
    rng: np.random.Generator,
    enumerated: bool,
) -> _Arrangements:
    """Score one row of labels and its permutations; all of them where `enumerated` and few.

    `votes`, (n, classes), are the runs' answers: the share of runs that name each class.
    """
    classes = votes.shape[1]
    count = int(group.max()) + 1
    labels = np.bincount(group * classes + label, minlength=count * classes)
    labels = labels.reshape(count, classes)
    pure = (labels > 0).sum(axis=1) == 1
    answers = np.stack(
        [np.bincount(group, weights=votes[:, c], minlength=count) for c in range(classes)], axis=1
    )
    pure_answers, pure_labels = answers[pure], labels[pure].argmax(axis=1)
    single = bool(pure.any()) and bool((labels[pure].sum(axis=1) == 1).all())
    blocks = [group == g for g in np.flatnonzero(~pure)]

    log_count = _log_arrangements(np.bincount(pure_labels, minlength=classes))
    log_count += sum(_log_arrangements(labels[g]) for g in np.flatnonzero(~pure))
    exact = enumerated and not blocks and bool(log_count <= log(_ENUMERABLE) + 1e-9)
    if exact:
        tallies = [_pure_tally(np.array(list(_arrangements(pure_labels.tolist()))), pure_answers)]
    elif single:
        # Single images swapping labels are one block; tables are quicker than labels.
        tallies = [_block_tally(pure_labels, pure_answers, permutations, rng)]
    elif pure.any():
        tallies = [_sampled_pure_tally(pure_labels, pure_answers, permutations, rng)]
    else:
        tallies = []
    tallies += [_block_tally(label[rows], votes[rows], permutations, rng) for rows in blocks]
    right = sum((t[0] for t in tallies), np.zeros(1))
    number = sum((t[1] for t in tallies), np.zeros(1))
    hits = np.bincount(label, weights=votes[np.arange(len(label)), label], minlength=classes)
    observed = _score(hits[None], labels.sum(axis=0)[None], statistic)[0]
    null = _score(right, number, statistic)
    return _Arrangements(
        float(observed), null, log_count, exact, int(pure.sum()), int(np.sum(~pure))
    )


def _by_run(values: ArrayLike, name: str) -> NDArray[np.generic]:
    """Columns as (runs, n): one row for one run."""
    array = np.asarray(values)
    if array.ndim != 2 or len(array) == 0:
        return checks.column(array, name)[None]
    return np.stack([checks.column(row, name) for row in array])


def _votes(predicted: NDArray[np.intp], classes: int) -> NDArray[np.float64]:
    """The share of runs, (n, classes), that name each class for each image."""
    return np.stack([(predicted == c).sum(axis=0) for c in range(classes)], axis=1) / len(predicted)


def _class_numbers(
    truth: NDArray[np.generic], answer: NDArray[np.generic]
) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Both as numbers of the classes that occur in either."""
    if (truth.dtype.kind in "biuf") != (answer.dtype.kind in "biuf"):
        raise InvalidInput(
            f"labels are {truth.dtype}, predictions {answer.dtype}",
            "Give names or numbers in both.",
        )
    distinct, index = checks.codes(np.concatenate([truth.ravel(), answer.ravel()]))
    split = truth.size
    return (
        index[:split].reshape(truth.shape),
        index[split:].reshape(answer.shape),
        max(len(distinct), 2),
    )


def _log_arrangements(counts: NDArray[np.intp]) -> float:
    return lgamma(counts.sum() + 1) - sum(lgamma(int(c) + 1) for c in counts)


def _arrangements(labels: Sequence[int]) -> Iterator[list[int]]:
    """Every distinct order of these labels."""
    kinds = sorted(set(labels))

    def place(kind: int, free: tuple[int, ...], row: list[int]) -> Iterator[list[int]]:
        if kind == len(kinds) - 1:
            for position in free:
                row[position] = kinds[kind]
            yield list(row)
            return
        for chosen in combinations(free, labels.count(kinds[kind])):
            for position in chosen:
                row[position] = kinds[kind]
            taken = set(chosen)
            yield from place(kind + 1, tuple(f for f in free if f not in taken), row)

    return place(0, tuple(range(len(labels))), [0] * len(labels))


def _pure_tally(
    arranged: NDArray[np.intp], images: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right answers and images per class, (arrangements, classes), of relabelled groups."""
    sizes = images.sum(axis=1)
    classes = images.shape[1]
    right = np.stack([(arranged == c) @ images[:, c] for c in range(classes)], axis=1)
    number = np.stack([(arranged == c) @ sizes for c in range(classes)], axis=1)
    return right, number


def _sampled_pure_tally(
    labels: NDArray[np.intp],
    images: NDArray[np.float64],
    permutations: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = max(1, _CHUNK // len(labels))
    parts = []
    for start in range(0, permutations, rows):
        some = min(rows, permutations - start)
        arranged = rng.permuted(np.broadcast_to(labels, (some, len(labels))), axis=1)
        parts.append(_pure_tally(arranged, images))
    return np.concatenate([r for r, _ in parts]), np.concatenate([n for _, n in parts])


def _block_tally(
    labels: NDArray[np.intp],
    votes: NDArray[np.float64],
    permutations: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same where images swap labels: tables of labels and equal answers, with their margins."""
    from scipy.stats import random_table

    classes = votes.shape[1]
    kinds, times = np.unique(votes, axis=0, return_counts=True)
    if len(kinds) == 1:  # of a table with one column SciPy 1.17 gives zeros
        kinds, times = np.vstack([kinds, kinds]), np.append(times, 0)
    true = np.bincount(labels, minlength=classes)
    rows = max(1, _CHUNK // kinds.size)
    parts = []
    for start in range(0, permutations, rows):
        some = min(rows, permutations - start)
        tables = random_table.rvs(true, times, size=some, random_state=rng)
        parts.append(np.einsum("mck,kc->mc", tables, kinds))
    right = np.concatenate(parts)
    return right, np.broadcast_to(true.astype(float), right.shape)


def _score(
    right: NDArray[np.generic], number: NDArray[np.generic], statistic: Statistic
) -> NDArray[np.float64]:
    hits, images = np.asarray(right, dtype=float), np.asarray(number, dtype=float)
    if statistic == "accuracy":
        accuracy: NDArray[np.float64] = hits.sum(axis=1) / images.sum(axis=1)
        return accuracy
    # A class that is only ever predicted has no recall; which these are, no order changes.
    present = images[0] > 0
    recall: NDArray[np.float64] = (hits[:, present] / images[:, present]).mean(axis=1)
    return recall


def _in_words(pure: int, mixed: int, single: bool) -> str:
    if single:
        return "labels of images"
    across, within = "labels of whole groups", "labels of images within their group"
    if not mixed:
        return across
    return within if not pure else f"{across} ({pure}); {within} ({mixed} mixed groups)"


def _warning(smallest: float, groups: int, classes: int) -> str | None:
    if classes < 2:
        return "only one class among the labels: nothing can be tested"
    if smallest > 0.05:
        return f"no p below {smallest:.2g} is possible with {groups} group{'s' * (groups > 1)}"
    return None
