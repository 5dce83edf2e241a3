"""Loss and accuracy for augmenters that mix the labels of images (mixup, cutmix).

A training model with such an augmenter returns probabilities and mixed labels side by side,
shape (batch, 2 * classes). Keras then needs no custom training step on any backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def mixed_loss(loss: str | keras.losses.Loss, classes: int) -> keras.losses.Loss:
    """Compute a loss against the mixed labels in the output instead of the original labels."""
    import keras

    function = keras.losses.get(loss)
    per_image = function.call if isinstance(function, keras.losses.Loss) else function

    class MixedLabelLoss(keras.losses.Loss):  # type: ignore[misc]
        """A loss on mixed labels."""

        def call(self, y_true: Any, y_pred: Any) -> Any:  # noqa: ARG002
            return per_image(y_pred[:, classes:], y_pred[:, :classes])

    return MixedLabelLoss(name="mixed_label_loss")


def mixed_accuracy(classes: int) -> keras.metrics.Metric:
    """Measure accuracy against the larger part of the mixed labels."""
    import keras

    def accuracy(y_true: Any, y_pred: Any) -> Any:  # noqa: ARG001
        return keras.metrics.categorical_accuracy(y_pred[:, classes:], y_pred[:, :classes])

    return keras.metrics.MeanMetricWrapper(accuracy, name="accuracy")
