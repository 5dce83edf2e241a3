"""Networks that output nearly the same for every image: they do not learn and get new weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

    from cellvision.training_settings import Training

SAMPLE = 256
"""Training images that show whether a network is dead."""

_SPREAD = 0.02
"""Outputs are constant if they vary less than this (SD over images)."""


def is_constant(probabilities: np.ndarray) -> bool:
    """Whether probabilities, shape (images, classes), are nearly the same for every image."""
    one_class = len(np.unique(probabilities.argmax(axis=1))) == 1
    return one_class and float(probabilities.std(axis=0).max()) < _SPREAD


def restart_epoch(training: Training) -> int:
    """Return the epoch after which a dead network is restarted: two after the warm-up."""
    return min(int(np.ceil(training.warmup_epochs)) + 2, training.epochs)


@contextmanager
def restored_statistics(model: keras.Model) -> Iterator[None]:
    """Restore non-trainable variables, such as moving averages, afterwards."""
    import keras

    before = [keras.ops.convert_to_numpy(v).copy() for v in model.non_trainable_variables]
    try:
        yield
    finally:
        for variable, value in zip(model.non_trainable_variables, before, strict=True):
            variable.assign(value)
