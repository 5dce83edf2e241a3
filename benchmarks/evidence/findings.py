"""Rule D: how often a comparison with a control is called 'more' or 'no more' wrongly."""

from __future__ import annotations

import numpy as np

from benchmarks.evidence.designs import group_accuracies
from benchmarks.evidence.table import Figure
from cellvision.statistics import compare_with_control, paired_difference

DEFAULT = 300
IMAGES = 6


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return the rates for 3 to 20 wells of each of two classes."""
    figures = []
    for wells in (3, 5, 8, 12, 20):
        better = findings(rng, wells, 0.85, 0.75, simulations)
        equal = findings(rng, wells, 0.80, 0.80, simulations)
        figures += [
            Figure(
                f"10 points better called 'no more', {wells} wells a class",
                better.count("no more") / simulations,
                simulations,
                "<= 0.07",
            ),
            Figure(
                f"equal called 'more', {wells} wells a class",
                equal.count("more") / simulations,
                simulations,
                "<= 0.05",
            ),
            Figure(
                f"10 points better called 'more' (power), {wells} wells a class",
                better.count("more") / simulations,
                simulations,
            ),
            Figure(
                f"equal called 'no more' (power), {wells} wells a class",
                equal.count("no more") / simulations,
                simulations,
            ),
        ]
    return figures


def findings(
    rng: np.random.Generator, wells: int, network: float, control: float, simulations: int
) -> list[str]:
    """Compare a network and a control with these accuracies; wells scatter (correlation 0.15)."""
    groups = np.repeat(np.arange(2 * wells), IMAGES)
    result: list[str] = []
    for seed in range(simulations):
        right = [
            rng.random(len(groups)) < group_accuracies(rng, mean, 0.15, 2 * wells)[groups]
            for mean in (network, control)
        ]
        difference, equivalence = (
            paired_difference(right[0], right[1], groups, level, seed) for level in (0.95, 0.90)
        )
        result.append(compare_with_control(difference, equivalence))
    return result
