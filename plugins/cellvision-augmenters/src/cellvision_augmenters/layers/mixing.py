"""Layers that mix images of a batch, and their labels with them.

They take a pair, ``layer((images, labels), training=True)``, and return a pair.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from cellvision_augmenters.layers.base import RandomLayer, Tensor
from cellvision_augmenters.layers.intensity import rectangle

Pair = tuple[Tensor, Tensor]
"""Images (batch, height, width, channels) and labels (batch, classes)."""

_QUANTILES = 1025
"""Points of the table from which a beta distribution is drawn; no backend compiles one on a CPU."""


class MixingLayer(RandomLayer):
    """Mixes each image with another one of its batch, and their labels alike.

    Partners lie the same random distance apart in the batch, so no image meets itself.

    Parameters
    ----------
    seed, draws
        As for `RandomLayer`; one more draw finds the partners.
    probability
        How likely an image is mixed.
    """

    def __init__(self, seed: int, draws: int, probability: float, **kwargs: Any) -> None:
        super().__init__(seed, draws + 2, **kwargs)
        self.probability = probability

    def call(self, pair: Pair, training: bool = False) -> Pair:  # noqa: FBT001, FBT002 - as Keras calls it
        """Mix float images and one-hot labels; keep the dtype of both."""
        images, labels = (ops.convert_to_tensor(part) for part in pair)
        if not training:
            return images, labels
        mixed, targets = self.compiled_change(
            ops.cast(images, "float32"), ops.cast(labels, "float32"), self.draw(images)
        )
        return ops.cast(mixed, images.dtype), ops.cast(targets, labels.dtype)

    def compute_output_spec(
        self,
        pair: Pair,
        training: bool = False,  # noqa: FBT001, FBT002 - as Keras calls it
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Return the shapes and dtypes of the input."""
        del training
        images, labels = pair
        return (
            keras.KerasTensor(images.shape, images.dtype),
            keras.KerasTensor(labels.shape, labels.dtype),
        )

    def change(  # type: ignore[override]
        self, images: Tensor, labels: Tensor, draws: Tensor
    ) -> Pair:
        """Mix a batch of float32 images (batch, height, width, channels) and their labels."""
        count = ops.shape(images)[0]
        steps = ops.cast(ops.maximum(count - 1, 1), "float32")
        apart = 1 + ops.cast(ops.floor(draws[0, 0] * steps), "int32")
        partner = ops.mod(ops.arange(count, dtype="int32") + apart, count)
        mask = self.kept(images, draws[:, 2:])
        unchanged = (draws[:, 1] >= self.probability)[:, None, None, None]
        mask = ops.where(unchanged, ops.ones_like(mask), mask)
        share = ops.mean(mask, axis=(1, 2))
        mixed = images * mask + ops.take(images, partner, axis=0) * (1 - mask)
        return mixed, labels * share + ops.take(labels, partner, axis=0) * (1 - share)

    def kept(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return the weight of each image's own pixels, broadcastable to (batch, h, w, 1)."""
        raise NotImplementedError


class MixupLayer(MixingLayer):
    """Averages two images with random weights drawn from Beta(alpha, alpha)."""

    def __init__(self, alpha: float, probability: float, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, draws=1, probability=probability, **kwargs)
        self.quantiles = beta_quantiles(alpha)

    def kept(self, images: Tensor, draws: Tensor) -> Tensor:
        """Draw one weight per image; the larger one goes to the image itself."""
        del images
        position = draws[:, 0] * (_QUANTILES - 1)
        below = ops.floor(position)
        number = ops.cast(below, "int32")
        table = ops.convert_to_tensor(self.quantiles)
        low, high = ops.take(table, number), ops.take(table, number + 1)
        weight = low + (high - low) * (position - below)
        return ops.maximum(weight, 1 - weight)[:, None, None, None]


class CutmixLayer(MixingLayer):
    """Pastes a random rectangle of another image; its area is uniform from none to all."""

    def __init__(self, probability: float, seed: int, **kwargs: Any) -> None:
        super().__init__(seed, draws=3, probability=probability, **kwargs)

    def kept(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return 0 inside the rectangle, 1 outside."""
        _, height, width, _ = images.shape
        side = ops.sqrt(draws[:, 0])
        pasted = rectangle(height, width, side, side, draws[:, 1], draws[:, 2])
        return 1 - ops.cast(pasted, "float32")[..., None]


def beta_quantiles(alpha: float) -> np.ndarray:
    """Tabulate the quantile function of Beta(alpha, alpha) at evenly spaced probabilities."""
    from scipy.stats import beta

    quantiles = beta.ppf(np.linspace(0, 1, _QUANTILES), alpha, alpha)
    return np.asarray(quantiles, np.float32)
