"""The compiled model: native pixels in, probabilities out, weights drawn anew for every run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.backends import precision as precisions
from cellvision.backends.seeding import seeded
from cellvision.training.batches import one_hot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import keras

    from cellvision.experiment import Experiment

_PREDICTED_AT_ONCE = 2**22
"""How many pixel values a batch of predictions holds at most (more where one image does)."""


class Network:
    """An architecture joined to its preprocessing and augmenters, compiled once.

    Parameters
    ----------
    experiment
        What is asked.
    classes
        How many there are.
    zero, one
        The intensities that become 0 and 1.
    precision
        What it computes in.
    steps_per_execution
        How many steps run without returning to Python.
    seed
        Of the first weights.

    Attributes
    ----------
    training_model : keras.Model
        Scales, augments (while training only) and classifies.
    model : keras.Model
        The same layers without the augmenters; this is what is saved.
    """

    def __init__(
        self,
        experiment: Experiment,
        classes: int,
        zero: float,
        one: float,
        precision: precisions.Precision,
        steps_per_execution: int,
        seed: int,
    ) -> None:
        import keras

        self.experiment = experiment
        self.classes = classes
        self.limits = (zero, one)
        self.precision = precision
        self.training_model, self.model = self._build(seed)
        self.loss = experiment.architecture.loss()
        optimizer = make_optimizer(experiment)
        self.training_model.compile(
            optimizer=optimizer,
            loss=self.loss,
            metrics=["accuracy"],
            steps_per_execution=steps_per_execution,
        )
        optimizer.build(self.training_model.trainable_variables)
        self._optimizer_start = [
            keras.ops.convert_to_numpy(variable) for variable in optimizer.variables
        ]

    def _build(self, seed: int) -> tuple[keras.Model, keras.Model]:
        with seeded(seed):
            return self._build_layers(seed)

    def _build_layers(self, seed: int) -> tuple[keras.Model, keras.Model]:
        import keras

        zero, one = self.limits
        shape = self.experiment.preprocessing.input_shape
        inputs = keras.Input(shape, name="pixels", dtype="float32")
        # Intensities keep 24 bits of precision until the network's own layers take them over.
        scale = 1.0 / (one - zero)
        scaled = keras.layers.Rescaling(
            scale, offset=-zero * scale, name="intensity", dtype="float32"
        )(inputs)
        with precisions.policy(self.precision):
            network = self.experiment.architecture.build(shape, self.classes)
        _check(network, self.experiment, self.classes)
        varied = scaled
        for number, augmenter in enumerate(self.experiment.augmenters):
            varied = augmenter.build(seed + number)(varied)
        training_model = keras.Model(inputs, network(varied), dtype="float32")
        model = keras.Model(inputs, network(scaled), name="cellvision", dtype="float32")
        return training_model, model

    def draw(self, seed: int) -> None:
        """Start again: weights, optimiser and all randomness as a new network with this seed."""
        fresh, _ = self._build(seed)
        for variable, start in zip(self.training_model.variables, fresh.variables, strict=True):
            variable.assign(start)
        optimizer = self.training_model.optimizer
        for variable, value in zip(optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(value)

    def predict(
        self,
        pixels: Callable[[np.ndarray], np.ndarray],
        rows: np.ndarray,
        step: Callable[[int], None] = lambda _: None,
    ) -> np.ndarray:
        """Give the probabilities of images, shape (images, classes), float32.

        Parameters
        ----------
        pixels
            Gives the native pixels of some rows.
        rows
            All rows wanted.
        step
            Told how many images have just been done.
        """
        return predict_rows(self.training_model.predict_on_batch, pixels, rows, step)

    def evaluate_loss(self, labels: np.ndarray, probabilities: np.ndarray) -> float:
        """The mean of the architecture's loss over images, without penalties on weights."""
        import keras

        loss = keras.losses.get(self.loss)
        targets = one_hot(labels, self.classes)
        return float(np.mean(keras.ops.convert_to_numpy(loss(targets, probabilities))))


def predicted_at_once(input_shape: tuple[int, ...]) -> int:
    """How many images of that shape make a batch where nothing is learned from them."""
    return int(np.clip(_PREDICTED_AT_ONCE // math.prod(input_shape), 16, 1024))


def predict_rows(
    predict: Callable[[np.ndarray], np.ndarray],
    pixels: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    step: Callable[[int], None],
) -> np.ndarray:
    """Predict in batches of one size, so that one compiled program serves all of them."""
    from concurrent.futures import ThreadPoolExecutor

    found: list[np.ndarray] = []
    if len(rows) == 0:
        return np.zeros((0, 0), np.float32)
    size = min(predicted_at_once(pixels(rows[:1]).shape[1:]), len(rows))
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(pixels, chunks[0])
        for number, chunk in enumerate(chunks):
            batch = coming.result()
            if number + 1 < len(chunks):
                coming = ahead.submit(pixels, chunks[number + 1])
            if len(batch) < size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            found.append(np.asarray(predict(batch), dtype=np.float32)[: len(chunk)])
            step(len(chunk))
    return np.concatenate(found)


def make_optimizer(experiment: Experiment) -> keras.optimizers.Optimizer:
    """The architecture's recipe, with what the experiment overrides.

    Raises
    ------
    errors.ExperimentError
        Keras knows no optimiser of that name.
    """
    import keras

    training = experiment.training
    if training.optimizer is None:
        optimizer = experiment.architecture.optimizer()
    else:
        try:
            optimizer = keras.optimizers.get(training.optimizer)
        except ValueError:
            known = sorted(
                name.lower()
                for name, value in vars(keras.optimizers).items()
                if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
            )
            raise errors.ExperimentError(
                f"training.optimizer: Keras has no optimiser {training.optimizer!r}",
                f"One of {', '.join(known)}",
            ) from None
    if training.learning_rate is not None:
        settings = {**optimizer.get_config(), "learning_rate": training.learning_rate}
        optimizer = type(optimizer).from_config(settings)
    return optimizer


def _check(network: Any, experiment: Experiment, classes: int) -> None:
    """Hold an architecture to its contract before any time is spent on training it."""
    import keras

    name = type(experiment.architecture).__name__
    if not isinstance(network, keras.Model):
        raise errors.PluginContractError(
            f"{name}.build() gave {type(network).__name__}, not a keras.Model",
            "Its author can find out more with cellvision.testing",
        )
    shape = tuple(network.output_shape)
    if shape != (None, classes):
        raise errors.PluginContractError(
            f"{name}.build() gave a model with output {shape}, not (None, {classes})",
            "It must give one probability for each class",
        )


def check_reloads(path: str, model: keras.Model, samples: np.ndarray) -> Sequence[str]:
    """Read a saved model back and compare; gives warnings, a line each.

    Raises
    ------
    errors.CellvisionError
        It loads and predicts otherwise, so the file must not be trusted.
    """
    import keras

    try:
        loaded = keras.models.load_model(path, compile=False)
    except Exception as error:  # noqa: BLE001 - Keras raises many kinds here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return [f"model.keras cannot be read back, so that predict will not work: {reason}"]
    numbers = samples.astype(np.float32)
    before = keras.ops.convert_to_numpy(model(numbers))
    after = keras.ops.convert_to_numpy(loaded(numbers))
    difference = float(np.abs(before.astype(np.float64) - after).max())
    if difference > 1e-5:
        raise errors.CellvisionError(
            f"{path}: the saved model predicts otherwise when it is read back "
            f"(probabilities differ by {difference:.2g})",
            "The architecture's layers do not save all that they need: tell its author",
        )
    return []
