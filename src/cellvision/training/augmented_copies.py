"""A fixed number of augmented copies of each image, for networks whose frozen layers run once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData

COPIES = 8
"""Augmented copies of each training image: as many as an image has orientations."""


def augmentation(prepared: PreparedData) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that augments a batch of pixels, in the experiment's way.

    The sequence of its results is the same for every seed of a training, so that the features
    of the copies can be cached and shared by the runs of a study.

    Parameters
    ----------
    prepared
        The images; no augmenter may mix labels.

    Returns
    -------
    callable
        Maps native pixels, shape (n, height, width, channels), to varied ones in float32.
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
    """Return functions that make the copies of a batch, one after the other."""
    return (augmentation(prepared),) * COPIES
