"""How far two raters, or one rater twice, agree beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cellvision.errors import InvalidInput
from cellvision.statistics import checks, resampling
from cellvision.statistics.intervals import wilson


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of two ratings of the same images.

    Attributes
    ----------
    kappa : float
        (agreement - chance) / (1 - chance): 1 full agreement, 0 as by chance. NaN where both
        raters gave every image the same one answer.
    low, high : float
        Its interval, within [-1, 1].
    agreement : float
        Share of images with the same answer.
    chance : float
        The share that the raters' habits alone would give.
    method : str
        How the limits were made.
    n : int
        Images rated by both.
    warning : str or None
        Why the limits deserve less trust than usual.
    """

    kappa: float
    low: float
    high: float
    agreement: float
    chance: float
    method: str
    n: int
    warning: str | None = None


def cohen_kappa(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Kappa:
    """Cohen's kappa with its interval, images taken as independent.

    Parameters
    ----------
    a, b
        (n,) the two answers on each image: two raters, or one rater twice. For images in groups,
        `group_bootstrap((a, b), groups, sklearn.metrics.cohen_kappa_score, bounds=(-1, 1))`.
    confidence
        Level, between 0 and 1.

    Raises
    ------
    InvalidInput
        No image, or lengths that differ.

    Notes
    -----
    J. Cohen (1960), Educ. Psychol. Meas. 20, 37-46; large-sample variance of Fleiss, Cohen and
    Everitt (1969), Psychol. Bull. 72, 323-327. Where the raters agree on every image, or one
    of them never varies, that variance is 0, and the limits come from Wilson's interval of the
    agreement instead.

    Examples
    --------
    >>> a = ["yes"] * 25 + ["no"] * 25
    >>> b = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    >>> result = cohen_kappa(a, b)
    >>> round(result.kappa, 2), result.low < 0.4 < result.high
    (0.4, True)
    """
    checks.confidence_level(confidence)
    first, second = checks.column(a, "a"), checks.column(b, "b")
    checks.same_length(a=first, b=second)
    if (first.dtype.kind in "biuf") != (second.dtype.kind in "biuf"):
        raise InvalidInput(
            f"a is {first.dtype}, b {second.dtype}", "Give names or numbers in both."
        )
    n = len(first)
    distinct, index = checks.codes(np.concatenate([first, second]))
    size = len(distinct)
    table = np.bincount(index[:n] * size + index[n:], minlength=size * size).reshape(size, size)
    same = int(np.diag(table).sum())
    agreement = same / n
    chance = float((table.sum(axis=0) * table.sum(axis=1)).sum() / n**2)
    if size == 1:
        return Kappa(
            float("nan"), -1.0, 1.0, agreement, chance, "no interval", n, "one answer throughout"
        )
    kappa = (agreement - chance) / (1 - chance)
    from statsmodels.stats.inter_rater import cohens_kappa

    with np.errstate(invalid="ignore", divide="ignore"):  # full agreement, or one constant rater
        spread = float(cohens_kappa(table).std_kappa)
    warning: str | None = None
    if spread > 1e-9:
        half = resampling.normal_critical(confidence) * spread
        low, high, method = kappa - half, kappa + half, "large-sample"
        if n < 50:
            warning = f"only {n} images for a large-sample interval"
    else:
        limits = wilson(same, n, confidence)
        low, high = ((limit - chance) / (1 - chance) for limit in (limits.low, limits.high))
        method = "Wilson of the agreement"
        warning = "full agreement" if same == n else "one rater gave one answer throughout"
    return Kappa(
        kappa,
        max(min(low, kappa), -1.0),
        min(max(high, kappa), 1.0),
        agreement,
        chance,
        method,
        n,
        warning,
    )
