"""Worker processes on this machine, which train runs of a study side by side.

Each is a new Python process with its share of the processors. It writes the folders of its runs
itself, as this process would. `subprocess` rather than `multiprocessing`: scripts need no
``if __name__ == "__main__"``, the environment is set before the backend is imported, and the error
for a killed worker can name its run.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from cellvision import errors
from cellvision.backends.threads import suitable_threads
from cellvision.concurrency import available_processors
from cellvision.studies.dask_worker import keras_backend, local_plugin_digests

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.studies.failed_controls import FailedControls
    from cellvision.studies.plan import PlannedRun

_ENDING_SECONDS = 10
"""Seconds that an idle worker has to write its remaining output and end by itself."""

_MODULE = "cellvision.studies.local_worker"

_log = logging.getLogger(__name__)


class WorkerKilled(errors.CellvisionError):
    """A worker process ended in the middle of a run."""


class LocalWorkers:
    """Worker processes on this machine; a context manager that ends them.

    Parameters
    ----------
    folder
        The folder ``runs`` of the study.
    experiments
        All experiments of the study.
    failed
        Receives the controls that fail; their other runs are not started.
    """

    def __init__(
        self, folder: Path, experiments: Sequence[Experiment], failed: FailedControls
    ) -> None:
        self.folder = folder
        self.experiments = experiments
        self.failed = failed
        self._study = uuid.uuid4().hex
        self._workers: list[_Worker] = []
        self._messages: queue.SimpleQueue[tuple[_Worker, Mapping[str, Any]]] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._shown: set[str] = set()

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.end(at_once=kind is not None)

    def train(self, runs: deque[PlannedRun], number: int) -> Iterator[tuple[int, PlannedRun]]:
        """Train runs on a number of workers, and yield each finished one with its worker's number.

        Parameters
        ----------
        runs
            The runs to train. Each is removed when it starts, and runs that the caller removes are
            not started.
        number
            Number of workers.

        Raises
        ------
        WorkerKilled
            A worker was killed. No further run is started, and started ones are finished first.
        errors.CellvisionError
            A run of an experiment failed; likewise.
        """
        self._start(number)
        fault: errors.CellvisionError | None = None
        for worker in self._workers[:number]:
            self._submit(worker, runs)
        while any(worker.run is not None for worker in self._workers):
            worker, message = self._receive()
            run, worker.run = worker.run, None
            if "warning" in message:
                worker.run = run
                self._show(run, message["warning"])
            elif "finished" in message and run is not None:
                yield worker.number, run
                self._submit(worker, runs)
            elif run is not None:
                error = _fault(run, worker, message)
                if self.failed.add(run, error):
                    self._submit(worker, runs)
                else:
                    runs.clear()
                    self._announce(error)
                    fault = fault or error
            if "ended" in message:
                self._workers.remove(worker)
        if fault is not None:
            raise fault

    def end(self, *, at_once: bool = False) -> None:
        """End all workers; those that train lose their unfinished runs.

        Parameters
        ----------
        at_once
            Do not wait for idle workers to end by themselves.
        """
        for worker in self._workers:
            worker.end(at_once=at_once)
        for worker in self._workers:
            worker.wait()
        self._workers.clear()

    def _start(self, number: int) -> None:
        environment = self._environment(number)
        try:
            while len(self._workers) < number:
                self._workers.append(_Worker(next(self._numbers), environment, self._messages))
        except OSError as error:
            raise WorkerKilled(
                f"worker processes cannot be started: {error.strerror or error}",
                "--workers 1 trains in this process.",
            ) from error

    def _environment(self, number: int) -> dict[str, str]:
        """Return the environment of a worker; variables that the user has set are kept."""
        share = max(1, available_processors() // number)
        shares = {
            "TF_NUM_INTRAOP_THREADS": suitable_threads(self.experiments, share),
            "TF_NUM_INTEROP_THREADS": share,
            "OMP_NUM_THREADS": share,
            "OPENBLAS_NUM_THREADS": share,
            "MKL_NUM_THREADS": share,
        }
        return {
            **{name: str(threads) for name, threads in shares.items()},
            **os.environ,
            "KERAS_BACKEND": keras_backend(),
        }

    def _submit(self, worker: _Worker, runs: deque[PlannedRun]) -> None:
        while runs:
            run = runs.popleft()
            if run not in self.failed:
                worker.submit(run, self._study, self.folder)
                return

    def _receive(self) -> tuple[_Worker, Mapping[str, Any]]:
        while True:
            with contextlib.suppress(queue.Empty):  # on Windows, Ctrl-C does not end the waiting
                return self._messages.get(timeout=1)

    def _show(self, run: PlannedRun | None, warning: str) -> None:
        """Show a warning with the run's name; once, even if every worker sends it."""
        if warning not in self._shown:
            self._shown.add(warning)
            _log.warning("%s%s", "" if run is None else f"run {run.name}: ", warning)

    def _announce(self, fault: errors.CellvisionError) -> None:
        if any(worker.run is not None for worker in self._workers):
            _log.warning("%s; no further run is started", fault.what)


