"""Permutation test of predictions against labels: groups swap labels within batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import validation
from cellvision.statistics.arrangements import Arrangements, Tally, build_arrangements

Floats = NDArray[np.float64]
Statistic = Literal["balanced_accuracy", "accuracy"]

PERMUTATIONS = 9999
"""Size of the random sample of arrangements."""

_UNEVEN = 1.5
"""Ratio of the sizes of classes' groups from which p is too small: simulated rates of p ≤ 0.05 are
0.05 for equal sizes, 0.06 at 1.5, 0.07 at 2, 0.09 at 3 and 0.19 at 10."""


@dataclass(frozen=True)
class PermutationTest:
    """A permutation test of held-out predictions against labels.

    Attributes
    ----------
    statistic : float
        Balanced accuracy (or accuracy) with the true labels.
    null_mean, null_sd : float
        Mean and SD of the statistic over permuted labels.
    null_low, null_high : float
        Limits that contain the statistic of 95 % of permuted labels.
    p : float
        One-sided: fraction of arrangements, including the true one, that score at least as high.
    smallest_p : float
        Smallest p that these groups and permutations allow. If it is above 0.05, no result can
        be significant.
    effect : float
        ``statistic - null_mean``.
    effect_sd : float
        `effect` divided by `null_sd`; NaN if the null does not vary.
    arrangements : int
        Number of arrangements tried.
    exact : bool
        Whether all arrangements were tried.
    permuted : str
        Description of what was permuted, for reports.
    n, groups : int
        Number of images and of groups (of batches if whole batches swap).
    warning : str or None
        Why the test is less reliable than usual; None if it is not.
    inside_groups : bool
        Whether most groups hold several classes, so that labels move mostly inside groups. The
        p-value then says little about other groups.
    sizes_depend_on_class : bool
        Whether groups of one class hold on average at least 1.5 times as many images as those of
        another. The recall of small groups scatters more with the true labels than with permuted
        ones, so the p-value is then too small.
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
    inside_groups: bool = False
    sizes_depend_on_class: bool = False


