"""Several settings on one test set, or several test sets: adjusted p-values and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import resampling, validation
from cellvision.statistics.arrangements import build_arrangements
from cellvision.statistics.intervals import Interval
from cellvision.statistics.permutation import (
    PERMUTATIONS,
    Statistic,
    batch_index,
    check_settings,
    null_distribution,
)

Floats = NDArray[np.float64]

_DRAWS = 20_000  # of the largest deviation, for simultaneous intervals


@dataclass(frozen=True)
class ArmTest:
    """The permutation test of one arm among several.

    Attributes
    ----------
    statistic : float
        Balanced accuracy (or accuracy), mean over the arm's runs.
    p : float
        For this arm alone.
    adjusted_p : float
        Adjusted for the number of arms (max-T, step-down).
    """

    statistic: float
    p: float
    adjusted_p: float


def max_t_test(
    labels: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    groups: ArrayLike | None = None,
    *,
    batches: ArrayLike | None = None,
    statistic: Statistic = "balanced_accuracy",
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, ArmTest]:
    """Test several arms of a study on the same arrangements of labels.

    Each arm is compared with the largest standardised statistic of all arms that are not better
    than it. Arms that agree cost little, unlike with Bonferroni.

    Parameters
    ----------
    labels
        (n,) true classes.
    predictions
        (n,) or (runs, n) predicted classes of each arm, on the same images.
    groups, batches, statistic, permutations, seed
        As for `permutation_test`.

    Raises
    ------
    InvalidInput
        There is no arm or no image, or lengths differ.

    Notes
    -----
    P. H. Westfall and S. S. Young (1993), Resampling-Based Multiple Testing, Wiley.

    Examples
    --------
    >>> wells = [w for w in range(8) for _ in range(3)]
    >>> classes = ["dead" if w < 4 else "live" for w in wells]
    >>> tests = max_t_test(classes, {"good": classes, "constant": ["dead"] * 24}, wells)
    >>> round(tests["good"].adjusted_p, 4), tests["constant"].adjusted_p
    (0.0143, 1.0)
    """
    check_settings(statistic, permutations)
    if not predictions:
        raise InvalidInput("predictions has no arm", "Give at least one.")
    truth = validation.check_column(labels, "labels")
    n = len(truth)
    runs = {name: validation.check_runs(p, f"predictions of {name}") for name, p in
            predictions.items()}  # fmt: skip
    validation.check_same_length(labels=truth, **{name: rows[0] for name, rows in runs.items()})
    everything = np.concatenate(list(runs.values()))
    label, predicted, values = validation.encode_together(
        truth, everything, ("labels", "predictions")
    )
    classes = max(len(values), 2)
    ends = np.cumsum([len(rows) for rows in runs.values()])
    one_hot = (predicted[:, :, None] == np.arange(classes)).astype(np.float64)
    votes = np.stack([part.mean(axis=0) for part in np.split(one_hot, ends[:-1])], axis=1)
    null = null_distribution(
        build_arrangements(
            label,
            validation.group_index(groups, n, "labels"),
            None if batches is None else batch_index(batches, n),
            classes,
        ),
        votes,
        statistic,
        permutations,
        np.random.default_rng(seed),
    )
    adjusted = _step_down(null.observed, null.null, exact=null.exact)
    return {
        name: ArmTest(float(value), float(p), float(corrected))
        for name, value, p, corrected in zip(
            runs, null.observed, null.p_values(), adjusted, strict=True
        )
    }


def _step_down(observed: Floats, null: Floats, *, exact: bool) -> Floats:
    """Adjust p-values of arms, (arms,), by the maximum of standardised statistics."""
    spread = null.std(axis=0)
    varies = spread > 1e-12
    scale = np.where(varies, spread, 1.0)
    score = np.where(varies, (observed - null.mean(axis=0)) / scale, -np.inf)
    null_score = np.where(varies, (null - null.mean(axis=0)) / scale, -np.inf)
    order = np.argsort(-score, kind="stable")
    # Running maxima from the worst arm up: arm k is compared with itself and those below it.
    largest = np.maximum.accumulate(null_score[:, order][:, ::-1], axis=1)[:, ::-1]
    as_good = (largest >= score[order] - 1e-12).sum(axis=0)
    p = as_good / len(null) if exact else (as_good + 1) / (len(null) + 1)
    p = np.where(varies[order], p, 1.0)
    result = np.empty(len(observed))
    result[order] = np.maximum.accumulate(p)
    return result


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several test sets (Holm 1979, Scand. J. Stat. 6, 65-70).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = validation.check_fractions(p_values, "p_values")
    from statsmodels.stats.multitest import multipletests

    return [round(float(p), 12) for p in multipletests(values, method="holm")[1]]


def pairwise_differences(
    correct: Mapping[str, ArrayLike],
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[tuple[str, str], Interval]:
    """Compute simultaneous intervals of the differences of accuracies of all pairs of arms.

    All intervals together hold with the given confidence: any pair whose interval excludes zero
    differs. Standard errors come from the jackknife over groups; the common critical value is
    the quantile of the largest of the correlated t statistics, by a multiplier bootstrap, with
    as many degrees of freedom as there are effective groups, less one.

    Parameters
    ----------
    correct
        (n,) booleans or fractions of runs that are right, of each arm on the same images.
    groups
        (n,) group of each image; None if images are independent.
    confidence
        Level of all intervals together.
    seed
        Seed of the multiplier bootstrap.

    Returns
    -------
    dict
        ``{(a, b): interval of a minus b}``.

    Raises
    ------
    InvalidInput
        There are fewer than two arms or groups, or lengths differ.

    Notes
    -----
    T. Hothorn, F. Bretz and P. Westfall (2008), Biom. J. 50, 346-363.
    """
    validation.check_confidence(confidence)
    arms = {name: validation.check_fractions(c, name) for name, c in correct.items()}
    if len(arms) < 2:
        raise InvalidInput(f"{len(arms)} arm to compare", "Give two or more.")
    validation.check_same_length(**arms)
    n = len(next(iter(arms.values())))
    index = validation.group_index(groups, n, "correct")
    sizes = resampling.group_sums(index)
    count = len(sizes)
    if count < 2:
        raise InvalidInput("one group only", "Differences need two groups or more.")
    pairs = list(combinations(arms, 2))
    totals = np.stack([resampling.group_sums(index, arms[a] - arms[b]) for a, b in pairs])
    estimate = totals.sum(axis=1) / n
    left_out = np.stack([resampling.jackknife_ratio(each, sizes) for each in totals])
    variance = np.array([resampling.jackknife_variance(each) for each in left_out])
    # One pseudo-observation in each direction keeps pairs that never differ from certainty.
    error = np.sqrt(variance + 1 / n**2)
    deviation = left_out - left_out.mean(axis=1, keepdims=True)
    critical = _largest_t(deviation, sizes, confidence, seed)
    return {
        pair: Interval(
            float(value),
            float(max(value - critical * e, -1.0)),
            float(min(value + critical * e, 1.0)),
            f"simultaneous for {len(pairs)} pairs, jackknife over groups",
            n,
            None if groups is None else count,
        )
        for pair, value, e in zip(pairs, estimate, error, strict=True)
    }


def _largest_t(deviation: Floats, sizes: Floats, confidence: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    length = np.sqrt((deviation**2).sum(axis=1, keepdims=True))
    unit = deviation / np.where(length > 0, length, 1)
    normal = rng.standard_normal((_DRAWS, len(sizes))) @ unit.T
    freedom = max(resampling.effective_groups(sizes) - 1, 1.0)
    largest = np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(freedom, _DRAWS) / freedom)
    floor = resampling.t_critical(confidence, sizes)
    return float(max(np.quantile(largest, confidence), floor))
