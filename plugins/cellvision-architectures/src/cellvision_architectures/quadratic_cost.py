"""The quadratic cost as a Keras loss. This module imports keras."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="cellvision_architectures")
class QuadraticCost(keras.losses.Loss):  # type: ignore[misc]
    """Half the squared distance between output and label: ½ Σ (a − y)², mean over the batch."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the cost of each image, shape (batch,)."""
        return ops.sum(ops.square(y_pred - ops.cast(y_true, y_pred.dtype)), axis=-1) / 2
