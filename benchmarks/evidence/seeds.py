"""Rule F: coverage of the accuracy of a network trained anew."""

from __future__ import annotations

from math import sqrt

import numpy as np

from benchmarks.evidence.designs import group_accuracies
from benchmarks.evidence.table import Figure
from cellvision.statistics import accuracy_interval, retrained_interval

DEFAULT = 200
RUNS = 5


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return coverage for several spreads over seeds and numbers of groups."""
    figures = []
    for groups in (10, 30):
        for sd in (0.01, 0.03, 0.06):
            anew, these = coverage(rng, groups, sd, simulations)
            name = f"{groups} groups, SD over seeds {sd}, {RUNS} runs"
            figures += [
                Figure(f"coverage of a new seed, trained anew: {name}", anew, simulations,
                       ">= 0.92"),
                Figure(f"coverage of a new seed, these networks: {name}", these, simulations),
            ]  # fmt: skip
    return figures


def coverage(
    rng: np.random.Generator, groups: int, sd: float, simulations: int
) -> tuple[float, float]:
    """Return how often either interval holds the accuracy of a further seed on all groups."""
    anew = these = 0
    index = np.repeat(np.arange(groups), 12)
    for _ in range(simulations):
        seeds = np.clip(0.8 + rng.normal(0, sd, RUNS + 1), 0.05, 0.99)
        # Runs agree on which images are hard: errors share half of their variance.
        hard = rng.normal(size=len(index))
        shift = group_accuracies(rng, 0.8, 0.1, groups) - 0.8
        right = []
        for accuracy in seeds[:RUNS]:
            noise = (hard + rng.normal(size=len(index))) / sqrt(2)
            right.append(_normal_rank(noise) < np.clip(accuracy + shift[index], 0, 1))
        correct = np.mean(right, axis=0)
        interval = accuracy_interval(correct, index)
        retrained = retrained_interval(interval, np.mean(right, axis=1))
        assert retrained is not None
        anew += retrained.low <= seeds[-1] <= retrained.high
        these += interval.low <= seeds[-1] <= interval.high
    return anew / simulations, these / simulations


def _normal_rank(values: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return np.asarray(ndtr(values))
