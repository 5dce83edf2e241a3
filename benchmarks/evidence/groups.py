"""Rule H: power of answers for groups, from mean probabilities and from votes."""

from __future__ import annotations

import numpy as np

from benchmarks.evidence.table import Figure
from cellvision.statistics import permutation_test, score_groups

DEFAULT = 300
IMAGES = 6


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return power with a weak phenotype, and the null rate."""
    figures = []
    for wells, effect in ((4, 0.45), (8, 0.3)):
        mean, votes = rates(rng, wells, effect, simulations)
        figures += [
            Figure(f"power, mean probability: {wells} wells a class", mean, simulations),
            Figure(f"power, majority votes: {wells} wells a class", votes, simulations),
        ]
    mean, _ = rates(rng, 8, 0.0, simulations)
    return [*figures, Figure("false p <= 0.05, mean probability", mean, simulations, "<= 0.05")]


def rates(
    rng: np.random.Generator, wells: int, effect: float, simulations: int
) -> tuple[float, float]:
    """Return how often p <= 0.05 with mean probabilities, and with one vote per group."""
    mean = votes = 0
    well = np.repeat(np.arange(2 * wells), IMAGES)
    label = well % 2
    of_well = np.arange(2 * wells) % 2
    for seed in range(simulations):
        logit = effect * (2 * label - 1) + 0.5 * rng.normal(size=2 * wells)[well]
        probability = 1 / (1 + np.exp(-(logit + rng.normal(size=len(well)))))
        table = np.stack([1 - probability, probability], axis=1)
        scores = score_groups(label, table, well, permutations=499, seed=seed)
        assert scores.test is not None
        mean += scores.test.p <= 0.05
        vote = np.bincount(well, weights=probability > 0.5) > IMAGES / 2
        votes += permutation_test(of_well, vote.astype(int), permutations=499, seed=seed).p <= 0.05
    return mean / simulations, votes / simulations
