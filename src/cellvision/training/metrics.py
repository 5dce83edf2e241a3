"""Further metrics of an architecture's recipe: checked before training, and with mixed labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.training.batches import one_hot

if TYPE_CHECKING:
    import keras

    from cellvision.interfaces.architecture import Architecture, TrainingRecipe

_COLUMNS = ("epoch", "loss", "accuracy", "seconds")
"""Columns of ``history.csv`` that no further metric may replace."""


def recipe_metrics(architecture: Architecture, recipe: TrainingRecipe) -> list[Any]:
    """Return the further metrics of a recipe.

    Raises
    ------
    errors.PluginContractError
        One of them is not a Keras metric, or takes a name that is in use.
    """
    if isinstance(recipe.metrics, str) or not isinstance(recipe.metrics, Sequence):
        raise _refusal(
            architecture,
            f"recipe() returned the metrics {recipe.metrics!r}, which are not a list",
            "Return TrainingRecipe(optimizer, metrics=[keras.metrics.Precision()]).",
        )
    metrics: list[keras.metrics.Metric] = []
    for value in recipe.metrics:
        metric = _metric(architecture, value)
        column = metric.name.removeprefix("val_")
        if column in _COLUMNS or metric.name in {other.name for other in metrics}:
            raise _refusal(
                architecture,
                f"recipe() returned a metric named {metric.name!r}, a name that is in use",
                'Name it otherwise: keras.metrics.Precision(name="precision_of_cells").',
            )
        metrics.append(metric)
    return metrics


def _metric(architecture: Architecture, value: Any) -> Any:
    import keras

    try:
        metric = keras.metrics.get(value)
    except (TypeError, ValueError):
        metric = None
    if isinstance(value, str) and callable(metric) and not isinstance(metric, keras.metrics.Metric):
        return keras.metrics.MeanMetricWrapper(metric, name=value)
    if not isinstance(metric, keras.metrics.Metric):
        raise _refusal(
            architecture,
            f"recipe() returned the metric {value!r}, which is not a keras.metrics.Metric",
            "Return an instance, such as keras.metrics.Precision(), or the name of one of Keras.",
        )
    return metric


def require_numbers(architecture: Architecture, metrics: Sequence[Any], classes: int) -> None:
    """Refuse metrics that fail on a few images, or do not give one number.

    Parameters
    ----------
    architecture
        The architecture whose recipe names them.
    metrics
        The metrics; their state is reset.
    classes
        Number of classes.

    Raises
    ------
    errors.PluginContractError
        A metric fails, or its result is not one number.
    """
    labels = np.arange(2 * classes) % classes
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), len(labels))
    for metric in metrics:
        name = metric.name
        try:
            result = _result(metric, one_hot(labels, classes), probabilities.astype(np.float32))
        except Exception as error:  # third-party code
            raise _refusal(
                architecture,
                f"the metric {name!r} fails: {errors.summarize(error)}",
                "It gets one-hot labels and probabilities, both of shape (images, classes).",
            ) from error
        if np.shape(result) != () or not np.issubdtype(np.asarray(result).dtype, np.number):
            raise _refusal(
                architecture,
                f"the metric {name!r} gives {_description(result)}, not one number",
                'Average it over classes, such as keras.metrics.F1Score(average="macro").',
            )


def _result(metric: Any, targets: np.ndarray, probabilities: np.ndarray) -> Any:
    import keras

    metric.reset_state()
    metric.update_state(targets, probabilities)
    result = metric.result()
    if keras.ops.is_tensor(result):
        result = keras.ops.convert_to_numpy(result)
    metric.reset_state()
    return result


def _description(result: Any) -> str:
    return f"{np.size(result)} values" if np.shape(result) else f"a {type(result).__name__}"


def metric_scores(
    metrics: Sequence[Any], labels: np.ndarray, probabilities: np.ndarray, prefix: str
) -> dict[str, float]:
    """Return the values of metrics for images, by name with a prefix.

    Parameters
    ----------
    metrics
        The metrics.
    labels
        Shape (images,), integers.
    probabilities
        Shape (images, classes).
    prefix
        ``""`` for training, ``"val_"`` for validation.
    """
    targets = one_hot(labels, probabilities.shape[1])
    return {
        f"{prefix}{metric.name}": float(_result(metric, targets, probabilities))
        for metric in metrics
    }


def mixed_metric(metric: Any, classes: int) -> Any:
    """Measure against the larger part of the mixed labels in the output (see `label_mixing`)."""
    import keras

    class MixedLabelMetric(keras.metrics.Metric):  # type: ignore[misc]
        """A metric on mixed labels."""

        def __init__(self) -> None:
            super().__init__(name=metric.name)
            self.metric = metric

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            del y_true
            largest = keras.ops.argmax(y_pred[:, classes:], axis=-1)
            targets = keras.ops.one_hot(largest, classes, dtype=y_pred.dtype)
            return self.metric.update_state(targets, y_pred[:, :classes], sample_weight)

        def result(self) -> Any:
            return self.metric.result()

        def reset_state(self) -> None:
            self.metric.reset_state()

    return MixedLabelMetric()


def _refusal(architecture: Architecture, what: str, hint: str) -> errors.PluginContractError:
    plugin = architecture.registry.origin_of(type(architecture))
    return errors.PluginContractError(f"{plugin}: {what}", hint)
