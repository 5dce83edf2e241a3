"""Running something in a process of its own and seeing what it took."""

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

CELLVISION = (sys.executable, "-c", "from cellvision.cli import main; main()")
"""The command `cellvision` of this Python, wherever its scripts are."""


class Failed(Exception):
    """A process ended with an error."""


@dataclass(frozen=True)
class Took:
    """What a process took.

    Attributes
    ----------
    wall_s, cpu_s : float
        From its start to its end; of all its threads together.
    resident_mib : float
        Its largest resident set, pages of mapped files included.
    anonymous_mib : float
        The largest memory of its own (RssAnon), looked at every 20 ms; 0 where not asked for.
    told : Any
        The JSON on the last line that it printed, or None.
    """

    wall_s: float
    cpu_s: float
    resident_mib: float
    anonymous_mib: float
    told: Any


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    watch_memory: bool = False,
    before: Callable[[], None] | None = None,
) -> Took:
    """Run a command to its end.

    Parameters
    ----------
    command
        The program and its arguments.
    environment
        What is added to this process's own.
    watch_memory
        Whether to watch its anonymous memory.
    before
        Called in the new process before the program begins.

    Raises
    ------
    Failed
        It ended with an error; the end of what it said is told.
    """
    extra = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT), **(environment or {})}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        started = subprocess.Popen(
            list(command),
            env={**os.environ, **extra},
            stdout=out,
            stderr=err,
            preexec_fn=before,
        )
        peak = [0.0]
        ended = threading.Event()
        if watch_memory:
            watcher = threading.Thread(target=_watch, args=(started.pid, peak, ended))
            watcher.start()
        _, status, usage = os.wait4(started.pid, 0)
        wall = time.perf_counter() - start
        started.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        if watch_memory:
            watcher.join()
        out.seek(0)
        err.seek(0)
        if started.returncode:
            raise Failed(f"exit {started.returncode}: {err.read()[-2000:].strip()}")
        lines = out.read().splitlines()
    return Took(
        wall,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        peak[0],
        _json(lines[-1]) if lines else None,
    )


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _watch(pid: int, peak: list[float], ended: threading.Event) -> None:
    status = Path(f"/proc/{pid}/status")
    while not ended.wait(0.02):
        try:
            text = status.read_text()
        except OSError:
            return
        for line in text.splitlines():
            if line.startswith("RssAnon:"):
                peak[0] = max(peak[0], int(line.split()[1]) / 1024)


@dataclass(frozen=True)
class Peer:
    """One way to do the work.

    Attributes
    ----------
    label : str
        As the tables call it.
    module : str
        Its file in `benchmarks.peers`.
    needs : tuple of str
        Packages without which it is left out.
    options : dict
        What it is told beside the task.
    environment : dict
        Environment variables of its process.
    """

    label: str
    module: str
    needs: tuple[str, ...] = ()
    options: Mapping[str, Any] | None = None
    environment: Mapping[str, str] | None = None

    def missing(self) -> list[str]:
        """The packages that it needs and that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]

    def run(
        self,
        task: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        **how: Any,
    ) -> Took:
        """Let it do a task, in a new process; `how` goes on to `run`."""
        told = json.dumps({**task, **(self.options or {})})
        command = [sys.executable, "-m", f"benchmarks.peers.{self.module}", told]
        return run(command, {**(self.environment or {}), **(environment or {})}, **how)


def task() -> dict[str, Any]:
    """What this process, a peer, was told to do."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    return told


def tell(**what: Any) -> None:
    """Print what this process, a peer, found out."""
    print(json.dumps(what), flush=True)
