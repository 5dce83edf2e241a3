"""The intensity control: logistic regression on intensity summaries of whole images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.results.claimed_folder import naming_folder
from cellvision.results.environment import scikit_learn_environment
from cellvision.results.metadata import Timings
from cellvision.results.tables import history_table, write_table
from cellvision.training.run_writer import finish_run

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData
    from cellvision.results.run import Run

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
"""Percentiles of the intensities of each channel."""

_SMALLEST_PROBABILITY = 1e-7
"""Where Keras clips probabilities in the cross-entropy."""


def run_intensity_control(prepared: PreparedData, seed: int, folder: Path) -> Run:
    """Fit the regression and write it as a run, without epochs and without a Keras model.

    Parameters
    ----------
    prepared
        The images.
    seed
        Seed of the run that it accompanies; the regression does not depend on it.
    folder
        A claimed folder.
    """
    probabilities, seconds = _fit_and_predict(prepared)
    timings = Timings(prepare_s=prepared.seconds, fit_s=seconds)
    environment = scikit_learn_environment()
    with naming_folder(folder):
        write_table(folder / "history.csv", history_table([]))
        return finish_run(
            prepared, seed, folder, probabilities, cross_entropy, environment, timings
        )


def cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean cross-entropy of class numbers and probabilities (images, classes)."""
    target = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(target, _SMALLEST_PROBABILITY, 1)).mean())


def intensity_summaries(pixels: np.ndarray) -> np.ndarray:
    """Return mean, SD and percentiles of each channel of each image.

    Parameters
    ----------
    pixels
        Shape (images, height, width, channels), native type.

    Returns
    -------
    numpy.ndarray
        Shape (images, 9 * channels), float64.
    """
    rows = []
    for image in pixels:
        intensities = np.asarray(image, dtype=np.float64).reshape(-1, image.shape[-1])
        percentiles = np.percentile(intensities, PERCENTILES, axis=0)
        rows.append(
            np.concatenate([intensities.mean(axis=0), intensities.std(axis=0), percentiles.ravel()])
        )
    return np.stack(rows)


def _fit_and_predict(prepared: PreparedData) -> tuple[np.ndarray, float]:
    """Return the probabilities of all images, shape (images, classes), and the seconds taken."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    start = time.perf_counter()
    features = intensity_summaries(prepared.pixels)
    rows = prepared.rows(prepared.training_split)
    model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    model.fit(features[rows], prepared.labels[rows])
    return model.predict_proba(features).astype(np.float32), time.perf_counter() - start