def permutation_test(
    labels: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    batches: ArrayLike | None = None,
    statistic: Statistic = "balanced_accuracy",
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> PermutationTest:
    """Test whether predictions fit the labels better than permuted labels.

    Predictions stay in place; groups swap their labels. With `batches`, groups swap only within
    their batch, so that effects of the batch cannot make the test significant; if every batch
    holds one class, whole batches swap. A group with mixed labels swaps its label composition
    with another group, and labels are then shuffled over the images inside. If there are at most
    20,000 arrangements and no group is mixed, the test tries all of them; otherwise it tries a
    random sample, with p = (b + 1) / (m + 1).

    Parameters
    ----------
    labels
        (n,) true classes of held-out images. (runs, n) if each run has separate random labels:
        then the labels of each run are permuted separately.
    predictions
        (n,) predicted classes, or (runs, n) of several runs on the same images. The statistic is
        the mean over runs, and all runs share each arrangement of labels, so that runs do not
        count as more images.
    groups
        (n,) group to which the class was assigned (well, donor); None if images are independent.
    batches
        (n,) batch that groups share (plate, day); None if groups may swap freely. Groups in
        several batches swap with groups in the same batches.
    statistic
        ``"balanced_accuracy"`` (mean recall of the classes; a constant prediction scores
        1 / classes, independent of group sizes) or ``"accuracy"``.
    permutations
        Size of the sample if not all arrangements are tried.
    seed
        Seed of that sample.

    Raises
    ------
    InvalidInput
        There are no images, lengths differ, or the statistic is unknown.

    Notes
    -----
    (b + 1) / (m + 1): Phipson and Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39. Whole-block
    and within-block permutation: Winkler et al. (2015), NeuroImage 123, 253-268.

    Examples
    --------
    >>> wells = [w for w in range(8) for _ in range(3)]
    >>> classes = ["dead" if w < 4 else "live" for w in wells]
    >>> test = permutation_test(classes, classes, wells)
    >>> test.exact, test.arrangements, round(test.p, 4)
    (True, 70, 0.0143)
    """
    check_settings(statistic, permutations)
    truth = validation.check_runs(labels, "labels")
    answers = validation.check_runs(predictions, "predictions")
    validation.check_same_length(labels=truth[0], predictions=answers[0])
    if len(truth) not in (1, len(answers)):
        raise InvalidInput(
            f"labels of {len(truth)} runs, predictions of {len(answers)}",
            "Give one row of labels for all runs, or one per run.",
        )
    label, predicted, values = validation.encode_together(truth, answers, ("labels", "predictions"))
    n, classes = truth.shape[1], max(len(values), 2)
    group = validation.group_index(groups, n, "labels")
    batch = None if batches is None else batch_index(batches, n)
    rng = np.random.default_rng(seed)
    # Runs that share labels get one test of their mean; runs with separate labels, one each.
    predicted_by_test = [predicted] if len(label) == 1 else list(predicted[:, None])
    nulls = [
        null_distribution(
            build_arrangements(run_labels, group, batch, classes),
            _votes(runs, classes)[:, None],
            statistic,
            permutations,
            rng,
            enumerate_all=len(label) == 1,
        )
        for run_labels, runs in zip(label, predicted_by_test, strict=True)
    ]
    return summarise(
        float(np.mean([null.observed[0] for null in nulls])),
        np.mean([null.null[:, 0] for null in nulls], axis=0),
        nulls,
        permutations,
    )


def permuted_labels(
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    batches: ArrayLike | None = None,
    seed: int | Sequence[int] | np.random.Generator = 0,
) -> NDArray[Any]:
    """Draw one of the arrangements of labels that `permutation_test` compares.

    Parameters
    ----------
    labels, groups, batches
        As for `permutation_test`: groups swap labels within their batch, or, if every batch holds
        one class, whole batches do.
    seed
        Seed, or a generator to draw from.

    Returns
    -------
    numpy.ndarray
        (n,) the new label of each image.

    Raises
    ------
    InvalidInput
        There is no image, a value is missing, or lengths differ.

    Examples
    --------
    >>> permuted_labels(["a", "a", "b", "b"], [0, 0, 1, 1], seed=3).tolist()
    ['b', 'b', 'a', 'a']
    """
    array = validation.check_column(labels, "labels")
    n = len(array)
    values, label = validation.encode(array)
    arrangements = build_arrangements(
        label,
        validation.group_index(groups, n, "labels"),
        None if batches is None else batch_index(batches, n),
        max(len(values), 2),
    )
    drawn: NDArray[Any] = values[arrangements.draw(np.random.default_rng(seed))]
    return drawn


def check_settings(statistic: str, permutations: int) -> None:
    """Raise InvalidInput for an unknown statistic or fewer than one permutation."""
    if statistic not in ("balanced_accuracy", "accuracy"):
        raise InvalidInput(
            f"unknown statistic {statistic!r}", "Give 'balanced_accuracy' or 'accuracy'."
        )
    if permutations < 1:
        raise InvalidInput(f"permutations is {permutations}", "Give 1 or more.")


def batch_index(batches: ArrayLike, n: int) -> NDArray[np.intp]:
    """Return the index of each image's batch."""
    array = validation.check_column(batches, "batches")
    validation.check_same_length(labels=np.empty(n), batches=array)
    return validation.encode(array)[1]


@dataclass(frozen=True, eq=False)
class NullDistribution:
    """Statistic of each arm with true and with permuted labels.

    Attributes
    ----------
    observed : numpy.ndarray
        (arms,) statistic with the true labels.
    null : numpy.ndarray
        (arrangements, arms) statistic with permuted labels; arms share arrangements.
    exact : bool
        Whether all arrangements were tried.
    arrangements : Arrangements
        What was permuted.
    """

    observed: Floats
    null: Floats
    exact: bool
    arrangements: Arrangements

    def p_values(self) -> Floats:
        """Return the one-sided p of each arm."""
        as_good = (self.null >= self.observed - 1e-12).sum(axis=0)
        return np.asarray(
            as_good / len(self.null) if self.exact else (as_good + 1) / (len(self.null) + 1)
        )


def null_distribution(
    arrangements: Arrangements,
    votes: Floats,
    statistic: Statistic,
    permutations: int,
    rng: np.random.Generator,
    *,
    enumerate_all: bool = True,
) -> NullDistribution:
    """Score votes, (n, arms, classes), against true and permuted labels."""
    tally = arrangements.tally(votes, permutations, rng, enumerate_all=enumerate_all)
    observed = _score(arrangements.observed(votes), statistic)[0]
    return NullDistribution(observed, _score(tally, statistic), tally.exact, arrangements)


def summarise(
    observed: float, null: Floats, nulls: list[NullDistribution], permutations: int
) -> PermutationTest:
    """Summarise `null`, the mean of the distributions in `nulls`."""
    first = nulls[0].arrangements
    as_good = int((null >= observed - 1e-12).sum())
    exact = nulls[0].exact
    if exact:
        p, smallest = as_good / len(null), 1 / len(null)
    else:
        possible = sum(part.arrangements.log_count for part in nulls)
        smallest = max(1 / (permutations + 1), exp(-possible))
        p = max((as_good + 1) / (permutations + 1), smallest)
    sd, mean = float(null.std()), float(null.mean())
    sd = sd if sd > 1e-12 else 0.0
    low, high = np.quantile(null, [0.025, 0.975])
    return PermutationTest(
        statistic=observed,
        null_mean=mean,
        null_sd=sd,
        null_low=float(low),
        null_high=float(high),
        p=p,
        smallest_p=smallest,
        effect=observed - mean,
        effect_sd=(observed - mean) / sd if sd else float("nan"),
        arrangements=len(null),
        exact=exact,
        permuted=first.describe(),
        n=len(first.label),
        groups=first.groups,
        warning=_warning(smallest, nulls),
        inside_groups=_is_mostly_mixed(first),
        sizes_depend_on_class=first.largest_size_ratio >= _UNEVEN,
    )


def _votes(predicted: NDArray[np.intp], classes: int) -> Floats:
    """Return the fraction of runs, (n, classes), that predict each class for each image."""
    counts = [(predicted == c).sum(axis=0) for c in range(classes)]
    return np.asarray(np.stack(counts, axis=1) / len(predicted))


def _score(tally: Tally, statistic: Statistic) -> Floats:
    """Return the statistic of each arrangement and arm, (arrangements, arms)."""
    if statistic == "accuracy":
        accuracy: Floats = tally.right.sum(axis=2) / tally.number.sum(axis=1)[:, None]
        return accuracy
    # Recall is undefined for a class that is predicted but never true.
    present = tally.number > 0
    number = np.where(present, tally.number, 1)[:, None]
    recall: Floats = (tally.right / number).sum(axis=2) / present.sum(axis=1)[:, None]
    return recall


def _is_mostly_mixed(arrangements: Arrangements) -> bool:
    """Whether most groups hold several classes."""
    return bool(arrangements.mixed.sum() > arrangements.groups / 2)


def _warning(smallest: float, nulls: list[NullDistribution]) -> str | None:
    first = nulls[0].arrangements
    if max(len(np.unique(part.arrangements.label)) for part in nulls) < 2:
        return "only one class among the labels: there is nothing to test"
    if smallest > 0.05:
        noun = "batch" if first.whole_batches else "group"
        plural = ("es" if first.whole_batches else "s") * (first.groups > 1)
        where = " within batches" if first.within_batches else ""
        return f"no p below {smallest:.2g} is possible with {first.groups} {noun}{plural}{where}"
    if _is_mostly_mixed(first):
        return (
            f"{int(first.mixed.sum())} of {first.groups} groups hold several classes: if classes "
            "were assigned to something smaller (wells of a plate), name that as group and this as "
            "batch"
        )
    return None
