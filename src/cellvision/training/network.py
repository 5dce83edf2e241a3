"""The compiled network: native pixels in, probabilities out."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.backends import precision as precisions
from cellvision.backends.fused_batch_norm import fuse_batch_norm
from cellvision.backends.fused_pooling import fuse_max_pooling
from cellvision.backends.registered_classes import classes_of, registered
from cellvision.backends.seeding import seeded
from cellvision.data.orientations import orientations_of, oriented
from cellvision.training.architecture_contract import (
    require_network,
    require_probabilities,
    require_saveable,
)
from cellvision.training.augmenter_contract import augmented, require_sound
from cellvision.training.batch_norm import follow_within_epoch
from cellvision.training.batches import one_hot
from cellvision.training.label_mixing import mixed_accuracy, mixed_loss
from cellvision.training.metrics import mixed_metric, recipe_metrics, require_numbers
from cellvision.training.optimization import class_weights, training_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import keras

    from cellvision.experiment import Experiment
    from cellvision.interfaces.architecture import TrainingPlan

_PREDICTION_VALUES = 2**22
"""Most pixel values in a batch of predictions of 16 images or more."""

_MOST_PREDICTION_VALUES = 2**26
"""Most pixel values in a batch of several images: a quarter of a gigabyte, of which hidden layers
make several."""

_SAME = 1e-5
"""Largest difference between probabilities of a network and of its saved copy."""


def _is_plain_cross_entropy(loss: Any) -> bool:
    import keras

    if type(loss) is keras.losses.CategoricalCrossentropy:
        return not loss.label_smoothing and not loss.from_logits
    return loss is keras.losses.categorical_crossentropy


class Network:
    """An architecture with its preprocessing, augmenters and recipe, compiled once.

    Parameters
    ----------
    experiment
        The experiment.
    class_names
        Names of the classes.
    intensity_range
        Intensities that become 0 and 1.
    precision
        Precision of the computation.
    plan
        Length of the training and class counts, for the architecture's recipe.
    steps_per_execution
        Training steps that run without returning to Python.
    seed
        Seed of the first weights.

    Attributes
    ----------
    training_model : keras.Model
        Scales, augments (in training only) and classifies. If an augmenter mixes labels, it
        takes pixels and labels, and returns probabilities and mixed labels side by side.
    model : keras.Model
        The same layers without the augmenters; this is the model that is saved.
    callbacks : sequence of keras.callbacks.Callback
        Callbacks of the architecture's recipe.
    metrics : sequence of keras.metrics.Metric
        Further metrics of the architecture's recipe.
    trained : bool
        Whether a training has begun, after which callbacks may have a state.
    mixes_labels : bool
        Whether an augmenter mixes labels.
    minimizes_cross_entropy : bool
        Whether the architecture's recipe does nothing but minimize the plain cross-entropy.
    fresh_seed : int or None
        Seed of the current weights; None as soon as something may have changed them.
    is_timed : bool
        Whether the speed of a training is recorded.
    reload_warnings : sequence of str or None
        Warnings about loading a saved copy again; None until one was saved and checked. Later
        copies have the same layers and other weights, so that one check is enough.
    """

    def __init__(
        self,
        experiment: Experiment,
        class_names: tuple[str, ...],
        intensity_range: tuple[float, float],
        precision: precisions.Precision,
        plan: TrainingPlan,
        steps_per_execution: int,
        seed: int,
    ) -> None:
        import keras

        self.experiment = experiment
        self.classes = len(class_names)
        self._class_names = class_names
        self.intensity_range = intensity_range
        self.precision = precision
        self.fresh_seed: int | None = seed
        self.is_timed = False
        self.reload_warnings: Sequence[str] | None = None
        self.saved_as: Path | None = None  # a file with the present weights, if one is known
        self.mixes_labels = any(augmenter.mixes_labels for augmenter in experiment.augmenters)
        self.training_model, self.model, network = self._build(seed)
        require_probabilities(experiment.architecture, network)
        require_saveable(experiment.architecture, network)
        for augmenter in experiment.augmenters:
            require_sound(augmenter, experiment.preprocessing.input_shape, self.classes)
        recipe = training_recipe(experiment, plan, class_names)
        self._class_weights = self._class_weights_of(plan)
        self.callbacks = recipe.callbacks
        self.trained = False
        self.metrics = recipe_metrics(experiment.architecture, recipe)
        # Scores report the architecture's own loss, without smoothing and class weights.
        plain = experiment.architecture.recipe(plan)
        self._loss = keras.losses.get(plain.loss)
        self.minimizes_cross_entropy = not self.callbacks and _is_plain_cross_entropy(self._loss)
        # Check separate instances: those of the training may be spread over devices.
        copies = recipe_metrics(experiment.architecture, plain)
        require_numbers(experiment.architecture, copies, self.classes)
        self._training_loss, self.optimizer = recipe.loss, recipe.optimizer
        if experiment.training.refresh_batch_norm:
            follow_within_epoch(self.training_model, plan.steps_per_epoch)
        self.compile(self.training_model, steps_per_execution)
        recipe.optimizer.build(self.training_model.trainable_variables)
        self._optimizer_start = [
            keras.ops.convert_to_numpy(variable) for variable in recipe.optimizer.variables
        ]

    def _class_weights_of(self, plan: TrainingPlan) -> list[float] | None:
        setting = self.experiment.training.class_weights
        weights = class_weights(setting, plan.class_counts, self._class_names)
        return None if weights is None else [float(weight) for weight in weights]

    def can_train_again(self, plan: TrainingPlan) -> bool:
        """Whether the compiled network fits another training.

        It does not if its callbacks have a state, or if balanced class weights differ because a
        control changes labels: the weights are constants of the compiled loss.
        """
        same_weights = self._class_weights_of(plan) == self._class_weights
        return same_weights and not (self.trained and self.callbacks)

    def compile(self, model: keras.Model, steps_per_execution: int) -> None:
        """Compile a model with the same weights and outputs as the training model."""
        loss = self._training_loss
        model.compile(
            optimizer=self.optimizer,
            loss=mixed_loss(loss, self.classes) if self.mixes_labels else loss,
            metrics=self._compiled_metrics(),
            steps_per_execution=steps_per_execution,
        )
        self._build_loss_and_metrics(model)

    def _build_loss_and_metrics(self, model: keras.Model) -> None:
        """Create the variables of loss and metrics now; Keras would do so with the first batch.

        TensorFlow traces a step that creates variables twice, which takes seconds.
        """
        targets = np.zeros((1, self.classes), np.float32)
        outputs = np.zeros((1, *model.output_shape[1:]), np.float32)
        model.compute_loss(None, targets, outputs, None)
        model.compute_metrics(None, targets, outputs, None)
        model.reset_metrics()

    def _compiled_metrics(self) -> list[Any]:
        if not self.mixes_labels:
            return ["accuracy", *self.metrics]
        further = [mixed_metric(metric, self.classes) for metric in self.metrics]
        return [mixed_accuracy(self.classes), *further]

    def _build(self, seed: int) -> tuple[keras.Model, keras.Model, keras.Model]:
        with seeded(seed):
            return self._build_layers(seed)

    def _build_layers(self, seed: int) -> tuple[keras.Model, keras.Model, keras.Model]:
        """Return the training model, the model to save, and the architecture's network."""
        import keras

        zero, one = self.intensity_range
        shape = self.experiment.preprocessing.input_shape
        pixels = keras.Input(shape, name="pixels", dtype="float32")
        # Intensities keep 24 bits of precision until the network's own layers take over.
        scale = 1.0 / (one - zero)
        scaled = keras.layers.Rescaling(
            scale, offset=-zero * scale, name="intensity", dtype="float32"
        )(pixels)
        with precisions.policy(self.precision):
            network = self.experiment.architecture.build(shape, self.classes)
        require_network(self.experiment.architecture, network, shape, self.classes)
        _fuse(network)
        model = keras.Model(pixels, network(scaled), name="cellvision", dtype="float32")
        labels = keras.Input((self.classes,), name="labels", dtype="float32")
        images, targets = scaled, labels
        for number, augmenter in enumerate(self.experiment.augmenters):
            images, targets = augmented(augmenter, seed + number, images, targets)
        probabilities = network(images)
        if not self.mixes_labels:
            return keras.Model(pixels, probabilities, dtype="float32"), model, network
        both = keras.layers.Concatenate(dtype="float32")([probabilities, targets])
        return keras.Model([pixels, labels], both, dtype="float32"), model, network

    def draw(self, seed: int) -> None:
        """Reset weights, optimizer and all randomness to those of a new network with this seed."""
        if self.fresh_seed == seed:
            return
        fresh, *_ = self._build(seed)
        for variable, start in zip(self.training_model.variables, fresh.variables, strict=True):
            variable.assign(start)
        optimizer = self.training_model.optimizer
        for variable, value in zip(optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(value)
        self.fresh_seed = seed

    def predict(
        self,
        pixels: Callable[[np.ndarray], np.ndarray],
        rows: np.ndarray,
        step: Callable[[int], None] = lambda _: None,
    ) -> np.ndarray:
        """Return the probabilities of images, shape (images, classes), float32.

        Without rows, the shape is (0, 0).

        Parameters
        ----------
        pixels
            Returns the native pixels of some rows.
        rows
            The rows to predict.
        step
            Called with the number of images of each finished batch.
        """
        # Without label mixing, the compiled training model predicts too: augmenters are inactive.
        model = self.model if self.mixes_labels else self.training_model
        return predict_rows(model.predict_on_batch, pixels, rows, step)

    def predict_averaged(
        self,
        pixels: Callable[[np.ndarray], np.ndarray],
        rows: np.ndarray,
        step: Callable[[int], None] = lambda _: None,
    ) -> np.ndarray:
        """Return mean probabilities over the orientations of images (test-time augmentation).

        Parameters
        ----------
        pixels, rows, step
            As for `predict`; `step` counts every orientation of an image.
        """
        orientations = orientations_of(self.experiment.preprocessing.input_shape)
        mean = np.zeros((len(rows), self.classes))
        for orientation in orientations:
            turned = self.predict(partial(_turned, pixels, orientation), rows, step)
            mean += turned.astype(np.float64) / len(orientations)
        return mean.astype(np.float32)

    def evaluate_loss(self, labels: np.ndarray, probabilities: np.ndarray) -> float:
        """Return the mean of the architecture's loss over images, without weight penalties."""
        import keras

        targets = one_hot(labels, self.classes)
        return float(np.mean(keras.ops.convert_to_numpy(self._loss(targets, probabilities))))


def _turned(
    pixels: Callable[[np.ndarray], np.ndarray], orientation: int, rows: np.ndarray
) -> np.ndarray:
    return oriented(pixels(rows), orientation)


def prediction_batch_size(input_shape: tuple[int, ...]) -> int:
    """Return the number of images per batch for prediction and validation."""
    values = math.prod(input_shape)
    size = int(np.clip(_PREDICTION_VALUES // values, 16, 1024))
    return max(1, min(size, _MOST_PREDICTION_VALUES // values))


def predict_rows(
    predict: Callable[[np.ndarray], np.ndarray],
    pixels: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    step: Callable[[int], None],
) -> np.ndarray:
    """Predict in batches of one size, so that the program is compiled once.

    Returns an array of shape (0, 0) without rows.
    """
    from concurrent.futures import ThreadPoolExecutor

    probabilities: list[np.ndarray] = []
    if len(rows) == 0:
        return np.zeros((0, 0), np.float32)
    size = min(prediction_batch_size(pixels(rows[:1]).shape[1:]), len(rows))
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    with ThreadPoolExecutor(1) as executor:
        pending = executor.submit(pixels, chunks[0])
        for number, chunk in enumerate(chunks):
            batch = pending.result()
            if number + 1 < len(chunks):
                pending = executor.submit(pixels, chunks[number + 1])
            if len(batch) < size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            probabilities.append(np.asarray(predict(batch), dtype=np.float32)[: len(chunk)])
            step(len(chunk))
    return np.concatenate(probabilities)


def check_reloads(path: str, model: keras.Model, samples: np.ndarray) -> Sequence[str]:
    """Load a saved model again and compare its predictions; return warnings, one line each.

    Warnings rather than errors: the training is over, and its results are those of `model`.
    """
    import keras

    try:
        with registered(classes_of(model)):
            loaded = keras.models.load_model(path, compile=False)
    except Exception as error:  # noqa: BLE001 - Keras raises many kinds here
        reason = errors.first_line(error)
        return [f"model.keras cannot be loaded again, so predict will not work: {reason}"]
    # Use the same operations: in bfloat16, others give probabilities that differ by 0.001.
    _fuse(loaded)
    numbers = samples.astype(np.float32)
    before = keras.ops.convert_to_numpy(model(numbers))
    after = keras.ops.convert_to_numpy(loaded(numbers))
    difference = float(np.abs(before.astype(np.float64) - after).max())
    if difference > _SAME:
        return [
            "model.keras predicts differently after loading (probabilities differ by "
            f"{difference:.2g}), so predictions of new images are not those of this network: "
            "the architecture's layers do not save all they need. Report this to its author."
        ]
    return []


def _fuse(model: keras.Model) -> None:
    """Make layers of a model use faster operations; their configuration does not change."""
    fuse_batch_norm(model)
    fuse_max_pooling(model)
