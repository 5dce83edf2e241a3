"""Run commands in separate processes and measure their time and memory."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_ENVIRONMENT = dict(os.environ)
"""As the user started the benchmarks: importing cellvision here switches oneDNN on, and peers must
not inherit that."""

CELLVISION = (sys.executable, "-c", "from cellvision.cli import main; main()")
"""Command that runs `cellvision` with this Python, also if its scripts are not on the PATH."""


class ProcessFailed(Exception):
    """A process failed, or its output lacks a value."""


@dataclass(frozen=True)
class ProcessResult:
    """Time, memory and output of a process.

    Attributes
    ----------
    wall_s, cpu_s : float
        Elapsed time and processor time of all threads, in seconds.
    resident_mib : float
        Peak resident set, including pages of mapped files.
    anonymous_mib : float
        Peak anonymous memory (RssAnon), sampled every 20 ms; 0 if not watched.
    output : Any
        The last printed line, parsed as JSON; None if it is not JSON.
    """

    wall_s: float
    cpu_s: float
    resident_mib: float
    anonymous_mib: float
    output: Any


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    watch_memory: bool = False,
    before: Callable[[], None] | None = None,
) -> ProcessResult:
    """Run a command and wait until it ends.

    Parameters
    ----------
    command
        Program and arguments.
    environment
        Environment variables to set in addition to those of this process.
    watch_memory
        Whether to sample its anonymous memory.
    before
        Function to call in the new process before the program starts.

    Raises
    ------
    ProcessFailed
        The command failed; the message contains the end of its standard error.
    """
    paths = [str(ROOT), *filter(None, [_ENVIRONMENT.get("PYTHONPATH")])]
    extra = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(paths),
        **(environment or {}),
    }
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(command),
            env={**_ENVIRONMENT, **extra},
            stdout=out,
            stderr=err,
            preexec_fn=before,
        )
        peak = [0.0]
        finished = threading.Event()
        if watch_memory:
            watcher = threading.Thread(target=_watch, args=(process.pid, peak, finished))
            watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        finished.set()
        if watch_memory:
            watcher.join()
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise ProcessFailed(f"exit {process.returncode}: {err.read()[-2000:].strip()}")
        lines = out.read().splitlines()
    return ProcessResult(
        wall,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        peak[0],
        _parse_json(lines[-1]) if lines else None,
    )


def _parse_json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _watch(pid: int, peak: list[float], finished: threading.Event) -> None:
    status = Path(f"/proc/{pid}/status")
    while not finished.wait(0.02):
        try:
            text = status.read_text()
        except OSError:
            return
        for line in text.splitlines():
            if line.startswith("RssAnon:"):
                peak[0] = max(peak[0], int(line.split()[1]) / 1024)


@dataclass(frozen=True)
class Peer:
    """One way to do the work that the benchmarks measure.

    Attributes
    ----------
    label : str
        Name in tables.
    module : str
        Name of its module in `benchmarks.peers`.
    needs : tuple of str
        Packages it imports; the peer is skipped if one is missing.
    options : dict
        Keys to add to its task.
    environment : dict
        Environment variables of its process.
    """

    label: str
    module: str
    needs: tuple[str, ...] = ()
    options: Mapping[str, Any] | None = None
    environment: Mapping[str, str] | None = None

    def missing(self) -> list[str]:
        """Return the required packages that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]

    def run(
        self,
        task: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> ProcessResult:
        """Run a task in a new process; further options go to `run`."""
        text = json.dumps({**task, **(self.options or {})})
        command = [sys.executable, "-m", f"benchmarks.peers.{self.module}", text]
        return run(command, {**(self.environment or {}), **(environment or {})}, **options)


def read_task() -> dict[str, Any]:
    """Return the task that this process, a peer, was started with."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    return task


def print_output(**values: Any) -> None:
    """Print the output of this process, a peer, as JSON."""
    print(json.dumps(values), flush=True)
