"""Simulated experiments: images in wells on plates, simple learners, and answers in groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Learner = Callable[[Floats, Indices, Floats], Indices]

FEATURES = 8


@dataclass(frozen=True, eq=False)
class Images:
    """Features of images with their class, well and plate; wells hold one class."""

    features: Floats
    label: Indices
    well: Indices
    plate: Indices

    def take(self, rows: NDArray[np.bool_]) -> Images:
        """Return some of the images."""
        return Images(self.features[rows], self.label[rows], self.well[rows], self.plate[rows])


def simulate_images(
    rng: np.random.Generator,
    well_label: Indices,
    well_plate: Indices,
    *,
    images: int = 4,
    effect: float = 0.0,
    well_sd: float = 0.5,
    plate_sd: float = 0.5,
) -> Images:
    """Simulate images: class effect on one feature, effects of well and plate, unit noise."""
    wells, plates = len(well_label), int(well_plate.max()) + 1
    mean = rng.normal(0, well_sd, (wells, FEATURES))
    mean += rng.normal(0, plate_sd, (plates, FEATURES))[well_plate]
    mean[:, 0] += effect * (2 * well_label - 1)
    well = np.repeat(np.arange(wells), images)
    features = mean[well] + rng.normal(size=(len(well), FEATURES))
    return Images(features, well_label[well], well, well_plate[well])


def ridge_lda(features: Floats, label: Indices, new: Floats, penalty: float = 0.1) -> Indices:
    """Predict with ridge-regularised linear discriminant analysis of two classes."""
    means = np.stack([features[label == c].mean(axis=0) for c in (0, 1)])
    centred = features - means[label]
    scatter = centred.T @ centred / len(label) + penalty * np.eye(features.shape[1])
    weight = np.linalg.solve(scatter, means[1] - means[0])
    return np.asarray((new - means.mean(axis=0)) @ weight > 0, dtype=np.intp)


def nearest_neighbour(features: Floats, label: Indices, new: Floats, k: int = 1) -> Indices:
    """Predict the commonest class of the `k` (odd) nearest training images.

    With one neighbour, a learner that memorises.
    """
    distance = (features**2).sum(axis=1) - 2 * new @ features.T
    nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return np.asarray(label[nearest].mean(axis=1) > 0.5, dtype=np.intp)


def nearest_mean(features: Floats, label: Indices, new: Floats) -> Indices:
    """Predict the class with the nearest mean."""
    means = np.stack([features[label == c].mean(axis=0) for c in (0, 1)])
    distance = (means**2).sum(axis=1) - 2 * new @ means.T
    return np.asarray(distance.argmin(axis=1), dtype=np.intp)


def on_features(learner: Learner, count: int) -> Learner:
    """Let a learner see the first features only; the first one has the class effect."""

    def predict(features: Floats, label: Indices, new: Floats) -> Indices:
        return learner(features[:, :count], label, new[:, :count])

    return predict


LEARNERS: dict[str, Learner] = {
    "ridge LDA": ridge_lda,
    "1-nearest neighbour": nearest_neighbour,
    "nearest mean": nearest_mean,
}


def group_sizes(rng: np.random.Generator, groups: int, mean: float, *, equal: bool) -> Indices:
    """Images per group: all alike, or log-normal with a coefficient of variation of 0.7."""
    if equal:
        return np.full(groups, round(mean), dtype=np.intp)
    variance = np.log(1 + 0.7**2)
    scatter = rng.lognormal(-variance / 2, np.sqrt(variance), groups)
    return np.maximum(1, np.round(mean * scatter)).astype(np.intp)


def group_accuracies(rng: np.random.Generator, mean: float, icc: float, groups: int) -> Floats:
    """Accuracies of groups from a beta distribution with this intraclass correlation."""
    if icc == 0:
        return np.full(groups, mean)
    total = (1 - icc) / icc
    return rng.beta(mean * total, (1 - mean) * total, groups)
