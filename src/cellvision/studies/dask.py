"""Runs of a study on the workers of a Dask cluster.

Each run is a task of its own. A worker trains it in its scratch folder and sends that folder
back, so that no folder for results need be shared; the images must be where every worker finds
them. A run whose worker dies is given to another one by Dask's scheduler; its folder appears in
the study when it has arrived whole, and once.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cellvision import errors
from cellvision.results import record

if TYPE_CHECKING:
    from distributed import Client, Future

    from cellvision.experiment import Experiment
    from cellvision.progress import Display
    from cellvision.studies.plan import PlannedRun, Runner

_CONNECT = 10
"""Seconds in which a scheduler must answer."""

_LOOK_EVERY = 0.2
"""Seconds between two looks at what has finished."""

_LOST = (
    "the cluster's scheduler no longer answers",
    "Finished runs are kept: give the same command again when it is back",
)

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)

_one_at_a_time = threading.Lock()
"""A worker's process has one compiled network, whatever the number of its threads."""


def connect(address: str) -> Client:
    """Reach a scheduler.

    Parameters
    ----------
    address
        Where it listens (``tcp://host:8786``), or the file that it was told to write
        (``dask scheduler --scheduler-file``).

    Raises
    ------
    errors.ExperimentError
        Dask is not installed, or no scheduler answers there.
    """
    distributed = _distributed()
    options = {"timeout": _CONNECT, "set_as_default": False}
    try:
        if Path(address).is_file():
            return distributed.Client(scheduler_file=address, **options)
        # First, since a client that cannot read it is left half open.
        comm = distributed.comm
        comm.get_address_host_port(comm.normalize_address(address), strict=True)
        return distributed.Client(address, **options)
    except (OSError, ValueError) as error:
        raise errors.ExperimentError(
            f"no Dask scheduler answers at {address}: {(str(error).splitlines() or [''])[0]}",
            "Start one with: dask scheduler; it prints its address, such as tcp://host:8786",
        ) from error


def carry_out(
    client: Client,
    waiting: Sequence[PlannedRun],
    folder: Path,
    done: int,
    display: Display,
) -> None:
    """Do runs on a cluster's workers; each appears in `folder` when it is whole.

    Parameters
    ----------
    client
        Connected to the cluster.
    waiting
        The runs to do.
    folder
        The study's ``runs``.
    done
        How many of the study's runs are there already.
    display
        Shown to whoever waits.

    Raises
    ------
    errors.CellvisionError
        The cluster is lost, a run ended several workers, or workers have other versions or
        other images than this process; and whatever a run itself raises, when those that
        workers already have are ended. What has finished is kept.
    """
    _check(client)
    pending = _submit(client, waiting)
    total = done + len(waiting)
    seen: dict[str, tuple[str, Any]] = {}
    fault: Exception | None = None
    told: set[str] = set()
    try:
        while pending:
            threads = _ask(client.nthreads)
            _warn(threads, told)
            display.runs(done, total, len(threads))
            for run in [run for run, future in pending.items() if future.done()]:
                try:
                    files = _result(run, pending.pop(run))
                    _check_images(run, files, seen)
                    _keep(run, files, folder)
                except Exception as error:  # noqa: BLE001 - raised when the others have ended
                    if fault is None and pending:
                        _log.warning(
                            "%s; no further run is handed out", str(error).partition("\n")[0]
                        )
                    fault = fault or error
                else:
                    done += 1
                    display.runs(done, total, len(threads))
            if fault is not None and pending:
                _cancel_those_not_handed_out(client, pending)
            time.sleep(_LOOK_EVERY)
    finally:
        for future in pending.values():
            future.cancel()
    if fault is not None:
        raise fault


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise errors.ExperimentError(
            "a study on a cluster needs Dask, which is not installed",
            "python -m pip install 'cellvision[cluster]'",
        ) from None
    return distributed


def _check(client: Client) -> None:
    kind = _distributed().Client
    if not isinstance(client, kind) or client.asynchronous:
        raise errors.ExperimentError(
            f"client: expected a distributed.Client that is not asynchronous, not {client!r:.80}",
            "client = distributed.Client('tcp://host:8786')",
        )


def _warn(threads: Mapping[str, int], told: set[str]) -> None:
    """Say once what keeps a study waiting."""
    if not threads:
        warning = "no worker is connected yet; the study waits for one"
    elif max(threads.values()) > 1:
        warning = (
            "a worker trains one run at a time, and some of these take several runs, which then "
            "wait for each other: start workers with --nthreads 1"
        )
    else:
        return
    if warning not in told:
        _log.warning("%s", warning)
        told.add(warning)


def _ask(question: Callable[[], Answer]) -> Answer:
    try:
        return question()
    except OSError as error:
        raise errors.CellvisionError(*_LOST) from error


