"""Rule E: coverage, null rate and power of pooled out-of-fold predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence.designs import LEARNERS, Images, Learner, simulate_images
from benchmarks.evidence.table import Figure
from cellvision.statistics import accuracy_interval, cross_validated_accuracy, permutation_test

DEFAULT = 150
FOLDS = 5


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return coverage for three learners, and how often 'learned' is said."""
    figures = []
    for name, learner in LEARNERS.items():
        for wells in (8, 20, 40, 80):
            widened, plain = coverage(rng, learner, wells, simulations)
            figures += [
                Figure(f"coverage: {name}, {wells} groups", widened, simulations, ">= 0.92"),
                Figure(f"coverage, not widened: {name}, {wells} groups", plain, simulations),
            ]
    for name, learner in LEARNERS.items():
        figures.append(
            Figure(
                f"false learned: {name}, 24 wells",
                learned(rng, learner, 24, 0.0, simulations)[0],
                simulations,
                "<= 0.05",
            )
        )
    power, accuracy = learned(rng, LEARNERS["ridge LDA"], 24, 1.0, simulations)
    figures += [
        Figure("power: 12 wells a class, ridge LDA", power, simulations, ">= 0.9"),
        Figure("its mean accuracy", accuracy, simulations),
    ]
    return figures


def out_of_fold(
    rng: np.random.Generator, images: Images, learner: Learner, new: Images | None = None
) -> tuple[NDArray[np.bool_], float]:
    """Return which out-of-fold predictions are right, and the folds' accuracy on new wells."""
    wells = int(images.well.max()) + 1
    label = images.label[np.searchsorted(images.well, np.arange(wells))]
    fold = np.empty(wells, dtype=np.intp)
    order = rng.permutation(wells)
    fold[order[np.argsort(label[order], kind="stable")]] = np.arange(wells) % FOLDS
    right = np.empty(len(images.label), dtype=bool)
    truth = []
    for number in range(FOLDS):
        held_out = fold[images.well] == number
        training, test = images.take(~held_out), images.take(held_out)
        stacked = test.features if new is None else np.vstack([test.features, new.features])
        predicted = learner(training.features, training.label, stacked)
        right[held_out] = predicted[: len(test.label)] == test.label
        if new is not None:
            truth.append(np.mean(predicted[len(test.label) :] == new.label))
    return right, float(np.mean(truth)) if truth else float("nan")


def coverage(
    rng: np.random.Generator, learner: Learner, wells: int, simulations: int
) -> tuple[float, float]:
    """Return how often the accuracy on new wells lies in the widened and the plain interval."""
    widened = plain = 0
    label, plate = np.arange(wells) % 2, np.zeros(wells, dtype=np.intp)
    fresh = np.arange(300) % 2, np.zeros(300, dtype=np.intp)
    for _ in range(simulations):
        images = simulate_images(rng, label, plate, images=5, effect=0.6, plate_sd=0.0)
        new = simulate_images(rng, *fresh, images=2, effect=0.6, plate_sd=0.0)
        right, truth = out_of_fold(rng, images, learner, new)
        wide = cross_validated_accuracy(right, images.well)
        narrow = accuracy_interval(right, images.well)
        widened += wide.low <= truth <= wide.high
        plain += narrow.low <= truth <= narrow.high
    return widened / simulations, plain / simulations


def learned(
    rng: np.random.Generator, learner: Learner, wells: int, effect: float, simulations: int
) -> tuple[float, float]:
    """Return how often p <= 0.05 and the widened limit is above chance, and the accuracy."""
    label, plate = np.arange(wells) % 2, np.zeros(wells, dtype=np.intp)
    hits, accuracies = 0, []
    for seed in range(simulations):
        images = simulate_images(rng, label, plate, images=5, effect=effect, plate_sd=0.0)
        right, _ = out_of_fold(rng, images, learner)
        accuracies.append(right.mean())
        predicted = np.where(right, images.label, 1 - images.label)
        p = permutation_test(images.label, predicted, images.well, permutations=299, seed=seed).p
        hits += p <= 0.05 and cross_validated_accuracy(right, images.well).low > 0.5
    return hits / simulations, float(np.mean(accuracies))
