"""Build, train and inspect a network, for the checks of architectures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision.interfaces.architecture import Architecture, TrainingPlan
from cellvision.testing.result import CheckFailed
from cellvision.training.architecture_contract import (
    Fault,
    network_fault,
    probability_fault,
    saving_fault,
    settings_fault,
)

if TYPE_CHECKING:
    import keras
    import numpy as np

_STEPS = 12
"""Steps on one batch in which a loss must fall."""


def example_batch(shape: Sequence[int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two images of each class, or one if they are large, and their one-hot labels."""
    import numpy as np

    noise = np.random.default_rng(0)
    count = classes * (2 if shape[0] * shape[1] < 128**2 else 1)
    labels = np.arange(count) % classes
    images = 0.2 * noise.random((count, *shape))
    for image, label in zip(images, labels, strict=True):
        image[:, label * shape[1] // classes :] += 0.7 * (label + 1) / classes
    return images.astype(np.float32), np.eye(classes, dtype=np.float32)[labels]


_KERAS_SETTINGS = ("dtype_policy", "floatx", "image_data_format", "epsilon")
"""Global settings of Keras, each with a function that reads it and one that sets it."""


@contextmanager
def keras_settings_restored() -> Iterator[list[str]]:
    """Yield a list that receives the settings of Keras that the block changes; restore them."""
    import keras

    changed: list[str] = []
    before = {name: getattr(keras.config, name)() for name in _KERAS_SETTINGS}
    try:
        yield changed
    finally:
        for name in reversed(_KERAS_SETTINGS):
            if getattr(keras.config, name)() != before[name]:
                changed.insert(0, name)
                getattr(keras.config, f"set_{name}")(before[name])


def build(architecture: Architecture, shape: Sequence[int], classes: int, seed: int) -> keras.Model:
    """Build a network with the weights of a seed."""
    import keras

    keras.utils.set_random_seed(seed)
    height, width, channels = shape
    with keras_settings_restored():
        return architecture.build((height, width, channels), classes)


def weights_of(model: keras.Model) -> list[np.ndarray]:
    """Return the trainable weights as arrays."""
    import keras

    return [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]


def check_model(model: Any, shape: Sequence[int], classes: int) -> None:
    """Raise CheckFailed unless it is a model that the trainer can train as it is."""
    _raise(network_fault(model, shape, classes))


def check_probabilities(outputs: np.ndarray) -> None:
    """Raise CheckFailed unless each row is a probability distribution in float32."""
    _raise(probability_fault(outputs))


def _raise(fault: Fault | None) -> None:
    if fault is not None:
        raise CheckFailed(fault.what, fault.hint)


def check_layers(model: keras.Model) -> None:
    """Fail unless all layers and their settings can be loaded again, and as no other ones.

    Raises
    ------
    CheckFailed
        One is not registered, is registered without a package, or is a lambda.
    """
    _raise(saving_fault(model) or settings_fault(model))


def channels_first_layers(model: keras.Model) -> list[str]:
    """Return the names of layers that expect channels before rows and columns."""
    return [
        layer.name
        for layer in model._flatten_layers()
        if getattr(layer, "data_format", None) == "channels_first"
    ]


def train_really(
    architecture: Architecture, shape: Sequence[int], classes: int, folder: Path
) -> tuple[bool, list[float | None]]:
    """Train by `cellvision.train` on one batch per epoch.

    Returns
    -------
    changed : bool
        Whether a weight changed.
    losses : list of float or None
        The loss of each step; None if it is not a number. If the last layer of a frozen network
        is solved in one step, the loss of guessing precedes it.
    """
    import numpy as np

    from cellvision.backends.seeding import seeded
    from cellvision.data.preprocessing import Preprocessing
    from cellvision.testing.examples import SyntheticImages, example_experiment, example_plugins
    from cellvision.training.train import train
    from cellvision.training_settings import Training

    height, width, channels = shape
    names = tuple(f"class {number}" for number in range(classes))
    images = SyntheticImages(names=names, splits={"train": 4, "test": 1}, channels=channels)
    experiment = example_experiment(
        dataset=images,
        architecture=architecture,
        preprocessing=Preprocessing(size=(height, width), channels=tuple(range(channels))),
        training=Training(
            epochs=_STEPS,
            batch_size=4 * classes,
            precision="float32",
            devices="cpu",
            steps_per_execution=1,
            restarts=0,
        ),
    )
    out = next(
        path
        for path in (folder / f"training {number}" for number in itertools.count())
        if not path.exists()
    )
    with example_plugins():
        run = train(experiment, out, progress=False)
        trained = weights_of(run.model())
    losses = [float(loss) for loss in run.history["loss"]]
    if len(losses) == 1:
        losses.insert(0, float(np.log(classes)))
    with seeded(experiment.training.seed):
        start = weights_of(architecture.build((height, width, channels), classes))
    changed = any(
        not np.array_equal(before, after) for before, after in zip(start, trained, strict=False)
    )
    return changed, [loss if np.isfinite(loss) else None for loss in losses]


def step_losses(
    architecture: Architecture, model: keras.Model, classes: int
) -> tuple[bool, list[float | None]]:
    """Train a built network on one batch by its own recipe; returns as `train_really` does."""
    import numpy as np

    images, labels = example_batch(model.input_shape[1:], classes)
    before = weights_of(model)
    plan = TrainingPlan(1, _STEPS, len(images), (len(images) // classes,) * classes)
    recipe = architecture.recipe(plan)
    model.compile(recipe.optimizer, recipe.loss)
    losses: list[float] = []
    while len(losses) <= _STEPS and not (len(losses) > 3 and losses[-1] < losses[0]):
        losses.append(float(model.train_on_batch(images, labels)))
    changed = any(
        not np.array_equal(old, new) for old, new in zip(before, weights_of(model), strict=True)
    )
    return changed, [loss if np.isfinite(loss) else None for loss in losses]
