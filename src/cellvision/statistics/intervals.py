"""Confidence interval of a proportion of independent images, and the type of all intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cellvision.errors import InvalidInput
from cellvision.statistics import validation
from cellvision.statistics.resampling import normal_critical


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence limits.

    Attributes
    ----------
    estimate, low, high : float
        The value in these images, and the limits.
    method : str
        How the limits were computed, in words fit for a report.
    n : int
        Number of images.
    groups : int or None
        Number of independent groups; None if every image counts as one.
    warning : str or None
        Why these limits deserve less trust than usual.
    """

    estimate: float
    low: float
    high: float
    method: str
    n: int
    groups: int | None = None
    warning: str | None = None

    def widened(
        self, factor: float, bounds: tuple[float, float] = (0.0, 1.0), reason: str = ""
    ) -> Interval:
        """Return the interval with both sides multiplied by `factor`, cut at the bounds."""
        return replace(
            self,
            low=max(self.estimate - factor * (self.estimate - self.low), bounds[0]),
            high=min(self.estimate + factor * (self.high - self.estimate), bounds[1]),
            method=f"{self.method}, widened {factor:g} times{reason and f' ({reason})'}",
        )


def wilson_interval(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Compute Wilson's score interval of a proportion of independent images.

    Parameters
    ----------
    successes, n
        Number of successes and of images. Fractions are allowed (an effective sample size).
        Without any image the interval is [0, 1].
    confidence
        Level, between 0 and 1.

    Raises
    ------
    InvalidInput
        Counts are negative or not finite, or there are more successes than images.

    Notes
    -----
    E. B. Wilson (1927), J. Am. Stat. Assoc. 22, 209-212; recommended by Brown, Cai and
    DasGupta (2001), Stat. Sci. 16, 101-133.

    Examples
    --------
    >>> interval = wilson_interval(81, 263)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.2553, 0.3662)
    """
    validation.check_confidence(confidence)
    if not (np.isfinite(n) and 0 <= successes <= n):
        raise InvalidInput(
            f"{successes} successes of {n} images", "Give 0 <= successes <= n, both finite."
        )
    if n == 0:
        return Interval(float("nan"), 0.0, 1.0, "Wilson", 0, warning="no images")
    # Four lines of our own: statsmodels takes 1.6 s to import, and SciPy wants whole numbers.
    z = normal_critical(confidence)
    estimate = float(successes / n)
    centre = (estimate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(estimate * (1 - estimate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low, high = centre - half, centre + half
    return Interval(
        estimate,
        min(max(float(low), 0.0), estimate),  # rounding must not put the estimate outside
        max(min(float(high), 1.0), estimate),
        "Wilson",
        round(n),
    )
