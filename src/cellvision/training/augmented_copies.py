"""A fixed number of augmented copies of each image, for networks whose frozen layers run once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData

COPIES = 8
"""Augmented copies of each training image: the number of orientations of an image."""


def augmentation(prepared: PreparedData) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that augments a batch of pixels with the experiment's augmenters.

    The sequence of its results is the same for every seed of a training, so that the features
    of the copies can be cached and shared by the runs of a study.

    Parameters
    ----------
    prepared
        The images; no augmenter may mix labels.

    Returns
    -------
    callable
        Maps native pixels, shape (n, height, width, channels), to augmented ones in float32.
    """
    import keras

    zero, scale = prepared.zero, prepared.one - prepared.zero
    layers = [
        augmenter.build(number) for number, augmenter in enumerate(prepared.experiment.augmenters)
    ]

    def augment(pixels: np.ndarray) -> np.ndarray:
        images = (pixels.astype(np.float32) - zero) / scale
        for layer in layers:
            images = layer(images, training=True)
        varied: np.ndarray = keras.ops.convert_to_numpy(images) * scale + zero
        return varied

    return augment


def copies(prepared: PreparedData) -> Sequence[Callable[[np.ndarray], np.ndarray]]:
    """Return one function for each copy of a batch, to call in this order."""
    return (augmentation(prepared),) * COPIES
