"""The spread over training seeds, apart from the uncertainty of sampling."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from cellvision.errors import InvalidInput
from cellvision.statistics import checks


@dataclass(frozen=True)
class SeedSpread:
    """How much the same experiment varies from seed to seed.

    Attributes
    ----------
    mean, sd : float
        Over runs; the SD has n - 1 in the denominator and is NaN for one run.
    minimum, maximum : float
        The worst and the best run.
    low, high : float
        Interval of the mean over seeds (Student's t, cut at 0 and 1). It tells how well the mean
        over seeds is known *on these test images*, not how well the network does on new ones.
        [0, 1] for one run.
    runs : int
        How many seeds.
    method : str
        How the limits were made.
    warning : str or None
        Why these limits deserve less trust than usual.
    """

    mean: float
    sd: float
    minimum: float
    maximum: float
    low: float
    high: float
    runs: int
    method: str
    warning: str | None = None


def seed_spread(accuracies: ArrayLike, confidence: float = 0.95) -> SeedSpread:
    """Mean, SD, range and interval of the mean over runs that differ only in their seed.

    Parameters
    ----------
    accuracies
        (runs,) one accuracy a run, from 0 to 1, all on the same test images.
    confidence
        Level, between 0 and 1.

    Raises
    ------
    InvalidInput
        No run, or a value outside 0 to 1.

    Examples
    --------
    >>> spread = seed_spread([0.90, 0.92, 0.94])
    >>> round(spread.mean, 3), round(spread.sd, 3), round(spread.low, 3), round(spread.high, 3)
    (0.92, 0.02, 0.87, 0.97)
    """
    checks.confidence_level(confidence)
    values = checks.column(accuracies, "accuracies").astype(np.float64)
    if ((values < 0) | (values > 1)).any():
        raise InvalidInput(
            f"accuracies range from {values.min()} to {values.max()}", "Give numbers from 0 to 1."
        )
    runs, mean = len(values), float(values.mean())
    low, high, sd = 0.0, 1.0, float("nan")
    warning: str | None = "one run: the spread over seeds is unknown"
    if runs > 1:
        from scipy.special import stdtrit

        sd = float(values.std(ddof=1))
        half = float(stdtrit(runs - 1, 0.5 + confidence / 2)) * sd / sqrt(runs)
        low, high = max(mean - half, 0.0), min(mean + half, 1.0)
        same = float(np.ptp(values)) == 0.0
        warning = "all runs have the same accuracy: the spread may be hidden" if same else None
    return SeedSpread(
        mean,
        sd,
        float(values.min()),
        float(values.max()),
        min(low, mean),
        max(high, mean),
        runs,
        "t over seeds",
        warning,
    )
