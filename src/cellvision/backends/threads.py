"""Number of threads per operation of the network: one if operations are small."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision.concurrency import available_processors

if TYPE_CHECKING:
    from cellvision.experiment import Experiment

_THREADS_PAY_OFF = 2**19
"""Input values per step, times processors, above which several threads per operation are faster.
Measured with two processors only: one thread per operation is up to twice as fast for 28×28
pixels, faster at 245,760 values per step, and at 552,960 slower in float32 and faster in bfloat16.
That more processors gain more is an assumption."""

_log = logging.getLogger(__name__)

_single_threaded = False
"""Whether this module has limited operations to one thread in this process."""


def configure_threads(*experiments: Experiment) -> None:
    """Set TensorFlow's number of threads per operation to suit some experiments.

    This is possible once, before TensorFlow has used a device; later calls do nothing.
    Independent operations run in parallel in any case. A number that the user has set stays.

    Parameters
    ----------
    experiments
        All experiments that this process is going to train.
    """
    global _single_threaded
    import keras

    if keras.backend.backend() != "tensorflow":
        return
    from cellvision.backends import tensorflow

    if suitable_threads(experiments, available_processors()) == 1:
        _single_threaded = tensorflow.use_one_thread_per_operation() or _single_threaded
    elif _single_threaded:
        _log.warning(
            "this process started with small images, for which TensorFlow uses one thread per "
            "operation; large images train faster in a new process"
        )


def suitable_threads(experiments: Sequence[Experiment], processors: int) -> int:
    """Return how many threads an operation of some networks should use.

    Parameters
    ----------
    experiments
        The experiments that a process is going to train.
    processors
        Number of processors for it.
    """
    values = max(
        experiment.training.batch_size * math.prod(experiment.preprocessing.input_shape)
        for experiment in experiments
    )
    return 1 if values * processors < _THREADS_PAY_OFF else processors


def thread_limit() -> int | None:
    """Return how many threads an operation may use; None if TensorFlow or JAX decides."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return None
    from cellvision.backends import tensorflow

    return tensorflow.thread_limit()
