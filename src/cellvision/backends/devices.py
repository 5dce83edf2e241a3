"""Where a network is trained: the CPU, one GPU, or several devices that share each batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

from cellvision import errors
from cellvision.backends import distributed

Scope = Callable[[], AbstractContextManager[Any]]
"""Makes the context in which a network is built, trained and used on its devices."""

_SHARING = frozenset({"jax", "tensorflow"})
"""The backends on which several devices can share a training."""


def accelerators() -> list[str]:
    """The GPUs (or TPUs) that Keras' backend can use, as ``gpu:0``, ..."""
    import keras

    names = keras.distribution.list_devices()
    return [name for name in names if not name.startswith("cpu")]


def choose(asked: Literal["auto", "cpu"] | int, batch_size: int) -> list[str]:
    """Name the devices to train on.

    Every batch is shared equally, so that its size is what was asked for on any machine.

    Parameters
    ----------
    asked
        ``"auto"``: as many accelerators as can share a batch equally, or the CPU where there
        are none; ``"cpu"``; or how many devices.
    batch_size
        Images a batch.

    Raises
    ------
    errors.ExperimentError
        There are not as many, or they cannot share a batch equally.
    """
    import keras

    processors: list[str] = keras.distribution.list_devices("cpu")
    pool = accelerators() or processors
    if distributed.world_size() > 1:
        return _choose_in_each(asked, batch_size, processors if asked == "cpu" else pool)
    if asked == "cpu":
        return processors[:1]
    if asked == "auto":
        most = len(pool) if accelerators() and keras.backend.backend() in _SHARING else 1
        return pool[: max(count for count in range(1, most + 1) if batch_size % count == 0)]
    if asked > len(pool):
        raise errors.ExperimentError(
            f"training.devices asks for {asked} devices, and there are {len(pool)}: "
            + ", ".join(pool),
            "Ask for fewer, or --set training.devices=auto",
        )
    if batch_size % asked:
        raise errors.ExperimentError(
            f"{asked} devices cannot share a batch of {batch_size} images equally",
            f"--set training.batch_size={-(-batch_size // asked) * asked}, "
            "or --set training.devices=auto",
        )
    return pool[:asked]


def _choose_in_each(
    asked: Literal["auto", "cpu"] | int, batch_size: int, pool: list[str]
) -> list[str]:
    """Name as many devices of each process, in the order of the distributed."""
    groups = distributed.grouped(pool)
    total, most = len(groups), min(map(len, groups))
    if isinstance(asked, int) and (asked % total or asked > most * total):
        raise errors.ExperimentError(
            f"training.devices asks for {asked} devices, and there are {total} processes with "
            f"{most} each",
            f"Ask for a multiple of {total}, or --set training.devices=auto",
        )
    if isinstance(asked, int):
        most = asked // total
    elif asked == "cpu" or not accelerators():
        most = 1
    able = [each for each in range(1, most + 1) if batch_size % (each * total) == 0]
    if not able or (isinstance(asked, int) and able[-1] != most):
        raise errors.ExperimentError(
            f"{most * total} devices of {total} processes cannot share a batch of {batch_size} "
            "images equally",
            f"--set training.batch_size={-(-batch_size // (most * total)) * most * total}",
        )
    return [name for group in groups for name in group[: able[-1]]]


def sharing(devices: list[str]) -> Scope:
    """Give the scope in which these devices train together, each its share of every batch.

    One scope serves a network from its building to its last prediction.

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
        # The feed gives each process its part of a batch.
        shared = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        scope: Scope = shared.scope
        return scope
    raise errors.ExperimentError(
        f"several devices cannot share a training on the {backend} backend",
        "Set KERAS_BACKEND to tensorflow or jax, or --set training.devices=1",
    )


def accelerator_has_bfloat16() -> bool:
    """Whether the first accelerator computes in bfloat16 (NVIDIA: compute capability 8 on)."""
    import keras

    capability: Any
    if keras.backend.backend() == "tensorflow":
        from cellvision.backends import tensorflow

        capability = tensorflow.compute_capability()
    else:
        import jax

        capability = getattr(jax.devices()[0], "compute_capability", "0")
    return float(capability) >= 8
