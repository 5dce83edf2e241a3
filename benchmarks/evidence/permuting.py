"""Rule B: what is permuted. Stray labels, mixed groups, and wells below a plate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence.table import Figure
from cellvision.statistics import permutation_test

DEFAULT = 200
PERMUTATIONS = 999


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return null rates, and how far stray labels move p."""
    moves = [abs(p_with_strays(rng, strays=0.05) - 1 / 70) for _ in range(simulations)]
    return [
        Figure(
            "p moved by 5 % stray labels, largest (8 wells)",
            *(max(moves), simulations, "<= 0.01"),
            exact=True,
        ),
        Figure(
            "false p <= 0.05: 20 wells of one class each",
            null_rate(rng, simulations, mixed=0.0),
            simulations,
            "<= 0.05",
        ),
        Figure(
            "false p <= 0.05: 20 wells, 5 % stray labels",
            null_rate(rng, simulations, mixed=0.05),
            simulations,
            "<= 0.05",
        ),
        Figure(
            "false p <= 0.05: 20 groups with 80 % one class",
            null_rate(rng, simulations, mixed=0.2),
            simulations,
            "<= 0.05",
        ),
        Figure(
            "false p <= 0.05: plates of 6 mixed wells, wells swap within plates",
            wells_on_plates(rng, simulations),
            simulations,
            "<= 0.05",
        ),
    ]


def p_with_strays(rng: np.random.Generator, strays: float) -> float:
    """Return p of a network that is right on all wells, of which some images are mislabelled."""
    wells = np.repeat(np.arange(8), 20)
    truth = wells // 4
    labels = truth.copy()
    wrong = rng.choice(len(labels), round(strays * len(labels)), replace=False)
    labels[wrong] = 1 - labels[wrong]
    test = permutation_test(
        labels, truth, wells, permutations=9999, seed=int(rng.integers(1 << 30))
    )
    return test.p


def null_rate(
    rng: np.random.Generator, simulations: int, mixed: float, permutations: int = PERMUTATIONS
) -> float:
    """Return how often a network that knows wells only has p <= 0.05."""
    hits = 0
    for _ in range(simulations):
        wells = np.repeat(np.arange(20), rng.integers(3, 10, 20))
        labels = rng.permutation(np.arange(20) % 2)[wells]
        labels = np.where(rng.random(len(wells)) < mixed, 1 - labels, labels)
        hits += _p(rng, labels, _leaning(rng, wells), wells, None, permutations) <= 0.05
    return hits / simulations


def wells_on_plates(rng: np.random.Generator, simulations: int) -> float:
    """Return the same for wells of both classes on each of four plates."""
    hits = 0
    wells = np.repeat(np.arange(24), 4)
    plates = wells // 6
    for _ in range(simulations):
        labels = np.concatenate([rng.permutation(np.arange(6) % 2) for _ in range(4)])[wells]
        hits += _p(rng, labels, _leaning(rng, wells), wells, plates) <= 0.05
    return hits / simulations


def _leaning(rng: np.random.Generator, wells: NDArray[np.intp]) -> NDArray[np.intp]:
    lean = rng.beta(0.5, 0.5, int(wells.max()) + 1)
    return (rng.random(len(wells)) < lean[wells]).astype(np.intp)


def _p(
    rng: np.random.Generator,
    labels: NDArray[np.intp],
    predictions: NDArray[np.intp],
    wells: NDArray[np.intp],
    plates: NDArray[np.intp] | None,
    permutations: int = PERMUTATIONS,
) -> float:
    seed = int(rng.integers(1 << 30))
    return permutation_test(
        labels, predictions, wells, batches=plates, permutations=permutations, seed=seed
    ).p
