"""Twelve arms on one test set: answers drawn from distributions, and trained learners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from benchmarks.evidence.designs import (
    Indices,
    Learner,
    nearest_mean,
    nearest_neighbour,
    on_features,
    ridge_lda,
    simulate_images,
)

IMAGES = 4
"""Images of a well."""

TRAINING_WELLS = 12
"""Wells of each class in the training set."""


@dataclass(frozen=True, eq=False)
class Arms:
    """Predictions of several arms for the images of a test set; wells hold one class."""

    label: Indices
    well: Indices
    predictions: Mapping[str, Indices]

    def agreement(self) -> tuple[float, float]:
        """Return how alike two arms are, mean over pairs.

        The fraction of images with the same answer, and the correlation over the wells of each
        class of the number of right answers.
        """
        answers = np.stack(list(self.predictions.values()))
        pairs = list(combinations(range(len(answers)), 2))
        same = np.mean([np.mean(answers[a] == answers[b]) for a, b in pairs])
        right = np.stack([np.bincount(self.well, weights=each == self.label) for each in answers])
        kind = self.label[np.unique(self.well, return_index=True)[1]]
        for number in (0, 1):
            right[:, kind == number] -= right[:, kind == number].mean(axis=1, keepdims=True)
        varies = right.std(axis=1) > 0
        if varies.sum() < 2:
            return float(same), float("nan")
        correlation = np.corrcoef(right[varies])
        return float(same), float(correlation[np.triu_indices(len(correlation), 1)].mean())


ArmsOf = Callable[[np.random.Generator, int, float], Arms]
"""Makes arms for a number of test wells of each class and a strength."""


def drawn_arms(rng: np.random.Generator, wells: int, accuracy: float) -> Arms:
    """Draw 12 arms that agree in part (0.64) on what they see in each well."""
    from scipy.special import ndtri

    well = np.repeat(np.arange(2 * wells), IMAGES)
    label = well % 2
    shared = rng.normal(size=2 * wells)
    arms = {}
    for arm in range(12):
        lean = 0.8 * shared + 0.6 * rng.normal(size=2 * wells)
        score = lean[well] + rng.normal(size=len(well))
        score += (2 * label - 1) * float(ndtri(accuracy)) * 1.41
        arms[f"arm {arm}"] = (score > 0).astype(np.intp)
    return Arms(label, well, arms)


def trained_arms(
    learners: Mapping[str, Learner], rng: np.random.Generator, wells: int, effect: float
) -> Arms:
    """Train learners on the same wells; all are tested on the same new wells."""
    label = np.arange(2 * (TRAINING_WELLS + wells)) % 2
    images = simulate_images(
        rng, label, np.zeros_like(label), images=IMAGES, effect=effect, plate_sd=0.0
    )
    held_out = images.well >= 2 * TRAINING_WELLS
    training, test = images.take(~held_out), images.take(held_out)
    return Arms(
        test.label,
        test.well - 2 * TRAINING_WELLS,
        {
            name: learner(training.features, training.label, test.features)
            for name, learner in learners.items()
        },
    )


SETTINGS: dict[str, Learner] = {
    f"ridge LDA, penalty {penalty}, {count} features": on_features(
        partial(ridge_lda, penalty=penalty), count
    )
    for count in (8, 6, 4)
    for penalty in (0.1, 0.01, 1.0, 10.0)
}
"""What `study --vary` is used for: two settings of one method. The first is the default."""

METHODS: dict[str, Learner] = {
    "ridge LDA": ridge_lda,
    "ridge LDA, penalty 1": partial(ridge_lda, penalty=1.0),
    "ridge LDA, penalty 10": partial(ridge_lda, penalty=10.0),
    "nearest mean": nearest_mean,
    **{f"{k} nearest": partial(nearest_neighbour, k=k) for k in (1, 3, 5, 9, 15)},
    "ridge LDA, 4 features": on_features(ridge_lda, 4),
    "nearest mean, 4 features": on_features(nearest_mean, 4),
    "5 nearest, 4 features": on_features(partial(nearest_neighbour, k=5), 4),
}
"""Methods that share little but their training images."""

ARMS_OF: dict[str, ArmsOf] = {
    "drawn from distributions": drawn_arms,
    "settings of one method": partial(trained_arms, SETTINGS),
    "different methods": partial(trained_arms, METHODS),
}
"""By kind."""
