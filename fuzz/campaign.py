"""Run mutants in subprocesses, and start another one where one dies or hangs."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.seeds import seeds
from fuzz.worker import mutant

HANG_SECONDS = 120.0
"""Seconds without a line after which a worker is killed; its own limit is processor time."""
_ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Report:
    """What became of the mutants.

    Attributes
    ----------
    counts : Counter
        Mutants by outcome: "read", "refused" and "fault".
    faults : list of dict
        Index, seed file, mutation and reason of each fault.
    slowest : float
        Seconds that the slowest mutant took.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, row: dict[str, Any]) -> None:
        """Count one finished mutant."""
        self.counts[row["outcome"]] += 1
        self.slowest = max(self.slowest, row.get("seconds", 0.0))
        if row["outcome"] == "fault":
            self.faults.append(row)

    def merge(self, other: Report) -> None:
        """Add the counts of another report."""
        self.counts += other.counts
        self.faults += other.faults
        self.slowest = max(self.slowest, other.slowest)


def run(mutants: int, seed: int, workers: int = 2) -> Report:
    """Read so many mutants of all formats.

    Parameters
    ----------
    mutants, seed
        How many, and the seed that makes them.
    workers
        Subprocesses at a time.
    """
    edges = [mutants * k // workers for k in range(workers + 1)]
    report = Report()
    with ThreadPoolExecutor(workers) as pool:
        for part in pool.map(_run_range, [seed] * workers, edges[:-1], edges[1:]):
            report.merge(part)
    report.faults.sort(key=lambda row: row["index"])
    return report


def save(seed: int, index: int, folder: Path) -> Path:
    """Write one mutant to a file, to look at it."""
    made = mutant(seed, index, seeds())
    path = folder / f"{seed}-{index}-{made.seed}"
    path.write_bytes(made.content)
    return path


def _run_range(seed: int, start: int, stop: int) -> Report:
    report = Report()
    while start < stop:
        started: dict[str, Any] = {}
        for row in _rows(seed, start, stop):
            if "outcome" not in row:
                started = row
                continue
            report.add({**started, **row})
            start, started = row["index"] + 1, {}
        if start < stop:
            reason = "the process died or hung"
            report.add({"index": start, **started, "outcome": "fault", "reason": reason})
            start += 1
    return report


def _rows(seed: int, start: int, stop: int) -> Any:
    """Yield the lines of one worker; end when it dies, or kill it when it hangs."""
    command = [sys.executable, "-m", "fuzz.worker", str(seed), str(start), str(stop)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        selector = selectors.DefaultSelector()
        selector.register(process.stdout, selectors.EVENT_READ)
        rest = b""
        while selector.select(HANG_SECONDS):
            block = os.read(process.stdout.fileno(), 65536)
            if not block:
                break
            *lines, rest = (rest + block).split(b"\n")
            yield from map(json.loads, lines)
        process.kill()
