"""Optimizer, schedule and loss of a training: the architecture's recipe and its overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.interfaces.architecture import TrainingPlan, TrainingRecipe

if TYPE_CHECKING:
    import keras

    from cellvision.experiment import Experiment
    from cellvision.training_settings import Training


def training_recipe(
    experiment: Experiment, plan: TrainingPlan, class_names: tuple[str, ...]
) -> TrainingRecipe:
    """Combine the architecture's recipe with the overrides of the experiment.

    Parameters
    ----------
    experiment
        Its architecture gives the recipe, and its training settings override it.
    plan
        Length of the training and class counts.
    class_names
        Names of the classes, in the order of `plan.class_counts`.

    Raises
    ------
    errors.ExperimentError
        Keras has no such optimizer, or a setting does not fit the recipe's loss.
    errors.PluginContractError
        The architecture's recipe is not a `TrainingRecipe` with a Keras optimizer.
    """
    recipe = _architecture_recipe(experiment, plan)
    training = experiment.training
    optimizer = _optimizer(training, recipe.optimizer, plan)
    loss = _smoothed(recipe.loss, training.label_smoothing)
    weights = class_weights(training.class_weights, plan.class_counts, class_names)
    if weights is not None:
        loss = _weighted(loss, weights)
    return replace(recipe, optimizer=optimizer, loss=loss)


def _architecture_recipe(experiment: Experiment, plan: TrainingPlan) -> TrainingRecipe:
    import keras

    recipe = experiment.architecture.recipe(plan)
    plugin = experiment.architecture.registry.origin_of(type(experiment.architecture))
    if not isinstance(recipe, TrainingRecipe):
        raise errors.PluginContractError(
            f"{plugin}: recipe() returned {type(recipe).__name__}, not a TrainingRecipe",
            "Return cellvision.TrainingRecipe(optimizer, loss)",
        )
    if not isinstance(recipe.optimizer, keras.optimizers.Optimizer):
        raise errors.PluginContractError(
            f"{plugin}: recipe() returned the optimizer {recipe.optimizer!r}, "
            "which is not a keras.optimizers.Optimizer",
            "Create the optimizer, such as keras.optimizers.Adam(0.001)",
        )
    callbacks: object = recipe.callbacks
    if not isinstance(callbacks, list | tuple) or not all(
        isinstance(callback, keras.callbacks.Callback) for callback in callbacks
    ):
        raise errors.PluginContractError(
            f"{plugin}: recipe() returned the callbacks {callbacks!r:.80}, which are not a list "
            "of keras.callbacks.Callback",
            "Create each callback, such as callbacks=[keras.callbacks.TerminateOnNaN()]",
        )
    _require_usable_loss(plugin, recipe.loss, len(plan.class_counts))
    return recipe


def _require_usable_loss(plugin: str, loss: Any, classes: int) -> None:
    """Refuse a loss that does not take one-hot labels and probabilities."""
    import keras

    try:
        labels, probabilities = np.eye(classes, dtype=np.float32), np.full((classes,) * 2, 0.5)
        value = keras.losses.get(loss)(labels, probabilities.astype(np.float32))
        float(np.mean(keras.ops.convert_to_numpy(value)))
    except Exception as error:
        raise errors.PluginContractError(
            f"{plugin}: recipe() returned the loss {loss!r:.80}, which fails for one-hot labels "
            f"and probabilities: {errors.first_line(error)}",
            "Return one that takes them, such as 'categorical_crossentropy'",
        ) from error


def _optimizer(
    training: Training, recipe: keras.optimizers.Optimizer, plan: TrainingPlan
) -> keras.optimizers.Optimizer:
    optimizer = recipe if training.optimizer is None else _named_optimizer(training.optimizer)
    settings: dict[str, Any] = optimizer.get_config()
    changes: dict[str, Any] = {}
    rate = _learning_rate(training, settings["learning_rate"], plan)
    if rate is not None:
        changes["learning_rate"] = rate
    if training.weight_decay is not None:
        changes["weight_decay"] = training.weight_decay
    if training.clip_norm is not None:
        changes |= {"clipnorm": None, "clipvalue": None, "global_clipnorm": training.clip_norm}
    if training.ema is not None:
        changes |= {"use_ema": True, "ema_momentum": training.ema}
    if not changes:
        return optimizer
    return type(optimizer).from_config({**settings, **changes})


def _named_optimizer(name: str) -> keras.optimizers.Optimizer:
    import keras

    try:
        return keras.optimizers.get(name)
    except (ValueError, TypeError, KeyError):  # the last two: classes that are no whole optimizer
        known = sorted(
            name.lower()
            for name, value in vars(keras.optimizers).items()
            if isinstance(value, type)
            and issubclass(value, keras.optimizers.Optimizer)
            and value not in (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)
        )
        raise errors.ExperimentError(
            f"training.optimizer: Keras has no optimizer {name!r}", f"One of {', '.join(known)}"
        ) from None


def _learning_rate(training: Training, recipe: Any, plan: TrainingPlan) -> Any:
    """Return the learning rate or schedule to use; None keeps the recipe's."""
    import keras

    if training.schedule is None:
        if training.warmup_epochs:
            raise errors.ExperimentError(
                "training.warmup_epochs needs a learning-rate schedule",
                "--set training.schedule=cosine, or constant",
            )
        return _rescaled(recipe, training.learning_rate)
    peak = training.learning_rate if training.learning_rate is not None else _peak(recipe)
    warmup = round(training.warmup_epochs * plan.steps_per_epoch)
    if training.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else peak,
            decay_steps=max(plan.steps - warmup, 1),
            warmup_target=peak if warmup else None,
            warmup_steps=warmup,
        )
    if warmup:
        # A polynomial of power 1 that stays at its end value is a linear warm-up.
        return keras.optimizers.schedules.PolynomialDecay(
            initial_learning_rate=peak / warmup, decay_steps=warmup, end_learning_rate=peak
        )
    return peak


