"""How many threads share one operation of the network: one where operations are small."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from cellvision.data.image_stats import available_processors

if TYPE_CHECKING:
    from cellvision.experiment import Experiment

_WORTH_SHARING = 2**19
"""Input values a step, times processors, from which threads gain more than they cost. Measured
with two processors only: one thread an operation is up to twice as fast for 28×28 pixels, faster
at 245,760 values a step, and at 552,960 slower in float32 and faster in bfloat16. That more
processors have more to gain is a guess."""

_log = logging.getLogger(__name__)

_narrow = False
"""Whether this process computes with one thread an operation because of this module."""


def configure_threads(*experiments: Experiment) -> None:
    """Let TensorFlow start with as many threads an operation as suit these experiments.

    It can be told once, before it has touched a device; after that this does nothing. Operations
    that do not depend on each other run side by side in any case. A number that the user has set
    stays.

    Parameters
    ----------
    experiments
        All that this process is to train.
    """
    global _narrow
    import keras

    if keras.backend.backend() != "tensorflow":
        return
    from cellvision.backends import tensorflow

    most = max(
        each.training.batch_size * math.prod(each.preprocessing.input_shape) for each in experiments
    )
    if most * available_processors() < _WORTH_SHARING:
        _narrow = tensorflow.use_one_thread_an_operation() or _narrow
    elif _narrow:
        _log.warning(
            "this process began with small images, for which TensorFlow uses one thread an "
            "operation: large ones are trained sooner in a new process"
        )
