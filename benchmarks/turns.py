"""Turns of processes that compile side by side and are measured one at a time."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

_WAITING_S = 400
"""Seconds after which a process no longer waits for others to be ready."""


class Turns:
    """The turns of one process.

    Parameters
    ----------
    folder
        Folder that the processes share. A file in it for each process says that it is ready.
    processes
        Number of processes.
    """

    def __init__(self, folder: str, processes: int) -> None:
        self._folder = Path(folder)
        self._processes = processes
        self._lock: IO[str] | None = None

    def ready(self, name: str) -> None:
        """Say that a process is ready or has ended."""
        (self._folder / f"{name}.ready").touch()

    def wait(self) -> None:
        """Wait until all are ready."""
        end = time.monotonic() + _WAITING_S
        while len(list(self._folder.glob("*.ready"))) < self._processes:
            if time.monotonic() > end:
                return
            time.sleep(0.1)

    def begin(self) -> float:
        """Wait for this process's turn, and return the time at which it begins."""
        self._lock = (self._folder / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return time.perf_counter()

    def end(self) -> float:
        """End the turn, and return the time."""
        now = time.perf_counter()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            time.sleep(0.05)  # so that a process that waits comes next
        return now
