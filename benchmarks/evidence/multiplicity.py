"""Rule G: several arms on one test set, and repeated looks."""

from __future__ import annotations

import numpy as np

from benchmarks.evidence.arms import ARMS_OF, Arms, ArmsOf, drawn_arms
from benchmarks.evidence.table import Figure
from cellvision.statistics import LookCount, max_t_test, pairwise_differences

DEFAULT = 200

STRENGTHS = {
    "drawn from distributions": (0.66,),  # accuracy
    "settings of one method": (0.6, 0.8),  # class effect, in SDs of the images
    "different methods": (0.6, 0.8),
}
"""How strong the phenotype is, by kind of arms; chosen for a power of 0.5 to 0.9."""


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return false rates of 12 arms with and without adjustment, power, and looks."""
    figures = []
    for kind, arms_of in ARMS_OF.items():
        for wells in (5, 8):
            nothing = 0.5 if arms_of is drawn_arms else 0.0
            plain, adjusted = any_learned(rng, arms_of, wells, nothing, simulations)
            name = f"12 arms, {kind}, {wells} wells a class"
            figures += [
                Figure(f"nothing to learn, some arm 'learned', adjusted: {name}", adjusted,
                       simulations, "<= 0.06"),
                Figure(f"the same without adjustment: {name}", plain, simulations),
            ]  # fmt: skip
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            figures += power(rng, kind, strength, simulations)
    return [
        *figures,
        Figure("20 looks by 20 settings, any 'learned' with p x looks", looks(rng, simulations),
               simulations, "<= 0.104"),
        Figure("12 equal arms, some pair differs", any_pair(rng, 16, simulations), simulations,
               "<= 0.05"),
    ]  # fmt: skip


def any_learned(
    rng: np.random.Generator, arms_of: ArmsOf, wells: int, strength: float, simulations: int
) -> tuple[float, float]:
    """Return how often some arm has p <= 0.05, before and after adjustment."""
    learned = [
        p.min(axis=1) <= 0.05
        for p in (p_values(arms_of(rng, wells, strength), seed) for seed in range(simulations))
    ]
    plain, adjusted = np.mean(learned, axis=0)
    return float(plain), float(adjusted)


def power(
    rng: np.random.Generator, kind: str, strength: float, simulations: int, wells: int = 8
) -> list[Figure]:
    """Return the power of the first arm and of all, before and after adjustment."""
    learned, agreements = [], []
    for seed in range(simulations):
        arms = ARMS_OF[kind](rng, wells, strength)
        learned.append(p_values(arms, seed) <= 0.05)
        agreements.append(arms.agreement())
    plain, adjusted = np.mean(learned, axis=0)
    same, correlation = np.nanmean(agreements, axis=0)
    name = f"12 arms, {kind} ({strength}), {wells} wells a class"
    return [
        Figure(f"power of the first arm, alone: {name}", float(plain[0]), simulations),
        Figure(f"power lost by adjustment: {name}", float(plain[0] - adjusted[0]), simulations,
               "<= 0.15"),
        Figure(f"the same, mean of the arms: {name}", float((plain - adjusted).mean()),
               simulations),
        Figure(f"two arms give the same answer: {name}", float(same), simulations),
        Figure(f"correlation of their accuracies in wells: {name}", float(correlation),
               simulations),
    ]  # fmt: skip


def p_values(arms: Arms, seed: int) -> np.ndarray:
    """Return p and adjusted p of each arm, (2, arms)."""
    tests = max_t_test(arms.label, arms.predictions, arms.well, permutations=499, seed=seed)
    return np.array([[test.p, test.adjusted_p] for test in tests.values()]).T


def looks(rng: np.random.Generator, simulations: int) -> float:
    """Return how often any of 20 looks is called learned; nothing is to be learned."""
    hits = 0
    for seed in range(simulations):
        first, second = drawn_arms(rng, 8, 0.5), drawn_arms(rng, 8, 0.5)
        more = {f"more {name}": answers for name, answers in second.predictions.items()}
        both = {**first.predictions, **more}
        tests = max_t_test(first.label, both, first.well, permutations=499, seed=seed)
        counts = [LookCount(number, number) for number in range(1, 21)]
        hits += any(
            count.adjust(test.p) <= 0.05 and not count.withheld
            for count, test in zip(counts, list(tests.values())[:20], strict=True)
        )
    return hits / simulations


def any_pair(rng: np.random.Generator, wells: int, simulations: int) -> float:
    """Return how often the simultaneous intervals of 12 equal arms exclude zero anywhere."""
    hits = 0
    for seed in range(simulations):
        arms = drawn_arms(rng, wells // 2, 0.75)
        right = {name: predicted == arms.label for name, predicted in arms.predictions.items()}
        intervals = pairwise_differences(right, arms.well, seed=seed).values()
        hits += any(interval.low > 0 or interval.high < 0 for interval in intervals)
    return hits / simulations
