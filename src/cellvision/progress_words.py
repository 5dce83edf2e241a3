"""What progress reports say: durations, the name of a run, the results of an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cellvision.plurals import counted

_WORTH_SECONDS = 60
"""A shorter rest of a study is not estimated."""


def duration(seconds: float) -> str:
    """Say how long something takes, to about two digits.

    Examples
    --------
    >>> duration(42), duration(250), duration(9000)
    ('42 seconds', '4 minutes', '2.5 hours')
    """
    if seconds < 90:
        return counted(max(round(seconds), 1), "second")
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


def estimate(prefix: str, seconds: float, runs: int = 1) -> str:
    """Return how long a training takes, for the first estimate.

    Parameters
    ----------
    prefix
        Names the run.
    seconds
        Duration of one training.
    runs
        Number of runs of a study from this one on.

    Examples
    --------
    >>> estimate("", 42)
    'training takes about 42 seconds on this machine'
    >>> estimate("run 1/12 (seed 0)  ", 250, runs=12)
    'run 1/12 (seed 0)  training takes about 4 minutes on this machine, 12 such runs 50 minutes'
    """
    all_runs = f", {runs} such runs {duration(runs * seconds)}" if runs > 1 else ""
    return f"{prefix}training takes about {duration(seconds)} on this machine{all_runs}"


def fold_words(number: int | None, total: int) -> str:
    """Name a fold; empty without cross-validation."""
    return "" if number is None else f"fold {number}/{total}, "


def run_words(number: int, total: int, seed: int, control: str | None, fold: str) -> str:
    """Name a run of a study, or of one of its controls."""
    which = f"{control}, " if control is not None else ""
    return f"run {number}/{total} ({fold}{which}seed {seed})  "


def runs_words(seeds: Sequence[int], fold: str) -> str:
    """Name runs that train together."""
    listed = ", ".join(map(str, seeds))
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        listed = f"{seeds[0]} to {seeds[-1]}"
    return f"{len(seeds)} runs together ({fold}seeds {listed})  "


def line(epoch: str, row: Mapping[str, float], images_per_second: float, waiting: float) -> str:
    """Return the results of an epoch in one line."""
    accuracy = row["val_accuracy"]
    validation = "" if math.isnan(accuracy) else f"  validation {accuracy:.3f}"
    return (
        f"{epoch}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}{validation}  "
        f"{_further(row)}{images_per_second:,.0f} images/s  waiting for data {waiting:.0%}"
    )


def _further(row: Mapping[str, float]) -> str:
    """Return the further metrics of an architecture's recipe."""
    parts = []
    for name in _further_names(row):
        value = row[f"val_{name}"]
        validation = "" if math.isnan(value) else f" validation {value:.3f}"
        parts.append(f"{name} {row[name]:.3f}{validation}  ")
    return "".join(parts)


def _further_names(row: Mapping[str, float]) -> list[str]:
    return [name for name in row if f"val_{name}" in row and name not in ("loss", "accuracy")]


def line_of_all(epoch: str, rows: Sequence[Mapping[str, float]], images_per_second: float) -> str:
    """Return the results of an epoch of several runs in one line."""

    def spread(name: str) -> str:
        values = [row[name] for row in rows]
        mean = sum(values) / len(values)
        return f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})"

    no_validation = math.isnan(rows[0]["val_accuracy"])
    validation = "" if no_validation else f"  validation {spread('val_accuracy')}"
    further = "".join(f"{name} {spread(name)}  " for name in _further_names(rows[0]))
    still = f"  {len(rows)} still training" if f"{len(rows)} runs" not in epoch else ""
    return (
        f"{epoch}  loss {spread('loss')}  accuracy {spread('accuracy')}{validation}  "
        f"{further}{images_per_second:,.0f} images/s{still}"
    )


class StudyClock:
    """Estimates how long the remaining runs of a study take, from those that are done.

    Examples
    --------
    >>> clock = StudyClock()
    >>> clock.next_run(1, total=5, now=0.0)
    ''
    >>> clock.next_run(2, total=5, now=60.0)
    '1 of 5 runs done, the others take about 4 minutes'

    Attributes
    ----------
    runs_left : int
        Number of runs from the current one on; 1 outside a study.
    """

    def __init__(self) -> None:
        self._start = 0.0
        self._done = -1
        self.runs_left = 1
        self._reported: int | None = None

    def workers_finished(self, done: int) -> None:
        """Count the runs that workers have finished since the last call.

        Parameters
        ----------
        done
            Number of finished runs of the study.
        """
        if self._reported is not None:
            self._done += done - self._reported
        self._reported = done

    def next_run(self, number: int, total: int, now: float) -> str:
        """Return the estimate before a run begins; empty before the first, and for a short rest.

        Parameters
        ----------
        number
            Number of the run in the study, from 1.
        total
            Number of runs in the study.
        now
            Time in seconds.
        """
        self._done += 1
        self.runs_left = total - number + 1
        if self._done == 0:
            self._start = now
            return ""
        seconds = (now - self._start) / self._done * (total - number + 1)
        if seconds < _WORTH_SECONDS:
            return ""
        return f"{number - 1} of {total} runs done, the others take about {duration(seconds)}"
