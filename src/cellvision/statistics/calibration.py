"""Whether a probability of 0.9 comes true nine times in ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import checks
from cellvision.statistics.intervals import accuracy_interval


@dataclass(frozen=True, eq=False)
class Calibration:
    """The reliability curve of a classifier's most probable class, and two summaries.

    Attributes
    ----------
    edges : numpy.ndarray
        (bins + 1,) limits of the bins of confidence, from 0 to 1.
    counts : numpy.ndarray
        (bins,) images in each.
    confidence, accuracy : numpy.ndarray
        (bins,) mean probability of the predicted class, and share of right answers; NaN where a
        bin is empty.
    low, high : numpy.ndarray
        (bins,) interval of that accuracy; [0, 1] where a bin is empty.
    method : str
        How these limits were made.
    expected_calibration_error : float
        Mean of ``|accuracy - confidence|`` over bins, weighted by images, from 0 to 1. Biased
        upwards where images are few: a perfectly calibrated network does not get 0.
    brier : float
        Mean over images of the summed squared difference between probabilities and truth, from
        0 to 2 (for two classes: twice the score of one of them).
    n : int
        Images.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.intp]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    method: str
    expected_calibration_error: float
    brier: float
    n: int


def calibration(
    labels: ArrayLike,
    probabilities: ArrayLike,
    bins: int = 10,
    groups: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> Calibration:
    """Compare what a network claims with what comes true.

    Parameters
    ----------
    labels
        (n,) class numbers from 0, or names with ``class_names``.
    probabilities
        (n, classes) from 0 to 1; each row sums to 1.
    bins
        Bins of equal width of the predicted class's probability.
    groups
        (n,) the unit each image came from: widens the limits of each bin.
    class_names
        Names in the order of the columns.
    confidence
        Level of the limits.

    Raises
    ------
    InvalidInput
        No image, probabilities that are NaN or do not sum to 1, or an unknown label.

    Notes
    -----
    Expected calibration error: Guo et al. (2017), ICML, arXiv 1706.04599. Brier (1950), Mon.
    Weather Rev. 78, 1-3.

    Examples
    --------
    >>> result = calibration([0, 1, 1, 0], [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.9, 0.1]])
    >>> round(result.brier, 3), round(result.expected_calibration_error, 3)
    (0.25, 0.3)
    """
    checks.confidence_level(confidence)
    if bins < 1:
        raise InvalidInput(f"bins is {bins}", "Give 1 or more.")
    label, table, _ = checks.class_probabilities(labels, probabilities, class_names)
    n = len(label)
    off = np.abs(table.sum(axis=1) - 1) > 0.01
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise InvalidInput(
            f"probabilities row {row} sums to {table[row].sum():.4g}",
            "Give probabilities (after softmax) of all classes.",
        )
    group = None if groups is None else checks.group_index(groups, n, "labels")
    predicted = table.argmax(axis=1)
    claimed = table[np.arange(n), predicted]
    right = predicted == label
    # A claim on an edge belongs to the bin below it, as 1 does to the last bin.
    place = np.clip(np.ceil(claimed * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_claim = np.bincount(place, weights=claimed, minlength=bins) / counts
        accuracy = np.bincount(place, weights=right, minlength=bins) / counts
    low, high = np.zeros(bins), np.ones(bins)
    for number in np.flatnonzero(counts):
        here = place == number
        limits = accuracy_interval(right[here], None if group is None else group[here], confidence)
        low[number], high[number] = limits.low, limits.high
    gap = np.abs(accuracy - mean_claim)[counts > 0]
    truth = np.zeros_like(table)
    truth[np.arange(n), label] = 1
    return Calibration(
        np.linspace(0, 1, bins + 1),
        counts,
        mean_claim,
        accuracy,
        low,
        high,
        "Wilson" if group is None else "over groups, as for an accuracy",
        float((gap * counts[counts > 0]).sum() / n),
        float(((table - truth) ** 2).sum(axis=1).mean()),
        n,
    )
