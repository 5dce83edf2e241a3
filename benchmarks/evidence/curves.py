"""Rule K: coverage of areas under curves where a class occurs in few groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence.table import Figure
from cellvision.statistics import precision_recall_curve, roc_curve

DEFAULT = 200
GROUPS, IMAGES = 20, 8
DESIGNS = ((1.2, 0.5), (1.2, 1.0), (2.5, 0.7))
"""Difference of the class, and SD of groups, in SDs of images; true ROC areas 0.78, 0.73, 0.93."""


def simulate(simulations: int, rng: np.random.Generator) -> list[Figure]:
    """Return the coverage for a class in 3 to 10 of 20 groups."""
    figures = []
    for groups in (3, 4, 5, 6, 7, 10):
        cells = [coverage(rng, groups, *design, simulations) for design in DESIGNS]
        for name, values in zip(
            ("ROC area", "average precision"), zip(*cells, strict=True), strict=True
        ):
            what = f"coverage of the {name}, lowest of 3 designs: class in {groups} of 20 groups"
            figures.append(Figure(what, min(values), simulations, ">= 0.93"))
    return figures


def coverage(
    rng: np.random.Generator, groups: int, effect: float, sd: float, simulations: int
) -> tuple[float, float]:
    """Return the fractions of intervals that hold the true ROC area and average precision."""
    true_area, true_precision = _truth(groups, effect, sd)
    hits = np.zeros(2)
    for _ in range(simulations):
        label = np.repeat(np.arange(GROUPS) < groups, IMAGES).astype(int)
        group = np.repeat(np.arange(GROUPS), IMAGES)
        score = _logistic(
            effect * label + rng.normal(0, sd, GROUPS)[group] + rng.normal(size=len(group))
        )
        table = np.column_stack([1 - score, score])
        area = roc_curve(label, table, group, resamples=200)[1].auc
        precision = precision_recall_curve(label, table, group, resamples=200)[1].average_precision
        hits += (
            area.low <= true_area <= area.high,
            precision.low <= true_precision <= precision.high,
        )
    return float(hits[0] / simulations), float(hits[1] / simulations)


def _truth(groups: int, effect: float, sd: float) -> tuple[float, float]:
    """Return the areas of very many images, of which as large a fraction is of the class."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    label = rng.random(400_000) < groups / GROUPS
    score = effect * label + rng.normal(0, np.hypot(1, sd), len(label))
    return float(roc_auc_score(label, score)), float(average_precision_score(label, score))


def _logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-values)))
