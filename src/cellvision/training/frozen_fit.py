"""Exact training, on cached features, of networks in which only a softmax layer learns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cellvision.data.orientations import orientations_of, oriented
from cellvision.training.augmented_copies import copies
from cellvision.training.batches import one_hot
from cellvision.training.feature_progress import FeatureProgress, feature_speeds
from cellvision.training.frozen import FrozenSplit, split_frozen
from cellvision.training.history import EpochHook, history_row
from cellvision.training.image_features import ImageFeatures
from cellvision.training.memory_needs import raise_if_too_many
from cellvision.training.metrics import metric_scores
from cellvision.training.optimization import class_weights
from cellvision.training.result import TrainingResult
from cellvision.training.softmax_regression import softmax_layer, solve_softmax_layer

if TYPE_CHECKING:
    import keras

    from cellvision.data.prepared import PreparedData
    from cellvision.progress import Display
    from cellvision.training.network import Network


_SAMPLE = 16
"""Number of images that show whether features depend on the orientation."""

_ROUNDING = 0.001
"""Differences of features below this share of their standard deviation are rounding errors."""


@dataclass(frozen=True, eq=False)
class FrozenFit:
    """A solved network: its frozen part, the features of all images, and the solution.

    Attributes
    ----------
    images : ImageFeatures
        The images and the network in two parts.
    features : numpy.ndarray
        Output of the frozen part, shape (images, ...), in the order of the prepared images.
    weights : sequence of numpy.ndarray
        Kernel and bias of the softmax layer.
    """

    images: ImageFeatures
    features: np.ndarray
    weights: Sequence[np.ndarray]

    def solves(self, prepared: PreparedData, split: FrozenSplit) -> bool:
        """Whether this is the solution for these images and frozen layers as well."""
        return self.images.prepared is prepared and self.images.split.digest == split.digest

    def predict(self) -> np.ndarray:
        """Return the probabilities of all images, shape (images, classes), float32."""
        return self._probabilities(self.features)

    def predict_averaged(self, rows: np.ndarray) -> np.ndarray:
        """Return mean probabilities over the orientations of images (test-time augmentation).

        Parameters
        ----------
        rows
            The images to predict.

        Returns
        -------
        numpy.ndarray
            Shape (rows, classes), float32.
        """
        preprocessing = self.images.prepared.experiment.preprocessing
        orientations = orientations_of(preprocessing.input_shape)
        turns = [partial(oriented, orientation=number) for number in orientations]
        sample = np.arange(min(_SAMPLE, len(self.features)))
        if self._is_invariant(self.images.varied(sample, turns, "orientations")):
            return self._probabilities(self.features[rows])
        pool, positions = self.images.rows_to_compute(rows)
        turned = self.images.varied(pool, turns, "orientations")
        outputs = np.stack([self._probabilities(features[positions]) for features in turned])
        mean: np.ndarray = outputs.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean

    def _is_invariant(self, turned: np.ndarray) -> bool:
        """Whether turning the first images leaves their features unchanged, except for rounding."""
        difference = np.abs(turned - self.features[: turned.shape[1]])
        return bool((difference <= _ROUNDING * self.features.std(axis=0)).all())

    def _probabilities(self, features: np.ndarray) -> np.ndarray:
        import keras

        outputs = [
            keras.ops.convert_to_numpy(self.images.split.rest(features[start : start + 1024]))
            for start in range(0, len(features), 1024)
        ]
        return np.concatenate(outputs).astype(np.float32)


def is_exactly_solvable(prepared: PreparedData, network: Network) -> FrozenSplit | None:
    """Return the parts of a network whose only training problem is a softmax regression.

    None if anything else learns, if an augmenter mixes labels, or if the recipe has callbacks or
    another loss, which a solution would ignore.
    """
    mixes = any(augmenter.mixes_labels for augmenter in prepared.experiment.augmenters)
    if mixes or not network.minimizes_cross_entropy:
        return None
    split = split_frozen(network.model)
    return split if split is not None and softmax_layer(split) is not None else None


def fit_frozen(
    prepared: PreparedData,
    split: FrozenSplit,
    rows: tuple[np.ndarray, np.ndarray],
    display: Display,
    on_epoch: EpochHook,
    *,
    metrics: Sequence[keras.metrics.Metric] = (),
    earlier: FrozenFit | None = None,
) -> tuple[FrozenFit, TrainingResult]:
    """Compute the features once, and solve the softmax layer on the training images.

    If there are augmenters, it is solved on a few augmented copies of each training image.

    Parameters
    ----------
    prepared
        The images.
    split
        From `is_exactly_solvable`.
    rows
        Rows of the training and of the validation images.
    display
        Shows progress.
    on_epoch
        Called once, with the training and validation scores of the solution.
    metrics
        Further metrics of the architecture's recipe.
    earlier
        An earlier fit. Its solution is reused if images and frozen layers are the same.
    """
    start = time.perf_counter()
    training, validation = rows
    images = ImageFeatures(prepared, split, None if earlier is None else earlier.images.digests)
    features, learned = _features_to_learn(images, training, display)
    known = earlier.weights if earlier is not None and earlier.solves(prepared, split) else None
    targets = np.tile(training, len(learned))
    weights = _solve(prepared, split, targets, learned.reshape(-1, *learned.shape[2:]), known)
    fit = FrozenFit(images, features, weights)
    probabilities = fit.predict()
    logs: dict[str, float] = {}
    for part, prefix in ((training, ""), (validation, "val_")):
        if len(part):
            labels = prepared.labels[part]
            logs |= _scores(probabilities[part], labels, prefix)
            logs |= metric_scores(metrics, labels, probabilities[part], prefix)
    seconds = time.perf_counter() - start
    row = history_row(1, logs, seconds, metrics)
    on_epoch(1, row)
    speed = len(training) / max(seconds, 1e-9)
    display.epoch_done(row, speed, 0.0)
    return fit, TrainingResult([row], seconds, speed, 0.0, is_solved=True)


def _features_to_learn(
    images: ImageFeatures, training: np.ndarray, display: Display
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of all images, and those to learn from.

    The latter are of augmented copies, if there are augmenters; shape (copies, rows, ...).
    """
    prepared, split = images.prepared, images.split
    augmenters = prepared.experiment.augmenters
    variants = copies(prepared) if augmenters else ()
    raise_if_too_many(split.feature_shape, len(training), max(1, len(variants)))
    display.epoch(1, 1, len(training))
    pool, positions = images.rows_to_compute(training)
    work = (len(prepared.pixels), len(variants) * len(pool))
    progress = FeatureProgress(display, work, feature_speeds(prepared, split))
    features = images.plain(progress.of(0))
    if not variants:
        return features, features[training][np.newaxis]
    description = [augmenter.model_dump(mode="json") for augmenter in augmenters]
    varied = images.varied(pool, variants, description, progress.of(1))
    return features, varied[:, positions]


