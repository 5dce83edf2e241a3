"""Statistics of batch normalization, recomputed at the end of a training.

Running averages follow the activations slowly: with Keras' momentum of 0.99 they are still near
their start after 80 updates, and a network that fits its training images then scores at chance
level in evaluation. The averages over batches of training images do not lag. Wu and Johnson (2021),
Rethinking "Batch" in BatchNorm, arXiv 2105.07576, section 3.

During the training, validation needs running averages that describe the network of this epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

_MOST_IMAGES = 2048
"""Images that suffice for the averages."""


_LEAST_MOMENTUM = 0.5
"""Momentum with few steps per epoch; a mean over fewer batches would be too noisy."""


def follow_within_epoch(model: keras.Model, steps_per_epoch: int) -> None:
    """Lower the momentum of running averages so that they follow within an epoch.

    With few steps per epoch they would describe the network of some epochs ago, and validation
    would score a learning network at chance level. Their final values do not matter, since
    `refresh_batch_norm` replaces them.

    Parameters
    ----------
    model
        The training model.
    steps_per_epoch
        Training steps per epoch. After an epoch, the old averages have a weight of about 1/7.
    """
    momentum = max(1 - 2 / steps_per_epoch, _LEAST_MOMENTUM)
    for layer in _layers(model):
        layer.momentum = min(layer.momentum, momentum)


def refresh_batch_norm(
    model: keras.Model,
    inputs: Callable[[np.ndarray], Any],
    rows: np.ndarray,
    batch_size: int,
) -> None:
    """Set moving means and variances to averages over batches of training images.

    Parameters
    ----------
    model
        The training model, with its augmenters.
    inputs
        Returns the model's inputs for some rows.
    rows
        Rows of the training images, in random order.
    batch_size
        Images per batch: that of the training, since the variance depends on it.
    """
    layers = list(_layers(model))
    if not layers:
        return
    whole = max(len(rows) // batch_size, 1)
    batches = min(whole, max(_MOST_IMAGES // batch_size, 1))
    momenta = [layer.momentum for layer in layers]
    try:
        for number in range(batches):
            for layer in layers:
                layer.momentum = number / (number + 1)  # makes the moving average a plain mean
            model(inputs(rows[number * batch_size : (number + 1) * batch_size]), training=True)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _layers(model: keras.Model) -> Iterator[Any]:
    import keras

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            yield layer
