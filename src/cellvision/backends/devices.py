"""Choose the devices of a training: the CPU, one GPU, or several that share each batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Literal

from cellvision import errors
from cellvision.backends import distributed, memory

Scope = Callable[[], AbstractContextManager[Any]]
"""Returns the context in which a network is built, trained and used on its devices."""

_SHARING_BACKENDS = frozenset({"jax", "tensorflow"})
"""Backends on which several devices can share a training."""


def accelerators() -> list[str]:
    """List the GPUs (or TPUs) that the Keras backend can use, as ``gpu:0``, ..."""
    import keras

    names = keras.distribution.list_devices()
    return [name for name in names if not name.startswith("cpu")]


def choose(setting: Literal["auto", "cpu"] | int, batch_size: int) -> list[str]:
    """Choose the devices to train on.

    Devices share every batch equally, so that its size is the same on any machine.

    Parameters
    ----------
    setting
        ``"auto"``: as many accelerators as can share a batch equally, or the CPU if there is
        none; ``"cpu"``; or the number of devices.
    batch_size
        Images per batch.

    Returns
    -------
    list of str
        Names of the devices.

    Raises
    ------
    errors.ExperimentError
        There are too few devices, or they cannot share a batch equally.
    """
    import keras

    processors: list[str] = keras.distribution.list_devices("cpu")
    pool = accelerators() or processors
    if distributed.world_size() > 1:
        return _choose_per_process(setting, batch_size, processors if setting == "cpu" else pool)
    if setting == "cpu":
        return processors[:1]
    if setting == "auto":
        most = len(pool) if accelerators() and keras.backend.backend() in _SHARING_BACKENDS else 1
        return pool[: max(count for count in range(1, most + 1) if batch_size % count == 0)]
    if setting > len(pool):
        raise errors.ExperimentError(
            f"training.devices is {setting}, but there are {len(pool)} devices: " + ", ".join(pool),
            "Request fewer, or --set training.devices=auto",
        )
    if batch_size % setting:
        raise errors.ExperimentError(
            f"{setting} devices cannot share a batch of {batch_size} images equally",
            f"--set training.batch_size={-(-batch_size // setting) * setting}, "
            "or --set training.devices=auto",
        )
    return pool[:setting]


def _choose_per_process(
    setting: Literal["auto", "cpu"] | int, batch_size: int, pool: list[str]
) -> list[str]:
    """Choose the same number of devices of each process, in the order of the processes."""
    groups = distributed.devices_by_process(pool)
    total, most = len(groups), min(map(len, groups))
    if isinstance(setting, int) and (setting % total or setting > most * total):
        raise errors.ExperimentError(
            f"training.devices is {setting}, but there are {total} processes with {most} "
            "devices each",
            f"Request a multiple of {total}, or --set training.devices=auto",
        )
    if isinstance(setting, int):
        most = setting // total
    elif setting == "cpu" or not accelerators():
        most = 1
    divisors = [count for count in range(1, most + 1) if batch_size % (count * total) == 0]
    if not divisors or (isinstance(setting, int) and divisors[-1] != most):
        raise errors.ExperimentError(
            f"{most * total} devices of {total} processes cannot share a batch of {batch_size} "
            "images equally",
            f"--set training.batch_size={-(-batch_size // (most * total)) * most * total}",
        )
    return [name for group in groups for name in group[: divisors[-1]]]


def sharing(devices: list[str]) -> Scope:
    """Return the scope in which devices train together, each with its share of every batch.

    A network uses one scope from its construction to its last prediction.

    Raises
    ------
    errors.ExperimentError
        Several devices cannot share a training on this backend.
    """
    import keras

    if len(devices) == 1:
        return partial(keras.device, devices[0])
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from cellvision.backends import tensorflow

        return tensorflow.mirrored(tuple(devices))
    if backend == "jax":
        # The batch loader gives each process its part of a batch.
        shared = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        scope: Scope = shared.scope
        return scope
    raise errors.ExperimentError(
        f"several devices cannot share a training on the {backend} backend",
        "Set KERAS_BACKEND to tensorflow or jax, or --set training.devices=1.",
    )


@contextmanager
def alone(device: str) -> Iterator[None]:
    """Compute on one device, also inside the scope in which several train together."""
    import keras

    shared = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        with keras.device(device):
            yield
    finally:
        keras.distribution.set_distribution(shared)


def accelerator_has_bfloat16() -> bool:
    """Whether the first accelerator computes in bfloat16 (NVIDIA: capability 8 or later)."""
    import keras

    capability: Any
    if keras.backend.backend() == "tensorflow":
        from cellvision.backends import tensorflow

        capability = tensorflow.compute_capability()
    else:
        import jax

        capability = getattr(jax.devices()[0], "compute_capability", "0")
    try:
        return float(capability) >= 8
    except ValueError:  # AMD GPUs have names, such as gfx90a
        return False


def free_memory() -> int:
    """Return the free bytes of the first device, at most those of main memory (JAX).

    Where neither is known, that is `sys.maxsize`.
    """
    import jax

    stats = jax.devices()[0].memory_stats() or {}  # a CPU uses main memory and has none
    limits = [memory.free_memory()]
    if "bytes_limit" in stats:
        limits.append(stats["bytes_limit"] - stats["bytes_in_use"])
    return min((limit for limit in limits if limit is not None), default=sys.maxsize)
