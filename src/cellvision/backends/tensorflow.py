"""Everything that needs TensorFlow itself; the only module that imports it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from cellvision.backends.startup import suppressed_stderr


@cache
def mirrored(devices: tuple[str, ...]) -> Callable[[], AbstractContextManager[Any]]:
    """Return the scope that keeps a copy of the network on each device and sums gradients.

    The same devices always get the same strategy: a second one would number its collective
    operations from the start again and receive those of the first.
    """
    import tensorflow as tf

    scope: Callable[[], AbstractContextManager[Any]] = tf.distribute.MirroredStrategy(devices).scope
    return scope


def dataset(
    batches: Callable[[], Iterator[Any]],
    shape: tuple[int, ...],
    dtype: str,
    classes: int,
    *,
    grouped: bool,
) -> Any:
    """Return a ``tf.data.Dataset`` of batches that can be iterated repeatedly.

    Parameters
    ----------
    batches
        Returns an iterator over images and labels: batches, or if `grouped` stacks of batches.
    shape, dtype
        Shape and dtype of an image.
    classes
        Number of classes.
    grouped
        Whether `batches` yields stacks of batches.
    """
    import tensorflow as tf

    axes = (None, None) if grouped else (None,)
    signature = (
        tf.TensorSpec((*axes, *shape), dtype),
        tf.TensorSpec((*axes, classes), "float32"),
    )
    stacks = tf.data.Dataset.from_generator(batches, output_signature=signature)
    options = tf.data.Options()
    # There is nothing to tune, and every training would wait at its end for the tuning thread,
    # which sleeps for seconds (TensorFlow 2.21).
    options.autotune.enabled = False
    return (stacks.unbatch() if grouped else stacks).prefetch(2).with_options(options)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors with XLA."""
    import tensorflow as tf

    fused: Callable[..., Any] = tf.function(function, jit_compile=True)
    return fused


def use_one_thread_per_operation() -> bool:
    """Let each operation use one thread; return whether that was still possible.

    It is not if TensorFlow has started, has a GPU, or was configured otherwise.
    """
    import tensorflow as tf

    threading = tf.config.threading
    with suppressed_stderr():  # it prints that there is no driver
        gpus = tf.config.list_physical_devices("GPU")
    if gpus or "TF_NUM_INTRAOP_THREADS" in os.environ:
        return False
    if threading.get_intra_op_parallelism_threads():
        return False
    try:
        threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:
        return False
    return True


def thread_limit() -> int | None:
    """Return how many threads an operation may use; None if TensorFlow decides."""
    import tensorflow as tf

    limit = tf.config.threading.get_intra_op_parallelism_threads()
    variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return limit or (int(variable) if variable.isdecimal() else 0) or None


def compute_capability() -> float:
    """Return the compute capability of the first GPU; 0 if unknown."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    major, minor = tf.config.experimental.get_device_details(gpus[0]).get(
        "compute_capability", (0, 0)
    )
    return float(f"{major}.{minor}")


def gradient(score: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a function that computes the gradient of a score by its first argument.

    Parameters
    ----------
    score
        Maps images and a second argument to a number.
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def compiled(images: Any, other: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            total = score(images, other)
        return tape.gradient(total, images, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def compute(images: Any, other: Any) -> Any:
        return compiled(tf.constant(images), tf.constant(other)).numpy()

    return compute


def fused_batch_norm(layer: Any, images: Any, *, training: bool) -> Any:
    """Compute batch normalization over the last of four axes as one operation.

    Keras computes it as ten operations, each of which reads and writes all activations.

    Parameters
    ----------
    layer
        A built ``keras.layers.BatchNormalization`` whose moving averages are updated in training.
    images
        Tensor of shape (batch, height, width, channels).
    training
        Whether to normalize by the batch instead of by the moving averages.
    """
    import tensorflow as tf

    channels = images.shape[-1]
    scale = layer.gamma.value if layer.scale else tf.ones((channels,))
    offset = layer.beta.value if layer.center else tf.zeros((channels,))
    empty = tf.zeros((0,))
    normalized, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images,
        scale=scale,
        offset=offset,
        mean=empty if training else layer.moving_mean.value,
        variance=empty if training else layer.moving_variance.value,
        epsilon=layer.epsilon,
        is_training=training,
    )
    if training:
        count = tf.cast(tf.size(images) // channels, tf.float32)
        # The operation divides by count - 1, Keras by count.
        biased = variance * (count - 1) / count
        kept = layer.momentum
        layer.moving_mean.assign(layer.moving_mean * kept + mean * (1 - kept))
        layer.moving_variance.assign(layer.moving_variance * kept + biased * (1 - kept))
    return normalized
