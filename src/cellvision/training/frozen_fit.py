"""Exact training, on cached features, of networks in which only a softmax layer learns."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.data.code_digests import source_digest
from cellvision.data.orientations import orientations_of, oriented
from cellvision.training.augmented_copies import copies
from cellvision.training.batches import one_hot
from cellvision.training.callbacks import EpochHook, history_row
from cellvision.training.earlier_speeds import EarlierSpeeds, machine
from cellvision.training.frozen import FrozenSplit, split_frozen
from cellvision.training.frozen_features import feature_key, frozen_features
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


_STEADY_SECONDS = 1.0
"""Seconds of steady work before the time for the rest is estimated."""

_SAMPLE = 16
"""Number of images that show whether features depend on the orientation."""

_ROUNDING = 0.001
"""Differences of features below this share of their standard deviation are rounding errors."""


class PixelDigests:
    """Digests of the images of one array, each computed once.

    Parameters
    ----------
    pixels
        The images.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self._known: dict[int, str] = {}

    def of(self, rows: np.ndarray) -> list[str]:
        """Return the digests of some rows, in hexadecimal digits."""
        for row in rows.tolist():
            if row not in self._known:
                digest = hashlib.sha256(np.ascontiguousarray(self.pixels[row]).data)
                self._known[row] = digest.hexdigest()
        return [self._known[row] for row in rows.tolist()]


@dataclass(frozen=True, eq=False)
class FrozenFit:
    """A solved network: its frozen part, the features of all images, and the solution.

    Attributes
    ----------
    prepared : PreparedData
        The images.
    split : FrozenSplit
        The network in two parts.
    features : numpy.ndarray
        Output of the frozen part, shape (images, ...), in the order of the prepared images.
    weights : sequence of numpy.ndarray
        Kernel and bias of the softmax layer.
    digests : PixelDigests
        Digests of the images.
    """

    prepared: PreparedData
    split: FrozenSplit
    features: np.ndarray
    weights: Sequence[np.ndarray]
    digests: PixelDigests

    def solves(self, prepared: PreparedData, split: FrozenSplit) -> bool:
        """Whether this is the solution for these images and frozen layers as well."""
        return self.prepared is prepared and self.split.digest == split.digest

    def predict(self) -> np.ndarray:
        """Return the probabilities of all images, shape (images, classes), float32."""
        return self._probabilities(self.features)

    def predict_averaged(
        self, pixels: Callable[[np.ndarray], np.ndarray], rows: np.ndarray
    ) -> np.ndarray:
        """Return mean probabilities over the orientations of images (test-time augmentation).

        Parameters
        ----------
        pixels
            Returns the pixels of some rows.
        rows
            The images to predict.

        Returns
        -------
        numpy.ndarray
            Shape (rows, classes), float32.
        """
        prepared = self.prepared
        orientations = orientations_of(prepared.experiment.preprocessing.input_shape)
        turns = [partial(oriented, orientation=number) for number in orientations]

        def turned_features(pool: np.ndarray) -> np.ndarray:
            return _features(
                prepared,
                self.split,
                pool,
                self.digests,
                pixels,
                _silent,
                variants=turns,
                description="orientations",
            )

        if self._is_invariant(turned_features(np.arange(min(_SAMPLE, len(self.features))))):
            return self._probabilities(self.features[rows])
        pool, positions = _shared_rows(prepared, rows)
        turned = turned_features(pool)
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
            keras.ops.convert_to_numpy(self.split.rest(features[start : start + 1024]))
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
    pixels: Callable[[np.ndarray], np.ndarray],
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
    pixels
        Returns the pixels of some rows.
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
    variants = copies(prepared) if prepared.experiment.augmenters else ()
    raise_if_too_many(split.feature_shape, len(training), max(1, len(variants)))
    display.epoch(1, 1, len(training))
    pool, positions = _shared_rows(prepared, training)
    work = (len(prepared.pixels), len(variants) * len(pool))
    shown = _FeatureProgress(display, work, _feature_speeds(prepared, split))
    everything = np.arange(len(prepared.pixels))
    digests = PixelDigests(prepared.pixels)
    if earlier is not None and earlier.digests.pixels is prepared.pixels:
        digests = earlier.digests
    features = _features(prepared, split, everything, digests, pixels, shown.of(0))[0]
    learned = features[training][np.newaxis]
    if variants:
        plain = [augmenter.model_dump(mode="json") for augmenter in prepared.experiment.augmenters]
        varied = _features(
            prepared,
            split,
            pool,
            digests,
            pixels,
            shown.of(1),
            variants=variants,
            description=plain,
        )
        learned = varied[:, positions]
    known = earlier.weights if earlier is not None and earlier.solves(prepared, split) else None
    targets = np.tile(training, len(learned))
    weights = _solve(prepared, split, targets, learned.reshape(-1, *learned.shape[2:]), known)
    fit = FrozenFit(prepared, split, features, weights, digests)
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


