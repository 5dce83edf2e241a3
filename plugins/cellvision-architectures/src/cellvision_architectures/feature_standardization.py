"""Standardization of features by the statistics of the training images."""

from __future__ import annotations

from typing import Any

_EPSILON = 1e-12
"""Added to the variance. Far below that of any feature; Keras' 0.001 would change some."""


def standardized(features: Any) -> Any:
    """Subtract the mean of the training images and divide by their standard deviation.

    The layer has no weights that are trained. The trainer finds it by its structure and sets its
    statistics to those of the training images.

    Parameters
    ----------
    features
        Symbolic tensor, shape (n, features).
    """
    from keras import layers

    return layers.BatchNormalization(
        center=False, scale=False, epsilon=_EPSILON, name="standardize", dtype="float32"
    )(features)
