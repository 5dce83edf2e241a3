"""The output of a model's frozen layers: computed once per image, and cached."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.data.array_cache import open_array

if TYPE_CHECKING:
    from cellvision.training.frozen import FrozenSplit

_BATCH_VALUES = 2**20
"""Most input values in a batch of the frozen part, whose hidden layers hold many times more."""


def feature_key(split: FrozenSplit, content: Sequence[str], settings: Sequence[Any]) -> str:
    """Name features in the cache by all that they depend on.

    Parameters
    ----------
    split
        The model.
    content
        A digest of each image's pixels, in order.
    settings
        Other settings that determine the model's input, as JSON values, such as preprocessing.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    import keras

    digest = hashlib.sha256()
    text = json.dumps([split.digest, keras.backend.backend(), list(settings)], sort_keys=True)
    digest.update(text.encode())
    for image in content:
        digest.update(b"\n" + image.encode())
    return digest.hexdigest()[:32]


def frozen_features(
    split: FrozenSplit,
    pixels: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    key: str,
    variants: Sequence[Callable[[np.ndarray], np.ndarray]] = (np.asarray,),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> np.ndarray:
    """Compute the features of images, or read them from the cache.

    Parameters
    ----------
    split
        The model.
    pixels
        Returns the model's input for some rows, shape (n, height, width, channels).
    rows
        The images; features come in this order.
    key
        From `feature_key`; names the entry of the cache.
    variants
        Functions that change a batch of images, such as augmentation, one for each set of
        features. The key must identify them.
    progress
        Called with the number of images done and their total, first with 0.

    Returns
    -------
    numpy.ndarray
        Shape (variants, images, ...), float32, memory-mapped and read-only.

    Raises
    ------
    errors.FolderError
        The cache cannot be written.
    """
    shape = (len(variants), len(rows), *split.feature_shape)

    def compute(target: np.ndarray) -> None:
        values = math.prod(split.head.input_shape[1:])
        size = int(min(max(1, _BATCH_VALUES // values), max(1, len(rows))))
        progress(0, len(rows))
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            batch = np.asarray(pixels(chunk))
            if len(batch) < size:  # one shape, so one compiled program
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            for number, variant in enumerate(variants):
                output = np.asarray(split.head.predict_on_batch(variant(batch)), np.float32)
                target[number, start : start + len(chunk)] = output[: len(chunk)]
            progress(min(start + size, len(rows)), len(rows))

    return open_array("features", key, shape, np.dtype(np.float32), compute)
