"""Check the third constant of the verdict with real networks: where intervals slide to Wilson's.

The limits of an accuracy slide to Wilson's interval of as many images as there are groups while
the intraclass correlation goes from 0.5 to 0.8. Here, networks classify cells of wells of which a
share carries the other class's label, so that a network is right or wrong on whole wells.
The truth is the accuracy on all 240 test wells; the intervals are those of few of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

import cellvision as cv
from benchmarks.evidence.table import Figure
from benchmarks.worlds.conditions import experiment_on
from benchmarks.worlds.images import World, write_fixed_split
from cellvision.statistics import accuracy_interval, wilson_interval
from cellvision.statistics.accuracy import BetaBinomialPosterior, beta_binomial_posterior

WELLS, TEST_WELLS = 12, 120

SMALL = (2, 4, 8)
"""Wells of each class in the small test sets."""

KINDS = ("slide 0.5 to 0.8", "never Wilson's", "always Wilson's")
"""Our interval, and two that do without the slide."""


@dataclass(frozen=True)
class Design:
    """Cells, and the share of test wells with the other class's label."""

    phenotype: Literal["aggregates", "location"]
    strength: float
    stray: float


DESIGNS = (
    Design("location", 0.75, 0.0),
    Design("location", 0.75, 0.2),
    Design("location", 1.0, 0.2),
    Design("aggregates", 1.0, 0.2),
)
"""One after another over the seeds."""


class SmallTestSet(TypedDict):
    """Number of wells, and the limits of each kind of interval."""

    wells: int
    limits: dict[str, list[float]]


class ClusteringRecord(TypedDict):
    """Accuracy and intraclass correlation on all test wells, and the small test sets."""

    accuracy: float
    correlation: float
    small: list[SmallTestSet]


def clustering_record(seed: int, folder: Path) -> ClusteringRecord:
    """Train a network, and compute the intervals of many small test sets."""
    design = DESIGNS[seed % len(DESIGNS)]
    world = World(design.phenotype, design.strength, wells=WELLS + TEST_WELLS)
    table = write_fixed_split(world, seed, folder, WELLS, stray=design.stray)
    dataset = cv.datasets.create("table", path=table)
    study = cv.study(experiment_on(dataset), 1, folder / "study", progress=False)
    answers = study.experiments[0].runs[0].predictions_of("test")
    right = (answers["predicted"] == answers["label"]).to_numpy()
    _, well = np.unique(answers["group"], return_inverse=True)
    wells = np.random.default_rng([seed, 2]).permutation(well.max() + 1)
    small = [_interval_record(right, well, chosen) for chosen in _small_test_sets(wells)]
    return {
        "accuracy": float(right.mean()),
        "correlation": _posterior(right, well).correlation,
        "small": small,
    }


def _small_test_sets(wells: np.ndarray) -> Iterator[np.ndarray]:
    for per_class in SMALL:
        yield from wells.reshape(-1, 2 * per_class)


def _interval_record(right: np.ndarray, well: np.ndarray, chosen: np.ndarray) -> SmallTestSet:
    rows = np.isin(well, chosen)
    right, well = right[rows], well[rows]
    ours, posterior = accuracy_interval(right, well), _posterior(right, well)
    whole = wilson_interval(right.mean() * len(chosen), len(chosen))
    never = [posterior.quantile(0.025), posterior.quantile(0.975)]
    limits = ([ours.low, ours.high], never, [whole.low, whole.high])
    return {"wells": len(chosen), "limits": dict(zip(KINDS, limits, strict=True))}


def _posterior(right: np.ndarray, well: np.ndarray) -> BetaBinomialPosterior:
    _, index = np.unique(well, return_inverse=True)
    return beta_binomial_posterior(np.bincount(index, right), np.bincount(index).astype(float))


def clustering_figures(records: list[ClusteringRecord]) -> list[Figure]:
    """Return the coverage of each interval, by correlation on all wells and number of wells."""
    result = []
    bands = (
        ("up to 0.5", 0.0, 0.5, ">= 0.93"),
        ("0.5 to 0.9", 0.5, 0.9, ""),
        ("0.9 or more", 0.9, 1.0, ">= 0.86"),
    )
    for band, low, high, bound in bands:
        studies = [each for each in records if low < each["correlation"] <= high]
        for wells in (2 * number for number in SMALL):
            for kind in KINDS:
                hits = [
                    small["limits"][kind][0] <= study["accuracy"] <= small["limits"][kind][1]
                    for study in studies
                    for small in study["small"]
                    if small["wells"] == wells
                ]
                if hits:
                    what = f"correlation {band}, {wells} wells, {kind}: accuracy in its interval"
                    reach = bound if kind == KINDS[0] else ""
                    result.append(Figure(what, float(np.mean(hits)), len(hits), reach))
    return result
