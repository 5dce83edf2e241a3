"""Rule G: several arms on one test set, and repeated looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence.table import Figure
from cellvision.statistics import LookCount, max_t_test, pairwise_differences

DEFAULT = 200
ARMS, IMAGES = 12, 4


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return false rates of 12 arms with and without adjustment, power, and looks."""
    figures = []
    for wells in (5, 8):
        plain, adjusted = any_learned(rng, wells, 0.5, simulations)
        figures += [
            Figure(f"nothing to learn, some of 12 arms 'learned', adjusted: {wells} wells a class",
                   adjusted, simulations, "<= 0.06"),
            Figure(f"the same without adjustment: {wells} wells a class", plain, simulations),
        ]  # fmt: skip
    plain, adjusted = one_learned(rng, 8, 0.66, simulations)
    figures += [
        Figure("power of one of 12 arms, alone: 8 wells a class", plain, simulations),
        Figure("power lost by adjustment", plain - adjusted, simulations, "<= 0.15"),
        Figure("20 looks by 20 settings, any 'learned' with p x looks", looks(rng, simulations),
               simulations, "<= 0.104"),
        Figure("12 equal arms, some pair differs", any_pair(rng, 16, simulations), simulations,
               "<= 0.05"),
    ]  # fmt: skip
    return figures


def _arms(
    rng: np.random.Generator, wells: int, accuracy: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], dict[str, NDArray[np.intp]]]:
    """Predictions of arms that agree in part on what they see in each well."""
    well = np.repeat(np.arange(2 * wells), IMAGES)
    label = well % 2
    shared = rng.normal(size=2 * wells)
    shift = _quantile(accuracy)
    arms = {}
    for arm in range(ARMS):
        lean = 0.8 * shared + 0.6 * rng.normal(size=2 * wells)
        score = lean[well] + rng.normal(size=len(well)) + (2 * label - 1) * shift * 1.41
        arms[f"arm {arm}"] = (score > 0).astype(np.intp)
    return label, well, arms


def _quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


def any_learned(
    rng: np.random.Generator, wells: int, accuracy: float, simulations: int
) -> tuple[float, float]:
    """Return how often some arm has p <= 0.05, before and after adjustment."""
    plain = adjusted = 0
    for seed in range(simulations):
        label, well, arms = _arms(rng, wells, accuracy)
        tests = max_t_test(label, arms, well, permutations=499, seed=seed).values()
        plain += min(test.p for test in tests) <= 0.05
        adjusted += min(test.adjusted_p for test in tests) <= 0.05
    return plain / simulations, adjusted / simulations


def one_learned(
    rng: np.random.Generator, wells: int, accuracy: float, simulations: int
) -> tuple[float, float]:
    """Return how often the first arm has p <= 0.05, before and after adjustment."""
    plain = adjusted = 0
    for seed in range(simulations):
        label, well, arms = _arms(rng, wells, accuracy)
        test = max_t_test(label, arms, well, permutations=499, seed=seed)["arm 0"]
        plain += test.p <= 0.05
        adjusted += test.adjusted_p <= 0.05
    return plain / simulations, adjusted / simulations


def looks(rng: np.random.Generator, simulations: int) -> float:
    """Return how often any of 20 looks is called learned; nothing is to be learned."""
    hits = 0
    for seed in range(simulations):
        label, well, arms = _arms(rng, 8, 0.5)
        _, _, more = label, well, _arms(rng, 8, 0.5)[2]
        tests = max_t_test(label, arms | {f"more {k}": v for k, v in more.items()}, well,
                           permutations=499, seed=seed)  # fmt: skip
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
        label, well, arms = _arms(rng, wells // 2, 0.75)
        right = {name: predicted == label for name, predicted in arms.items()}
        intervals = pairwise_differences(right, well, seed=seed).values()
        hits += any(interval.low > 0 or interval.high < 0 for interval in intervals)
    return hits / simulations