_RATES = ("initial_learning_rate", "warmup_target", "end_learning_rate", "values")
"""Settings of Keras' schedules that are learning rates."""


def _rescaled(recipe: Any, peak: float | None) -> Any:
    """Return the recipe's rate or schedule with another highest rate; None keeps it."""
    if peak is None or not isinstance(recipe, Mapping):
        return peak
    factor = peak / _peak(recipe)
    config = dict(recipe["config"])
    for name in _RATES:
        if config.get(name) is not None:
            value = config[name]
            config[name] = (
                [factor * each for each in value] if isinstance(value, list) else factor * value
            )
    return {**recipe, "config": config}


def _peak(rate: Any) -> float:
    """Return the highest rate of a recipe, which may be a number or the config of a schedule."""
    if not isinstance(rate, Mapping):
        return float(rate)
    config = rate["config"]
    rates = [config[name] for name in _RATES if config.get(name) is not None]
    if rate.get("module") != "keras.optimizers.schedules" or not rates:
        raise errors.ExperimentError(
            f"the highest learning rate of the recipe's schedule, {rate.get('class_name')}, is not "
            "known",
            "Set both training.schedule and training.learning_rate.",
        )
    return float(np.max(np.hstack(rates)))


def _smoothed(loss: str | keras.losses.Loss, smoothing: float | None) -> str | keras.losses.Loss:
    import keras

    if smoothing is None:
        return loss
    loss = keras.losses.get(loss)
    if loss is keras.losses.categorical_crossentropy or isinstance(
        loss, keras.losses.CategoricalCrossentropy
    ):
        return keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    if smoothing == 0:
        return loss
    raise errors.ExperimentError(
        "training.label_smoothing works with cross-entropy only, and the architecture's recipe "
        f"has the loss {getattr(loss, 'name', None) or getattr(loss, '__name__', loss)}",
        "Set training.label_smoothing to 0, also if a recipe chose it",
    )


def class_weights(
    setting: str | Mapping[str, float] | None,
    counts: tuple[int, ...],
    class_names: tuple[str, ...],
) -> np.ndarray | None:
    """Return the weight of each class in the loss, shape (classes,); None for equal weights.

    Parameters
    ----------
    setting
        ``"balanced"``: images of a class weigh n / (classes * count), so that every class has
        the same total weight; or weights by class name; None for equal weights.
    counts
        Training images of each class.
    class_names
        Names of the classes.

    Raises
    ------
    errors.ExperimentError
        A name is not a class, or a class has no weight.
    """
    if setting is None:
        return None
    if isinstance(setting, str):
        number = np.maximum(np.asarray(counts, np.float32), 1)
        weights: np.ndarray = number.sum() / (len(number) * number)
        return weights
    unknown = sorted(set(setting) - set(class_names))
    missing = sorted(set(class_names) - set(setting))
    if unknown or missing:
        name = (unknown or missing)[0]
        problem = "is not a class" if unknown else "has no weight"
        raise errors.ExperimentError(
            f"training.class_weights: {name!r} {problem}",
            f"Give a weight to each of {', '.join(class_names)}, or 'balanced'",
        )
    return np.asarray([setting[name] for name in class_names], np.float32)


def _weighted(loss: str | keras.losses.Loss, weights: np.ndarray) -> keras.losses.Loss:
    """Weight the loss of each image by its class."""
    import keras

    function = keras.losses.get(loss)
    per_image = function.call if isinstance(function, keras.losses.Loss) else function

    class ClassWeightedLoss(keras.losses.Loss):  # type: ignore[misc]
        """A loss with one weight per class."""

        def call(self, y_true: Any, y_pred: Any) -> Any:
            weight = keras.ops.sum(y_true * keras.ops.cast(weights, y_true.dtype), axis=-1)
            return per_image(y_true, y_pred) * weight

    return ClassWeightedLoss(name="class_weighted_loss")
