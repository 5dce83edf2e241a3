"""Cohen's kappa: agreement of two raters, or of one rater with himself, beyond chance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from cellvision.statistics import resampling, validation
from cellvision.statistics.intervals import wilson_interval
from cellvision.statistics.metrics import kappa_interval


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of two ratings of the same images.

    Attributes
    ----------
    kappa : float
        (agreement - chance) / (1 - chance): 1 full agreement, 0 as by chance. NaN if both raters
        gave every image the same one answer.
    low, high : float
        Its interval, within [-1, 1].
    agreement : float
        Fraction of images with the same answer.
    chance : float
        The fraction expected from the raters' habits alone.
    method : str
        How the limits were computed.
    n : int
        Number of images rated by both.
    warning : str or None
        Why the limits deserve less trust than usual.
    groups : int or None
        Number of groups; None if images count as independent.
    """

    kappa: float
    low: float
    high: float
    agreement: float
    chance: float
    method: str
    n: int
    warning: str | None = None
    groups: int | None = None


def cohen_kappa(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95, *, groups: ArrayLike | None = None
) -> Kappa:
    """Compute Cohen's kappa with its interval.

    Parameters
    ----------
    a, b
        (n,) the two answers on each image: of two raters, or of one rater twice.
    confidence
        Level, between 0 and 1.
    groups
        (n,) the group of each image; then the interval comes from the bootstrap over groups.
        None: images are independent.

    Raises
    ------
    InvalidInput
        There is no image, or lengths differ.

    Notes
    -----
    J. Cohen (1960), Educ. Psychol. Meas. 20, 37-46; large-sample variance of Fleiss, Cohen and
    Everitt (1969), Psychol. Bull. 72, 323-327. If the raters agree on every image, or one of them
    never varies, that variance is 0, and the limits come from Wilson's interval of the agreement.

    Examples
    --------
    >>> a = ["yes"] * 25 + ["no"] * 25
    >>> b = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    >>> result = cohen_kappa(a, b)
    >>> round(result.kappa, 2), result.low < 0.4 < result.high
    (0.4, True)
    """
    validation.check_confidence(confidence)
    first, second = validation.check_column(a, "a"), validation.check_column(b, "b")
    validation.check_same_length(a=first, b=second)
    x, y, answers = validation.encode_together(first, second, ("a", "b"))
    n, size = len(x), len(answers)
    table = np.bincount(x * size + y, minlength=size * size).reshape(size, size)
    same = int(np.diag(table).sum())
    agreement = same / n
    chance = float((table.sum(axis=0) * table.sum(axis=1)).sum() / n**2)
    count = None if groups is None else int(validation.group_index(groups, n, "a").max()) + 1
    build = partial(Kappa, agreement=agreement, chance=chance, n=n, groups=count)
    if size == 1:
        warning: str | None = "one answer throughout"
        return build(float("nan"), -1.0, 1.0, method="no interval", warning=warning)
    kappa = (agreement - chance) / (1 - chance)
    if count is not None:
        limits = kappa_interval(x, y, groups, confidence=confidence)
        return build(kappa, limits.low, limits.high, method=limits.method, warning=limits.warning)
    from statsmodels.stats.inter_rater import cohens_kappa

    with np.errstate(invalid="ignore", divide="ignore"):  # full agreement, or a constant rater
        spread = float(cohens_kappa(table).std_kappa)
    warning = None
    if spread > 1e-9:
        half = resampling.normal_critical(confidence) * spread
        low, high, method = kappa - half, kappa + half, "large-sample"
        if n < 50:
            warning = f"only {n} images for a large-sample interval"
    else:
        wilson = wilson_interval(same, n, confidence)
        low, high = ((limit - chance) / (1 - chance) for limit in (wilson.low, wilson.high))
        method = "Wilson of the agreement"
        warning = "full agreement" if same == n else "one rater gave one answer throughout"
    low, high = max(min(low, kappa), -1.0), min(max(high, kappa), 1.0)
    return build(kappa, low, high, method=method, warning=warning)