def _submit(client: Client, waiting: Sequence[PlannedRun]) -> dict[PlannedRun, Future]:
    import uuid

    # Tells this call's tasks from those of one that was killed, and from one whose images or
    # workers were mended since: nothing of theirs is taken for ours.
    call = uuid.uuid4().hex
    return {
        run: client.submit(
            train_here,
            call,
            run.experiment.model_dump_json(),
            run.seed,
            run.control,
            _installed(run.experiment),
            _backend(),
            # One group of tasks: the scheduler keeps those that no worker has room for, and gives
            # them to workers that join later.
            key=(f"cellvision-{call}", run.name),
            priority=-place,  # in the study's order: a worker changes experiments once
        )
        for place, run in enumerate(waiting)
    }


def _cancel_those_not_handed_out(client: Client, pending: dict[PlannedRun, Future]) -> None:
    """After a fault, wait for what workers have, which cannot be stopped, and for no more."""
    held = {key for keys in _ask(client.processing).values() for key in keys}
    # Asked second, so that what has ended between the two questions counts.
    futures = list(pending.values())
    held |= {key for key, there in _ask(lambda: client.who_has(futures)).items() if there}
    for run in [run for run, future in pending.items() if future.key not in held]:
        pending.pop(run).cancel()


def _result(run: PlannedRun, future: Future) -> dict[str, bytes]:
    from distributed import KilledWorker

    try:
        files: dict[str, bytes] = future.result()
    except KilledWorker as error:
        raise errors.CellvisionError(
            f"run {run.name} (seed {run.seed}) ended {error.allowed_failures + 1} workers, "
            f"the last one at {error.last_worker.address}",
            "Their logs tell why; most often there was not enough memory",
        ) from error
    except CancelledError as error:
        raise errors.CellvisionError(*_LOST) from error
    return files


def _check_images(
    run: PlannedRun, files: Mapping[str, bytes], seen: dict[str, tuple[str, Any]]
) -> None:
    """Refuse a run of a worker that finds other images under the same path."""
    found = json.loads(files["audit.json"])["files"]
    first, images = seen.setdefault(run.experiment.model_dump_json(), (run.name, found))
    if found != images:
        raise errors.CellvisionError(
            f"run {run.name} was trained on other images than run {first}",
            "Let every worker find the same images under the data set's path",
        )


def _keep(run: PlannedRun, files: Mapping[str, bytes], folder: Path) -> None:
    """Write a run's folder, whole or not at all."""
    arriving = folder / f".{run.name}.arriving"
    shutil.rmtree(arriving, ignore_errors=True)  # of a study that was killed in this moment
    for name, content in files.items():
        path = arriving / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    place = record.claim(folder / run.name)
    place.rmdir()
    arriving.rename(place)


# --- on the worker -----------------------------------------------------------------------


def train_here(
    call: str,
    settings: str,
    seed: int,
    control: str | None,
    installed: Mapping[str, str],
    backend: str,
) -> dict[str, bytes]:
    """Train one run on a worker and give its folder's files.

    Parameters
    ----------
    call
        Identifies the call of `study` that this run belongs to.
    settings
        The experiment, as JSON.
    seed, control
        Those of this run.
    installed
        The distributions that the study's process has, with their versions.
    backend
        Keras' backend there.

    Returns
    -------
    dict
        Content by path relative to the run's folder.
    """
    from distributed import get_worker

    worker = get_worker()
    with _one_at_a_time:
        _check_alike(worker.address, installed, backend)
        runner = _runner(call, settings)
        with tempfile.TemporaryDirectory(prefix="run-", dir=worker.local_directory) as scratch:
            folder = Path(scratch)
            runner.do(seed, control, folder)
            return {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }


@lru_cache(maxsize=1)
def _runner(call: str, settings: str) -> Runner:
    """The images and the compiled network, kept from run to run."""
    del call  # another study must look at its images anew
    from cellvision.experiment import Experiment
    from cellvision.progress import Display
    from cellvision.studies.plan import Runner

    return Runner(Experiment.model_validate_json(settings), Display())


def _installed(experiment: Experiment) -> dict[str, str]:
    """What must be the same everywhere for runs to be runs of one study."""
    import importlib_metadata

    plugins = record.plugins_of(experiment).values()
    distributions = {requirement.partition("==")[0] for requirement in plugins}
    found = {}
    for name in sorted({"cellvision", "keras", *distributions}):
        try:
            found[name] = importlib_metadata.version(name)
        except (importlib_metadata.PackageNotFoundError, ValueError):
            continue  # registered by hand; a worker that lacks it says so
    return found


def _backend() -> str:
    import keras

    name: str = keras.backend.backend()
    return name


def _check_alike(address: str, installed: Mapping[str, str], backend: str) -> None:
    import importlib_metadata

    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name, version in installed.items():
        try:
            here = importlib_metadata.version(name)
        except importlib_metadata.PackageNotFoundError:
            here = "not installed"
        if here != version:
            raise errors.CellvisionError(
                f"{name} is {version} where the study was started and {here} on the worker "
                f"at {address}",
                f"Install it there: python -m pip install {name}=={version}",
            )
    if _backend() != backend:
        raise errors.CellvisionError(
            f"Keras' backend is {backend} where the study was started and {_backend()} on the "
            f"worker at {address}",
            f"Start the workers with KERAS_BACKEND={backend}",
        )
