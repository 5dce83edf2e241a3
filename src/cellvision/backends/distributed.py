"""One training by several processes, each on a machine or with GPUs of its own (JAX).

Every process runs the same command and takes its share of every batch. They find each other by
Keras' own environment variables (``KERAS_DISTRIBUTION_...``): which machines there are is no part
of an experiment, for it does not change the result. The first process writes the run's folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData

ADDRESS = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
"""The first process' host and port."""

_PATIENCE = 300.0
"""How many seconds a process waits for the first one, as long as JAX does."""

COUNT = "KERAS_DISTRIBUTION_NUM_PROCESSES"
NUMBER = "KERAS_DISTRIBUTION_PROCESS_ID"


def from_environment() -> tuple[int, int]:
    """How many processes the environment names, and which of them this one is, from 0.

    Raises
    ------
    errors.ExperimentError
        It does so in part, or in numbers that cannot be.
    """
    told = [name for name in (ADDRESS, COUNT, NUMBER) if os.environ.get(name)]
    if not told:
        return 1, 0
    hint = f"Set {ADDRESS}=HOST:PORT, {COUNT} and {NUMBER} (from 0), or none of them"
    missing = [name for name in (ADDRESS, COUNT, NUMBER) if name not in told]
    if missing:
        raise errors.ExperimentError(f"{told[0]} is set and {missing[0]} is not", hint)
    try:
        total, this = int(os.environ[COUNT]), int(os.environ[NUMBER])
    except ValueError:
        total, this = 0, 0
    if not re.fullmatch(r"[^,]+:\d+(,.+)?", os.environ[ADDRESS]):
        raise errors.ExperimentError(f"{ADDRESS}={os.environ[ADDRESS]}: not HOST:PORT", hint)
    if not 0 <= this < total:
        raise errors.ExperimentError(
            f"{COUNT}={os.environ[COUNT]}, {NUMBER}={os.environ[NUMBER]}: there is no such process",
            hint,
        )
    return total, this


_met = False


def join() -> None:
    """Meet the other processes, where the environment names them; waits for all.

    Nothing may have been computed before.

    Raises
    ------
    errors.ExperimentError
        The environment names them in part, or the backend is another one than JAX.
    errors.CellvisionError
        The first one cannot be reached, or something was computed before.
    """
    global _met
    total, this = from_environment()
    if _met or (total == 1 and "TF_CONFIG" not in os.environ):
        return
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow" or (total > 1 and backend != "jax"):
        raise errors.ExperimentError(
            f"one training by several processes takes the JAX backend, and this is {backend}",
            f"Set KERAS_BACKEND=jax, {ADDRESS}, {COUNT} and {NUMBER} for each; TF_CONFIG for none",
        )
    if total > 1:
        if this > 0:
            _reach(os.environ[ADDRESS].partition(",")[0])
        try:
            keras.distribution.initialize()
        except RuntimeError as error:
            raise errors.CellvisionError(
                f"the {total} processes cannot be joined: {errors.first_line(error)}",
                "Start all of them again",
            ) from None
        _met = True


def _reach(address: str) -> None:
    """Wait for the first process: JAX would end this one, and hardly say why."""
    host, _, port = address.rpartition(":")
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            if time.monotonic() >= until:
                raise errors.CellvisionError(
                    f"the first process does not answer at {address}: {error}",
                    f"Start it within {_PATIENCE / 60:.0f} minutes of this one, where {ADDRESS} "
                    "says and others can reach it",
                ) from None
            time.sleep(0.5)
        else:
            return


def refuse_several(what: str) -> None:
    """Refuse what several processes cannot do together.

    Raises
    ------
    errors.ExperimentError
        The environment names several.
    """
    if from_environment()[0] > 1:
        raise errors.ExperimentError(
            f"{what} cannot be shared by several processes, and {COUNT} names {from_environment()[0]}",
            "Unset it: several processes can train one run",
        )


def world_size() -> int:
    """How many processes train together."""
    import keras

    if keras.backend.backend() != "jax":
        return 1
    import jax

    return int(jax.process_count())


def rank() -> int:
    """Which of them this one is; the first, 0, writes."""
    if world_size() == 1:
        return 0
    import jax

    return int(jax.process_index())


def grouped(names: Sequence[str]) -> list[list[str]]:
    """Group devices by the process that they belong to, in order."""
    import jax

    groups: list[list[str]] = [[] for _ in range(world_size())]
    for device in jax.devices(names[0].partition(":")[0]):
        name = f"{device.platform}:{device.id}"
        if name in names:
            groups[device.process_index].append(name)
    return groups


def local_devices(names: Sequence[str]) -> list[str]:
    """Those of the devices that belong to this process."""
    return grouped(names)[rank()]


def shard(rows: np.ndarray) -> np.ndarray:
    """The part of this process in a batch, which can be shared equally."""
    return np.split(rows, world_size())[rank()]


def claim_on_first(claim: Callable[[Path], Path], folder: Path) -> Path:
    """Let the first process claim a folder; the others learn whether it could.

    Raises
    ------
    errors.FolderError
        It could not.
    """
    if world_size() == 1:
        return claim(folder)
    fault: errors.CellvisionError | None = None
    if rank() == 0:
        try:
            claim(folder)
        except errors.CellvisionError as error:
            fault = error
    good = _from_first(np.array(fault is None))
    if fault is not None:
        raise fault
    if not good:
        raise errors.FolderError(f"{folder}: the first process cannot write here", "See its error")
    return folder


def check_same_data(prepared: PreparedData) -> None:
    """See to it that all processes have the same images, in the same order.

    Raises
    ------
    errors.ExperimentError
        They have not.
    """
    if world_size() == 1:
        return
    from jax.experimental import multihost_utils

    table = prepared.catalog.table[["image", "split", "label"]]
    digest = hashlib.sha256(table.to_csv(index=False).encode())
    digest.update(prepared.experiment.training.model_dump_json().encode())
    digest.update(str((prepared.pixels.shape, prepared.pixels.dtype, prepared.zero)).encode())
    mine = np.frombuffer(digest.digest()[:4], np.int32)
    found = np.asarray(multihost_utils.process_allgather(mine))
    if len(np.unique(found)) > 1:
        raise errors.ExperimentError(
            "the processes do not train on the same images with the same settings",
            "Give all of them the same command, and a folder of images that all of them see",
        )


def wait_for_first(folder: Path) -> None:
    """Wait until the first process has written the run's folder.

    Raises
    ------
    errors.FolderError
        The folder is not there for this process.
    """
    if world_size() == 1:
        return
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("cellvision: the run is written")
    if not (folder / "run.json").is_file():
        raise errors.FolderError(
            f"{folder}: the first process has written the run, and this one cannot see it",
            "Name a folder that all machines share; the run itself is done",
        )


def _from_first(value: np.ndarray) -> Any:
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(value)
