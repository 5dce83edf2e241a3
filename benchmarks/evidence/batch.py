"""Rule C: false 'learned' where plates explain the classes, and power where they do not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence.designs import LEARNERS, Learner, simulate_images
from benchmarks.evidence.table import Figure
from cellvision.statistics import permutation_test

DEFAULT = 200
WELLS = 64
DESIGNS = ("crossed", "random", "60/40", "80/20", "nested")


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return false rates of 40 designs, and the power that permuting within plates costs."""
    figures = []
    for design in DESIGNS:
        for plates in (2, 4, 8, 16):
            for plate_sd in (0.5, 1.0):
                rates = [
                    rate(rng, design, plates, plate_sd, learner, simulations // 2)
                    for learner in (LEARNERS["ridge LDA"], LEARNERS["1-nearest neighbour"])
                ]
                within, across = np.mean(rates, axis=0)
                name = f"{design}, {plates} plates, SD {plate_sd}"
                figures.append(
                    Figure(f"false learned: {name}", float(within), simulations, "<= 0.05")
                )
                if plates == 8 and plate_sd == 1.0:
                    figures.append(
                        Figure(f"the same, wells swap across plates: {name}", float(across),
                               simulations)
                    )  # fmt: skip
    for plates in (4, 8):
        within, across = rate(
            rng, "crossed", plates, 0.5, LEARNERS["ridge LDA"], simulations, effect=0.6
        )
        name = f"crossed, {plates} plates, with a phenotype"
        figures += [
            Figure(f"power within plates: {name}", within, simulations),
            Figure(f"power lost by it: {name}", across - within, simulations, "<= 0.03"),
        ]
    return figures


def assign_wells(
    rng: np.random.Generator, design: str, plates: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return class and plate of each well."""
    plate = np.arange(WELLS) % plates
    kind = plate % 2
    share = {"60/40": 0.6, "80/20": 0.8}.get(design)
    if design == "nested":
        return kind, plate
    if design == "random":
        return rng.permutation(np.arange(WELLS) % 2), plate
    label = np.empty(WELLS, dtype=np.intp)
    for number in range(plates):
        own = np.flatnonzero(plate == number)
        ones = len(own) / 2 if share is None else len(own) * (share if number % 2 else 1 - share)
        label[own] = rng.permutation((np.arange(len(own)) < round(ones)).astype(np.intp))
    return label, plate


def rate(
    rng: np.random.Generator,
    design: str,
    plates: int,
    plate_sd: float,
    learner: Learner,
    simulations: int,
    effect: float = 0.0,
) -> tuple[float, float]:
    """Return how often p <= 0.05 within plates, and across them; half of the wells are tested."""
    within = across = 0
    for _ in range(simulations):
        label, plate = assign_wells(rng, design, plates)
        images = simulate_images(rng, label, plate, plate_sd=plate_sd, effect=effect)
        held_out = _half_of_each(rng, label, plate)[images.well]
        training, test = images.take(~held_out), images.take(held_out)
        predicted = learner(training.features, training.label, test.features)
        seed = int(rng.integers(1 << 30))
        if design != "nested":  # the audit says so; there is no 'learned'
            within += _p(test.label, predicted, test.well, test.plate, seed) <= 0.05
        across += _p(test.label, predicted, test.well, None, seed) <= 0.05
    return within / simulations, across / simulations


def _half_of_each(
    rng: np.random.Generator, label: NDArray[np.intp], plate: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Hold out every second well of each class on each plate, in random order."""
    order = rng.permutation(WELLS)
    order = order[np.lexsort((label[order], plate[order]))]
    held_out = np.zeros(WELLS, dtype=bool)
    held_out[order[1::2]] = True
    return held_out


def _p(
    labels: NDArray[np.intp],
    predicted: NDArray[np.intp],
    wells: NDArray[np.intp],
    plates: NDArray[np.intp] | None,
    seed: int,
) -> float:
    return permutation_test(labels, predicted, wells, batches=plates, permutations=299, seed=seed).p