class _Worker:
    """One worker process, and threads that read its output."""

    def __init__(
        self,
        number: int,
        environment: Mapping[str, str],
        messages: queue.SimpleQueue[tuple[_Worker, Mapping[str, Any]]],
    ) -> None:
        self.number = number
        self.run: PlannedRun | None = None
        self._messages = messages
        self._process = subprocess.Popen(  # noqa: S603 - this Python and our own module
            [sys.executable, "-P", "-m", _MODULE],  # -P: the current folder holds no modules
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._readers = [
            threading.Thread(target=read, daemon=True)
            for read in (self._read_answers, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()

    def submit(self, run: PlannedRun, study: str, folder: Path) -> None:
        """Send a run."""
        control = run.component
        task = {
            "study": study,
            "experiment": run.experiment.model_dump_json(),
            "seed": run.seed,
            "control": None if control is None else control.model_dump(mode="json"),
            "plugins": local_plugin_digests(run.experiment, control),
            "folder": str((folder / run.name).absolute()),
        }
        self.run = run
        stdin = _stream(self._process.stdin)
        with contextlib.suppress(OSError):  # it is dead, which its answers will say
            stdin.write(json.dumps(task) + "\n")
            stdin.flush()

    def end(self, *, at_once: bool) -> None:
        """Tell the process to end."""
        if at_once or self.run is not None:
            self._process.kill()
        with contextlib.suppress(OSError):
            _stream(self._process.stdin).close()

    def wait(self) -> None:
        """Wait until the process has ended, and kill it if that takes long."""
        try:
            self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join(_ENDING_SECONDS)  # a process that a plugin started may hold the pipe

    def ending(self) -> str:
        """Say how the process ended."""
        code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        return f"was killed ({signal.Signals(-code).name})"

    def _read_answers(self) -> None:
        # The last line of a process that was killed may be incomplete.
        with contextlib.suppress(ValueError), _stream(self._process.stdout) as answers:
            for line in answers:
                self._messages.put((self, json.loads(line)))
        self._messages.put((self, {"ended": True}))

    def _read_errors(self) -> None:
        """Show what native code and Python print, such as the reason for a crash."""
        with _stream(self._process.stderr) as lines:
            for line in lines:
                if line.strip():
                    self._messages.put((self, {"warning": line.rstrip()}))


def _stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _fault(run: PlannedRun, worker: _Worker, message: Mapping[str, Any]) -> errors.CellvisionError:
    """Return the error of a run, with its name."""
    about = f"run {run.name} (seed {run.seed})"
    if "fault" not in message:
        return WorkerKilled(
            f"{about}: its worker process {worker.ending()}",
            "Finished runs are kept, and the same command resumes the study. The most common cause "
            "is too little memory; --workers 1 trains one run at a time.",
        )
    name, what, hint = message["fault"]
    kind = getattr(errors, name)
    if kind.__init__ is not errors.CellvisionError.__init__:  # made from other values
        kind = errors.InvalidInput
    error: errors.CellvisionError = kind(f"{about}: {what}", hint)
    return error
