"""Rule D: how often a comparison with a control is called 'more' or 'no more' wrongly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    return [*figures, *similar(simulations, rng)]


def similar(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return the rates for a network and a control that make nearly the same errors."""
    figures = []
    for wells in (5, 8, 20):
        for icc in (0.15, 0.5):
            name = f"similar errors, {wells} wells a class, correlation {icc}"
            better = findings_of_similar(rng, wells, 0.10, 0.0, icc, simulations)
            equal = findings_of_similar(rng, wells, 0.01, 0.01, icc, simulations)
            figures += [
                Figure(f"10 points better called 'no more', {name}",
                       better.count("no more") / simulations, simulations, "<= 0.07"),
                Figure(f"equal called 'more', {name}", equal.count("more") / simulations,
                       simulations, "<= 0.05"),
                Figure(f"equal called 'no more' (power), {name}",
                       equal.count("no more") / simulations, simulations),
            ]  # fmt: skip
    return figures


def findings(
    rng: np.random.Generator, wells: int, network: float, control: float, simulations: int
) -> list[str]:
    """Compare a network and a control with these accuracies; wells scatter (correlation 0.15)."""
    groups = np.repeat(np.arange(2 * wells), IMAGES)
    pairs = (
        [
            rng.random(len(groups)) < group_accuracies(rng, mean, 0.15, 2 * wells)[groups]
            for mean in (network, control)
        ]
        for _ in range(simulations)
    )
    return [finding(a, b, groups, seed) for seed, (a, b) in enumerate(pairs)]


def findings_of_similar(
    rng: np.random.Generator,
    wells: int,
    only_network: float,
    only_control: float,
    icc: float,
    simulations: int,
) -> list[str]:
    """Compare two that agree on all images but these shares, which are clustered in wells."""
    groups = np.repeat(np.arange(2 * wells), IMAGES)
    differ = only_network + only_control
    result = []
    for seed in range(simulations):
        share = group_accuracies(rng, differ, icc, 2 * wells)
        differs = rng.random(len(groups)) < share[groups]
        better = rng.random(len(groups)) < only_network / differ
        both = rng.random(len(groups)) < 0.9
        network, control = np.where(differs, better, both), np.where(differs, ~better, both)
        result.append(finding(network, control, groups, seed))
    return result


def finding(
    network: NDArray[np.bool_], control: NDArray[np.bool_], groups: NDArray[np.intp], seed: int
) -> str:
    """Return the finding for one test set."""
    difference, equivalence = (
        paired_difference(network, control, groups, level, seed) for level in (0.95, 0.90)
    )
    return compare_with_control(difference, equivalence)
