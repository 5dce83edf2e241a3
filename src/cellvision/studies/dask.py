"""Train the runs of a study on the workers of a Dask cluster.

Each run is a task. A worker trains it in its scratch folder and returns the folder's content, so
results need no shared file system; every worker must be able to read the images. If a worker dies,
Dask's scheduler assigns its run to another one. A run's folder appears in the study when it is
complete.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cellvision import atomic_io, errors
from cellvision.local_plugins import raise_if_unreachable
from cellvision.results.claimed_folder import clear_folder
from cellvision.studies.dask_worker import (
    installed_versions,
    keras_backend,
    local_plugin_digests,
    train_on_worker,
)

if TYPE_CHECKING:
    from distributed import Client, Future

    from cellvision.progress import Display
    from cellvision.studies.failed_controls import FailedControls
    from cellvision.studies.plan import PlannedRun

_CONNECTION_TIMEOUT = 10
"""Seconds to wait for a scheduler."""

_POLL_INTERVAL = 0.2
"""Seconds between checks for finished runs."""

_LOST = (
    "the cluster's scheduler no longer answers",
    "Finished runs are safe. Run the same command again when the scheduler is back.",
)

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


def connect(address: str) -> Client:
    """Connect to a Dask scheduler.

    Parameters
    ----------
    address
        Address of the scheduler (``tcp://host:8786``), or path of its scheduler file (``dask
        scheduler --scheduler-file``).

    Raises
    ------
    errors.ExperimentError
        Dask is not installed, or no scheduler answers at the address.
    """
    distributed = _distributed()
    options = {"timeout": _CONNECTION_TIMEOUT, "set_as_default": False}
    try:
        if Path(address).is_file():
            return distributed.Client(scheduler_file=address, **options)
        # Check the address first, because a client that cannot parse it remains half open.
        comm = distributed.comm
        comm.get_address_host_port(comm.normalize_address(address), strict=True)
        return distributed.Client(address, **options)
    except (OSError, ValueError) as error:
        raise errors.ExperimentError(
            f"no Dask scheduler answers at {address}: {errors.first_line(error)}",
            "Start one with: dask scheduler. It prints its address, such as tcp://host:8786.",
        ) from error


def train_on_cluster(
    client: Client,
    waiting: Sequence[PlannedRun],
    folder: Path,
    done: int,
    display: Display,
    failed: FailedControls,
) -> None:
    """Train runs on the workers of a cluster; each appears in `folder` when complete.

    Parameters
    ----------
    client
        Client connected to the cluster.
    waiting
        Runs to train.
    folder
        Folder ``runs`` of the study.
    done
        Number of runs of the study that are already finished.
    display
        Shows progress.
    failed
        Receives the controls that fail.

    Raises
    ------
    errors.CellvisionError
        The scheduler does not answer, a run killed several workers, a worker has other versions
        than this process, or a run was trained on other images than the first finished run of
        its experiment in this call; also any error that a run of an experiment raises. Runs that
        have started are finished first, and all finished runs are kept.
    """
    _check_client(client)
    for run in waiting:
        raise_if_unreachable((run.experiment, run.component))
    total = done + len(waiting)
    pending = _submit(client, waiting)
    collector = _Collector(folder, failed)
    warned: set[str] = set()
    try:
        while pending:
            threads = _request(client.nthreads)
            _warn_if_waiting(threads, warned)
            for run in [run for run, future in pending.items() if future.done()]:
                collector.collect(run, pending.pop(run), others=bool(pending))
            display.runs(done + collector.count, total, len(threads))
            if collector.fault is not None and pending:
                _cancel_unstarted(client, pending)
            time.sleep(_POLL_INTERVAL)
    finally:
        for future in pending.values():
            future.cancel()
    if collector.fault is not None:
        raise collector.fault


class _Collector:
    """Store the runs that workers have finished, and keep the first error.

    Parameters
    ----------
    folder
        Folder ``runs`` of the study.
    failed
        Receives the controls that fail.
    """

    def __init__(self, folder: Path, failed: FailedControls) -> None:
        self.folder = folder
        self.failed = failed
        self.count = 0
        self.fault: Exception | None = None
        self._images: dict[str, tuple[str, Any]] = {}

    def collect(self, run: PlannedRun, future: Future, *, others: bool) -> None:
        """Store a run; keep its error to raise it when the `others` have ended."""
        try:
            files = _result(run, future)
            self._check_images(run, files)
            _store(run, files, self.folder)
        except Exception as error:  # noqa: BLE001 - raised when the other runs have ended
            if self.failed.add(run, error):
                return
            if self.fault is None and others:
                _log.warning("%s; no further run is started", errors.first_line(error))
            self.fault = self.fault or error
        else:
            self.count += 1

    def _check_images(self, run: PlannedRun, files: Mapping[str, bytes]) -> None:
        """Raise an error if a run's images differ from those of the first finished run."""
        images = json.loads(files["audit.json"])["files"]
        key = run.experiment.model_dump_json()
        first, first_images = self._images.setdefault(key, (run.name, images))
        if images != first_images:
            raise errors.CellvisionError(
                f"run {run.name} was trained on other images than run {first}",
                "Make the same images available to every worker under the data set's path.",
            )


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise errors.ExperimentError(
            "a study on a cluster needs Dask, which is not installed",
            "python -m pip install 'cellvision[cluster]'",
        ) from None
    return distributed


