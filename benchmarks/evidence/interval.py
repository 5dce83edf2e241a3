"""Rule A: coverage of the interval of an accuracy over groups."""

from __future__ import annotations

import numpy as np

from benchmarks.evidence.designs import group_accuracies, group_sizes
from benchmarks.evidence.table import Figure
from cellvision.statistics import accuracy_interval

DEFAULT = 200


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return the coverage for each correlation and number of groups, and the largest step."""
    figures = []
    for icc in (0.0, 0.1, 0.3, 0.5, 0.9):
        for groups in (4, 8, 15, 30):
            cells = [
                coverage(rng, groups, mean, icc, equal=equal, simulations=simulations)
                for mean, equal in ((0.6, True), (0.8, False), (0.95, True), (0.95, False))
            ]
            figures.append(
                Figure(
                    f"coverage, lowest of 4 cells: {groups} groups, correlation {icc}",
                    min(cells),
                    simulations,
                    ">= 0.93" if icc <= 0.5 else ">= 0.86",
                )
            )
    return [
        *figures,
        Figure(
            "largest rise of the lower limit for one error more",
            *(largest_rise(), 1, "<= 0.05"),
            exact=True,
        ),
    ]


def coverage(
    rng: np.random.Generator,
    groups: int,
    mean: float,
    icc: float,
    *,
    equal: bool,
    simulations: int,
) -> float:
    """Return the fraction of intervals that hold the true accuracy."""
    hits = 0
    for _ in range(simulations):
        index = np.repeat(np.arange(groups), group_sizes(rng, groups, 10, equal=equal))
        correct = rng.random(len(index)) < group_accuracies(rng, mean, icc, groups)[index]
        interval = accuracy_interval(correct, index)
        hits += interval.low <= mean <= interval.high
    return hits / simulations


def largest_rise() -> float:
    """Return the most that the lower limit rises from k to k + 1 errors of 72 images."""
    rises = [0.0]
    for groups in (np.arange(72) // 9, np.arange(72) % 8, np.arange(72) // 3, np.arange(72) % 24):
        lows = [accuracy_interval(np.arange(72) >= errors, groups).low for errors in range(10)]
        rises.append(float(np.diff(lows).max()))
    return max(rises)
