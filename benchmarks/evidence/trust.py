"""Rule J: coverage of prediction sets, broken promises of abstention, false flags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence.table import Figure
from cellvision.statistics import fit_abstention, fit_prediction_sets, fit_unlike_groups

DEFAULT = 100
IMAGES, NEW = 8, 400


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return the rates for a few and for more groups."""
    figures = []
    for groups in (10, 30):
        covered, broken = [], 0
        for _ in range(simulations):
            held_out, new = _predictions(rng, groups), _predictions(rng, NEW)
            sets = fit_prediction_sets(*held_out)
            inside = sets.sets(new[1])[np.arange(len(new[0])), new[0]]
            covered.append(inside.mean())
            rule = fit_abstention(*held_out, accuracy=0.85)
            answered = rule.answers(new[1])
            right = new[1].argmax(axis=1) == new[0]
            broken += int(answered.any() and right[answered].mean() < 0.85)
        figures += [
            Figure(f"coverage of sets of 0.90: {groups} groups", float(np.mean(covered)),
                   simulations, ">= 0.90"),
            Figure(f"abstention breaks its promise: {groups} groups", broken / simulations,
                   simulations, "<= 0.10"),
        ]  # fmt: skip
    flags = [_flagged(rng) for _ in range(20 * simulations)]
    return [*figures, Figure("false flags of unlike groups: 19 groups", float(np.mean(flags)),
                             20 * simulations, "<= 0.05")]  # fmt: skip


def _predictions(
    rng: np.random.Generator, groups: int
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp]]:
    well = np.repeat(np.arange(groups), IMAGES)
    label = well % 2
    logit = 1.2 * (2 * label - 1) + 0.8 * rng.normal(size=groups)[well]
    probability = 1 / (1 + np.exp(-(logit + rng.normal(size=len(well)))))
    return label, np.stack([1 - probability, probability], axis=1), well


def _flagged(rng: np.random.Generator) -> bool:
    well = np.repeat(np.arange(20), 5)
    distance = np.abs(rng.normal(size=20)[well] + rng.normal(size=len(well)))
    held_out = well < 19
    flag = fit_unlike_groups(distance[held_out], well[held_out])
    return flag.is_unlike(distance[~held_out])