def _check_client(client: Client) -> None:
    kind = _distributed().Client
    if not isinstance(client, kind) or client.asynchronous:
        raise errors.ExperimentError(
            f"client: expected a synchronous distributed.Client, not {client!r:.80}",
            "client = distributed.Client('tcp://host:8786')",
        )


def _warn_if_waiting(threads: Mapping[str, int], warned: set[str]) -> None:
    """Warn once about each condition that delays a study."""
    if not threads:
        warning = "no worker is connected yet; the study is waiting for one"
    elif max(threads.values()) > 1:
        warning = (
            "a worker trains one run at a time, but some workers accept several runs, which wait "
            "for each other: start workers with --nthreads 1"
        )
    else:
        return
    if warning not in warned:
        _log.warning("%s", warning)
        warned.add(warning)


def _request(query: Callable[[], Answer]) -> Answer:
    try:
        return query()
    except OSError as error:
        raise errors.CellvisionError(*_LOST) from error


def _submit(client: Client, waiting: Sequence[PlannedRun]) -> dict[PlannedRun, Future]:
    import uuid

    # Distinguishes these tasks from those of an earlier call, which may have had other images or
    # workers: its results must not be mixed with these.
    call = uuid.uuid4().hex
    return {
        run: client.submit(
            train_on_worker,
            call,
            run.experiment.model_dump_json(),
            run.seed,
            None if run.component is None else run.component.model_dump(mode="json"),
            installed_versions((run.experiment, run.component)),
            local_plugin_digests(run.experiment, run.component),
            keras_backend(),
            # One group of tasks: the scheduler queues those that no worker can accept yet, and
            # assigns them to workers that join later.
            key=(f"cellvision-{call}", run.name),
            priority=-number,  # in order, so that workers rarely change experiments
        )
        for number, run in enumerate(waiting)
    }


def _cancel_unstarted(client: Client, pending: dict[PlannedRun, Future]) -> None:
    """Cancel the runs that no worker has started; started runs cannot be stopped."""
    started = {key for keys in _request(client.processing).values() for key in keys}
    # The second request covers runs that ended after the first.
    futures = list(pending.values())
    holders = _request(lambda: client.who_has(futures))
    started |= {key for key, workers in holders.items() if workers}
    for run in [run for run, future in pending.items() if future.key not in started]:
        pending.pop(run).cancel()


def _result(run: PlannedRun, future: Future) -> dict[str, bytes]:
    from distributed import KilledWorker

    try:
        files: dict[str, bytes] = future.result()
    except KilledWorker as error:
        raise errors.CellvisionError(
            f"run {run.name} (seed {run.seed}) killed {error.allowed_failures + 1} workers, "
            f"the last one at {error.last_worker.address}",
            "Check their logs. The most common cause is too little memory.",
        ) from error
    except CancelledError as error:
        raise errors.CellvisionError(*_LOST) from error
    return files


def _store(run: PlannedRun, files: Mapping[str, bytes], folder: Path) -> None:
    """Write a run's folder atomically."""
    for arrived in folder.glob(f".{run.name}.*"):  # left by a study that was killed here
        shutil.rmtree(arrived, ignore_errors=True)
    with atomic_io.folder(folder / run.name) as arriving:
        for name, content in files.items():
            path = arriving / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        clear_folder(folder / run.name)
