"""Calibration curve: how often predicted probabilities come true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput
from cellvision.statistics import validation
from cellvision.statistics.accuracy import (
    CROSS_VALIDATION_FACTOR,
    accuracy_interval,
    cross_validated_accuracy,
)

_SIMULATIONS = 500  # of a perfectly calibrated network


@dataclass(frozen=True, eq=False)
class Calibration:
    """Reliability curve of the predicted class, and two summaries.

    Attributes
    ----------
    edges : numpy.ndarray
        (bins + 1,) edges of the confidence bins, from 0 to 1.
    counts : numpy.ndarray
        (bins,) images in each bin.
    confidence, accuracy : numpy.ndarray
        (bins,) mean probability of the predicted class, and accuracy; NaN in empty bins.
    low, high : numpy.ndarray
        (bins,) interval of that accuracy; [0, 1] in empty bins.
    method : str
        How these limits were computed.
    expected_calibration_error : float
        Mean of ``|accuracy - confidence|`` over bins, weighted by images, from 0 to 1. Biased
        upwards if images are few; compare it with `expected_if_calibrated`.
    expected_if_calibrated : float
        The same of a perfectly calibrated network with these probabilities, on average
        (simulated; images taken as independent).
    brier : float
        Mean over images of the summed squared difference between probabilities and truth, from
        0 to 2 (with two classes, twice the score of one).
    n : int
        Number of images.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.intp]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    method: str
    expected_calibration_error: float
    expected_if_calibrated: float
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
    cross_validated: bool = False,
) -> Calibration:
    """Compare predicted probabilities with observed frequencies.

    Parameters
    ----------
    labels
        (n,) class numbers from 0, or names with ``class_names``.
    probabilities
        (n, classes) from 0 to 1; rows sum to 1.
    bins
        Number of bins of equal width, by the predicted class's probability.
    groups
        (n,) the group of each image; widens the limits of each bin.
    class_names
        Names in the order of the columns.
    confidence
        Level of the limits.
    cross_validated
        Whether predictions are pooled over folds: the limits are then widened.

    Raises
    ------
    InvalidInput
        There is no image, probabilities are NaN or do not sum to 1, or a label is unknown.

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
    validation.check_confidence(confidence)
    if bins < 1:
        raise InvalidInput(f"bins is {bins}", "Give 1 or more.")
    label, table, _ = validation.class_probabilities(labels, probabilities, class_names)
    n = len(label)
    off = np.abs(table.sum(axis=1) - 1) > 0.01
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise InvalidInput(
            f"probabilities row {row} sums to {table[row].sum():.4g}",
            "Give probabilities (after softmax) of all classes.",
        )
    group = None if groups is None else validation.group_index(groups, n, "labels")
    predicted = table.argmax(axis=1)
    claimed = table[np.arange(n), predicted]
    right = predicted == label
    bin_of = _bins(claimed, bins)
    counts = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_claimed = np.bincount(bin_of, weights=claimed, minlength=bins) / counts
        accuracy = np.bincount(bin_of, weights=right, minlength=bins) / counts
    low, high = np.zeros(bins), np.ones(bins)
    interval = cross_validated_accuracy if cross_validated else accuracy_interval
    for number in np.flatnonzero(counts):
        rows = bin_of == number
        limits = interval(right[rows], None if group is None else group[rows], confidence)
        low[number], high[number] = limits.low, limits.high
    widened = f", widened {CROSS_VALIDATION_FACTOR:g} times" if cross_validated else ""
    truth = np.zeros_like(table)
    truth[np.arange(n), label] = 1
    return Calibration(
        np.linspace(0, 1, bins + 1),
        counts,
        mean_claimed,
        accuracy,
        low,
        high,
        f"{'Wilson' if group is None else 'beta-binomial over groups'}{widened}",
        float(_calibration_error(right[None].astype(float), claimed, bin_of)[0]),
        _expected_error(claimed, bin_of),
        float(((table - truth) ** 2).sum(axis=1).mean()),
        n,
    )


def _bins(claimed: NDArray[np.float64], bins: int) -> NDArray[np.intp]:
    """Return each probability's bin; one on an edge belongs to the bin below, 1 to the last."""
    return np.clip(np.ceil(claimed * bins).astype(np.intp) - 1, 0, bins - 1)


def _calibration_error(
    right: NDArray[np.float64], claimed: NDArray[np.float64], bin_of: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Expected calibration error of each row of right answers, (rows, n)."""
    gap = right - claimed
    errors = [np.abs(gap[:, bin_of == b].sum(axis=1)) for b in np.unique(bin_of)]
    return np.asarray(np.sum(errors, axis=0) / len(claimed))


def _expected_error(claimed: NDArray[np.float64], bin_of: NDArray[np.intp]) -> float:
    """Mean error where each answer is right with the probability claimed for it."""
    rng = np.random.default_rng(0)
    rows = int(np.clip(2_000_000 // len(claimed), 20, _SIMULATIONS))
    right = rng.random((rows, len(claimed))) < claimed
    return float(_calibration_error(right.astype(float), claimed, bin_of).mean())