class _FeatureProgress:
    """Shows how many features are computed, and estimates the time for all passes over images.

    Parameters
    ----------
    display
        Shows progress.
    work
        Features to compute in each pass.
    speeds
        Where the speed is recorded, for an estimate before the next computation.
    """

    def __init__(
        self, display: Display, work: Sequence[int], speeds: EarlierSpeeds | None = None
    ) -> None:
        self._display = display
        self._work = work
        self._speeds = speeds

    def of(self, number: int) -> Callable[[int, int], None]:
        """Return the function that a pass calls with the images done and their total."""
        first: list[tuple[float, float]] = []
        later = sum(self._work[number + 1 :])

        def progress(done: int, total: int) -> None:
            self._display.task("computing features", done, total)
            if done == 0:
                self._expect(self._work[number] + later)
                return
            now, finished = time.perf_counter(), self._work[number] * done / total
            if not first:
                first.append((finished, now))  # the first batch also compiles
            elif now - first[0][1] >= _STEADY_SECONDS:
                speed = (finished - first[0][0]) / (now - first[0][1])
                self._display.remaining((self._work[number] - finished + later) / speed)
                if done == total and self._speeds is not None:
                    self._speeds.record(1 / speed, 0.0)

        return progress

    def _expect(self, features: int) -> None:
        """Estimate the time before the first feature is computed, at the speed of earlier ones."""
        speed = self._speeds.expected() if self._speeds else None
        if speed is not None:
            self._display.remaining(features * speed.seconds_per_image)


def _feature_speeds(prepared: PreparedData, split: FrozenSplit) -> EarlierSpeeds:
    import keras

    precision = keras.config.dtype_policy().name
    work = ["features", split.digest, list(prepared.experiment.preprocessing.input_shape)]
    return EarlierSpeeds(machine(precision, prepared.experiment.training.devices), work, 0.0)


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


def _shared_rows(prepared: PreparedData, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to compute features of, and the positions of the given rows among them.

    In a cross-validation, features of all rows are computed, so that the folds share them.
    """
    if prepared.experiment.split.splitter is None:
        return rows, np.arange(len(rows))
    return np.arange(len(prepared.pixels)), rows


def _silent(_done: int, _total: int) -> None:
    """Show no progress."""


def _features(
    prepared: PreparedData,
    split: FrozenSplit,
    rows: np.ndarray,
    digests: PixelDigests,
    pixels: Callable[[np.ndarray], np.ndarray],
    progress: Callable[[int, int], None],
    *,
    variants: Sequence[Callable[[np.ndarray], np.ndarray]] = (),
    description: Any = None,
) -> np.ndarray:
    """Compute the features of rows, or of variants of them; shape (variants, rows, ...).

    The description, a JSON value, says what the variants are.
    """
    experiment = prepared.experiment
    settings: list[Any] = [
        experiment.preprocessing.model_dump(mode="json"),
        prepared.zero,
        prepared.one,
        source_digest(experiment.architecture),
    ]
    if variants:
        settings += [len(variants), description, source_digest(experiment.augmenters)]
    return frozen_features(
        split,
        pixels,
        rows,
        feature_key(split, digests.of(rows), settings),
        variants or (np.asarray,),
        progress,
    )
