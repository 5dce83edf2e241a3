"""Variation over training seeds, and how it adds to the uncertainty of sampling."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import validation
from cellvision.statistics.intervals import Interval


@dataclass(frozen=True)
class SeedSpread:
    """How much an experiment varies from seed to seed.

    Attributes
    ----------
    mean, sd : float
        Over runs; the SD has n - 1 in the denominator and is NaN for one run.
    median : float
        Over runs; report it instead of the mean if a run did not train.
    minimum, maximum : float
        The worst and the best run.
    low, high : float
        Interval of the mean over seeds (Student's t, cut at 0 and 1): how well the mean over seeds
        is known *on these test images*, not how well the network does on new ones. [0, 1] for
        one run. If a run did not train, the range: such runs do not follow Student's t.
    runs, dead : int
        Number of seeds, and of those that did not train.
    method : str
        How the limits were computed.
    warning : str or None
        Why these limits deserve less trust than usual.
    """

    mean: float
    sd: float
    median: float
    minimum: float
    maximum: float
    low: float
    high: float
    runs: int
    dead: int
    method: str
    warning: str | None = None


def seed_spread(
    accuracies: ArrayLike, confidence: float = 0.95, *, dead: ArrayLike | None = None
) -> SeedSpread:
    """Summarise runs that differ only in their seed.

    Parameters
    ----------
    accuracies
        (runs,) one accuracy per run, from 0 to 1, all on the same test images.
    confidence
        Level, between 0 and 1.
    dead
        (runs,) whether each run did not train (`untrained_runs`); None: all did.

    Raises
    ------
    InvalidInput
        There is no run, or a value lies outside 0 to 1.

    Examples
    --------
    >>> spread = seed_spread([0.90, 0.92, 0.94])
    >>> round(spread.mean, 3), round(spread.sd, 3), round(spread.low, 3), round(spread.high, 3)
    (0.92, 0.02, 0.87, 0.97)
    >>> seed_spread([0.25, 0.92, 0.94], dead=[True, False, False]).warning
    '1 of 3 runs did not train'
    """
    validation.check_confidence(confidence)
    values = validation.check_column(accuracies, "accuracies").astype(np.float64)
    if ((values < 0) | (values > 1)).any():
        raise InvalidInput(
            f"accuracies range from {values.min()} to {values.max()}", "Give numbers from 0 to 1."
        )
    runs, mean = len(values), float(values.mean())
    untrained = 0
    if dead is not None:
        flags = validation.check_binary(dead, "dead")
        validation.check_same_length(accuracies=values, dead=flags)
        untrained = int(flags.sum())
    sd = _standard_deviation(values) if runs > 1 else float("nan")
    low, high, method = 0.0, 1.0, "t over seeds"
    warning: str | None = None
    if untrained:
        low, high, method = float(values.min()), float(values.max()), "range over seeds"
        warning = f"{untrained} of {runs} run{'s' * (runs > 1)} did not train"
    elif runs == 1:
        warning = "one run: the spread over seeds is unknown"
    else:
        half = _t_half_width(values, confidence) / sqrt(runs)
        low, high = max(mean - half, 0.0), min(mean + half, 1.0)
        if float(np.ptp(values)) == 0.0:
            warning = "all runs have the same accuracy: the spread may be hidden"
    return SeedSpread(
        mean,
        sd,
        float(np.median(values)),
        float(values.min()),
        float(values.max()),
        min(low, mean),
        max(high, mean),
        runs,
        untrained,
        method,
        warning,
    )


def untrained_runs(predictions: ArrayLike) -> NDArray[np.bool_]:
    """Return which runs predict one class for every image: they did not train.

    Parameters
    ----------
    predictions
        (runs, n) predicted classes, of the training images if available.
    """
    answers = validation.check_runs(predictions, "predictions")
    constant = [len(row) > 1 and len(np.unique(row)) == 1 for row in answers]
    return np.array(constant, dtype=bool)


def retrained_interval(
    interval: Interval, accuracies: ArrayLike, *, dead: ArrayLike | None = None
) -> Interval | None:
    """Widen the interval of these networks to one of a network trained anew.

    The interval of the mean over runs covers other groups, for *these* networks. Training once
    more adds the variation over seeds. Each side becomes the root of the sum of squares of its
    width and of the prediction interval of one more seed, t(R - 1) SD sqrt(1 + 1 / R).

    Parameters
    ----------
    interval
        Of the mean over runs (`accuracy_interval` of the fraction of runs that are right).
    accuracies
        (runs,) accuracy of each run on the same images.
    dead
        (runs,) whether each run did not train.

    Returns
    -------
    Interval or None
        None for a single run, and if a run did not train: neither says how the next would do.
    """
    spread = seed_spread(accuracies, dead=dead)
    if spread.runs < 2 or spread.dead:
        return None
    values = np.asarray(accuracies, dtype=np.float64)
    half = _t_half_width(values, 0.95) * sqrt(1 + 1 / spread.runs)
    estimate = interval.estimate
    return Interval(
        estimate,
        max(estimate - hypot(estimate - interval.low, half), 0.0),
        min(estimate + hypot(interval.high - estimate, half), 1.0),
        f"{interval.method}, and t over {spread.runs} seeds",
        interval.n,
        interval.groups,
        interval.warning,
    )


def _t_half_width(values: NDArray[np.float64], confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(len(values) - 1, 0.5 + confidence / 2) * _standard_deviation(values))


def _standard_deviation(values: NDArray[np.float64]) -> float:
    # The mean of equal values is rounded, and would leave 1e-16.
    return float(values.std(ddof=1)) if np.ptp(values) else 0.0
