"""One training by several processes, each with its own machine or GPUs (JAX).

Every process runs the same command and trains on its share of every batch. Keras' environment
variables (``KERAS_DISTRIBUTION_...``) tell them where to meet. The machines are not part of the
experiment, because they do not change the result. The first process writes the run's folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData

ADDRESS = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
"""Environment variable with host and port of the first process."""

_TIMEOUT = 300.0
"""Seconds that a process waits for the first one; JAX waits as long."""

COUNT = "KERAS_DISTRIBUTION_NUM_PROCESSES"
"""Environment variable with the number of processes."""

NUMBER = "KERAS_DISTRIBUTION_PROCESS_ID"
"""Environment variable with the number of this process, from 0."""


def from_environment() -> tuple[int, int]:
    """Return the number of processes and the number of this one, from 0.

    Raises
    ------
    errors.ExperimentError
        Some of the environment variables are missing or invalid.
    """
    present = [name for name in (ADDRESS, COUNT, NUMBER) if os.environ.get(name)]
    if not present:
        return 1, 0
    hint = f"Set {ADDRESS}=HOST:PORT, {COUNT} and {NUMBER} (from 0), or none of them."
    missing = [name for name in (ADDRESS, COUNT, NUMBER) if name not in present]
    if missing:
        raise errors.ExperimentError(f"{present[0]} is set, but {missing[0]} is not", hint)
    try:
        count, number = int(os.environ[COUNT]), int(os.environ[NUMBER])
    except ValueError:
        count, number = 0, 0
    if not re.fullmatch(r"[^,]+:\d+(,.+)?", os.environ[ADDRESS]):
        raise errors.ExperimentError(f"{ADDRESS}={os.environ[ADDRESS]}: not HOST:PORT", hint)
    if not 0 <= number < count:
        raise errors.ExperimentError(
            f"{COUNT}={os.environ[COUNT]}, {NUMBER}={os.environ[NUMBER]}: there is no such process",
            hint,
        )
    return count, number


_joined = False


def join() -> None:
    """Join the other processes named by the environment; waits for all of them.

    Call it before anything is computed.

    Raises
    ------
    errors.ExperimentError
        Environment variables are missing or invalid, or the backend is not JAX.
    errors.CellvisionError
        The first process cannot be reached, or something was computed before.
    """
    global _joined
    count, number = from_environment()
    if _joined or (count == 1 and "TF_CONFIG" not in os.environ):
        return
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow" or (count > 1 and backend != "jax"):
        raise errors.ExperimentError(
            f"one training by several processes needs the JAX backend, not {backend}",
            f"Set KERAS_BACKEND=jax, {ADDRESS}, {COUNT} and {NUMBER}, and unset TF_CONFIG.",
        )
    if count > 1:
        if number > 0:
            _wait_for_address(os.environ[ADDRESS].partition(",")[0])
        try:
            keras.distribution.initialize()
        except RuntimeError as error:
            raise errors.CellvisionError(
                f"the {count} processes cannot be joined: {errors.first_line(error)}",
                "Start all of them again.",
            ) from None
        _joined = True


def _wait_for_address(address: str) -> None:
    """Wait for the first process; JAX would end this one with an obscure message."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            if time.monotonic() >= deadline:
                raise errors.CellvisionError(
                    f"the first process does not answer at {address}: {error}",
                    f"Start it within {_TIMEOUT / 60:.0f} minutes of this one, at the host and "
                    f"port in {ADDRESS}, reachable for the others.",
                ) from None
            time.sleep(0.5)
        else:
            return


def refuse_several(what: str) -> None:
    """Refuse work that several processes cannot share.

    Parameters
    ----------
    what
        The work, as the start of a sentence.

    Raises
    ------
    errors.ExperimentError
        The environment names several processes.
    """
    count = from_environment()[0]
    if count > 1:
        raise errors.ExperimentError(
            f"{what} cannot be shared by several processes, but {COUNT} is {count}",
            "Unset it. Several processes can share one run.",
        )


def world_size() -> int:
    """Return the number of processes that train together."""
    if "jax" not in sys.modules:  # nothing has joined processes; do not start a backend to ask
        return 1
    import keras

    if keras.backend.backend() != "jax":
        return 1
    import jax

    return int(jax.process_count())


def rank() -> int:
    """Return the number of this process; the first, 0, writes the results."""
    if world_size() == 1:
        return 0
    import jax

    return int(jax.process_index())


def devices_by_process(names: Sequence[str]) -> list[list[str]]:
    """Group devices by their process, in order."""
    import jax

    groups: list[list[str]] = [[] for _ in range(world_size())]
    for device in jax.devices(names[0].partition(":")[0]):
        name = f"{device.platform}:{device.id}"
        if name in names:
            groups[device.process_index].append(name)
    return groups


def local_devices(names: Sequence[str]) -> list[str]:
    """Return the devices of this process."""
    return devices_by_process(names)[rank()]


def shard(rows: np.ndarray) -> np.ndarray:
    """Return this process's part of a batch whose size is a multiple of the processes."""
    return np.split(rows, world_size())[rank()]


def claim_on_first(claim: Callable[[Path], Path], folder: Path) -> Path:
    """Claim a folder in the first process, and let the others know whether it succeeded.

    Raises
    ------
    errors.FolderError
        It failed.
    """
    if world_size() == 1:
        return claim(folder)
    fault: errors.CellvisionError | None = None
    if rank() == 0:
        try:
            claim(folder)
        except errors.CellvisionError as error:
            fault = error
    succeeded = _from_first(np.array(fault is None))
    if fault is not None:
        raise fault
    if not succeeded:
        raise errors.FolderError(
            f"{folder}: the first process cannot write here", "See its error message."
        )
    return folder


def check_same_data(prepared: PreparedData) -> None:
    """Check that all processes train on the same list of images, with the same settings.

    The check compares the names, splits and labels of the images in their order, the settings of
    the training, and the shape, dtype and `zero` of the pixels, but not the pixels themselves.

    Raises
    ------
    errors.ExperimentError
        They differ.
    """
    if world_size() == 1:
        return
    from jax.experimental import multihost_utils

    table = prepared.catalog.table[["image", "split", "label"]]
    digest = hashlib.sha256(table.to_csv(index=False).encode())
    digest.update(prepared.experiment.training.model_dump_json().encode())
    digest.update(str((prepared.pixels.shape, prepared.pixels.dtype, prepared.zero)).encode())
    own_digest = np.frombuffer(digest.digest()[:4], np.int32)
    all_digests = np.asarray(multihost_utils.process_allgather(own_digest))
    if len(np.unique(all_digests)) > 1:
        raise errors.ExperimentError(
            "the processes do not train on the same images with the same settings",
            "Run the same command in all of them, with a folder of images that all can read.",
        )


def wait_for_first(folder: Path) -> None:
    """Wait until the first process has written the run's folder.

    Raises
    ------
    errors.FolderError
        This process cannot see the folder.
    """
    if world_size() == 1:
        return
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("cellvision: the run is written")
    if not (folder / "run.json").is_file():
        raise errors.FolderError(
            f"{folder}: the first process has written the run, but this one cannot see it",
            "Name a folder that all machines share. The run itself is finished.",
        )


def _from_first(value: np.ndarray) -> Any:
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(value)