def _solve(
    prepared: PreparedData,
    split: FrozenSplit,
    rows: np.ndarray,
    features: np.ndarray,
    known: Sequence[np.ndarray] | None,
) -> Sequence[np.ndarray]:
    """Set the softmax layer to the solution for features of some rows; compute it unless known.

    A row occurs once for each of its augmented copies. Returns the solution.
    """
    split.adapt(features)
    layer = softmax_layer(split)
    assert layer is not None
    if known is not None:
        layer.set_weights(known)
        return known
    names = prepared.catalog.class_names
    labels = prepared.labels[rows]
    smoothing = prepared.experiment.training.label_smoothing or 0.0
    targets = one_hot(labels, len(names)) * (1 - smoothing) + smoothing / len(names)
    counts = np.bincount(labels, minlength=len(names))
    weights = class_weights(prepared.experiment.training.class_weights, tuple(counts), names)
    solve_softmax_layer(split, features, targets, None if weights is None else weights[labels])
    solution: Sequence[np.ndarray] = layer.get_weights()
    return solution


def _scores(probabilities: np.ndarray, labels: np.ndarray, prefix: str) -> dict[str, float]:
    right = probabilities[np.arange(len(labels)), labels]
    return {
        f"{prefix}loss": float(-np.log(np.maximum(right, 1e-7)).mean()),
        f"{prefix}accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
    }
