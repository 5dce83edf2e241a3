"""Displays of progress: the base class, bars on a terminal, and lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cellvision.plurals import counted
from cellvision.progress_words import (
    StudyClock,
    duration,
    estimate,
    fold_words,
    line,
    line_of_all,
    run_words,
    runs_words,
)

if TYPE_CHECKING:
    import rich.progress


class Display:
    """Shows nothing; base class of the displays."""

    def decoded(self, done: int, total: int) -> None:
        """Report how many images are decoded."""

    def run(self, number: int, total: int, seed: int, control: str | None = None) -> None:
        """Announce the next run of a study, or of one of its controls."""

    def fold(self, number: int | None, total: int) -> None:
        """Announce the fold that the next runs hold out; None without cross-validation."""

    def runs(self, done: int, total: int, workers: int) -> None:
        """Report how many runs of a study are finished and how many workers train."""

    def note(self, text: str) -> None:
        """Say something about a study in one line."""

    def together(self, seeds: Sequence[int]) -> None:
        """Announce runs of a study that train together."""

    def epoch(self, number: int, total: int, images: int) -> None:
        """Announce an epoch."""

    def step(self, images: int) -> None:
        """Report that this many more images were trained on."""

    def expected(self, seconds: float) -> None:
        """Report the estimated time of the training, once, at or before its first steps."""

    def remaining(self, seconds: float) -> None:
        """Report the estimated time until the training ends."""

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """Report the results of an epoch."""

    def epochs_done(self, rows: Sequence[Mapping[str, float]], images_per_second: float) -> None:
        """Report the results of an epoch of runs that train together, one row per run."""

    def report(self, name: str, done: int, total: int) -> None:
        """Announce a reporter, and how many are finished."""

    def task(self, what: str, done: int, total: int) -> None:
        """Report the progress of some other work."""


class TerminalDisplay(Display):
    """Progress bars with images per second and the fraction of time spent waiting for data."""

    def __init__(self, progress: rich.progress.Progress) -> None:
        self._progress = progress
        self._bars: dict[str, rich.progress.TaskID] = {}
        self._clock = StudyClock()
        self._prefix = ""
        self._fold = ""
        self._epoch = ""
        self._is_estimated = False

    def _show(
        self, what: str, done: int, total: int, description: str = "", unit: str = "images"
    ) -> None:
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=total, unit=unit)
        self._progress.update(
            self._bars[what], description=description or what, completed=done, total=total
        )
        if done >= total:
            self._progress.remove_task(self._bars.pop(what))

    def decoded(self, done: int, total: int) -> None:
        """Update the bar of decoded images."""
        self._show("reading images", done, total)

    def task(self, what: str, done: int, total: int) -> None:
        """Update the bar of some other work."""
        self._show(what, done, total)

    def fold(self, number: int | None, total: int) -> None:
        """Set what the prefix of the next runs names first."""
        self._fold = fold_words(number, total)

    def run(self, number: int, total: int, seed: int, control: str | None = None) -> None:
        """Set the prefix of the following epochs, and estimate the rest of the study."""
        self._prefix = run_words(number, total, seed, control, self._fold)
        if "runs" in self._bars:  # workers have trained the runs so far
            self._progress.remove_task(self._bars.pop("runs"))
        left = self._clock.next_run(number, total, time.monotonic())
        if left:
            self.note(left)

    def note(self, text: str) -> None:
        """Print the line."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def runs(self, done: int, total: int, workers: int) -> None:
        """Update the bar of finished runs."""
        self._clock.workers_finished(done)
        self._show("runs", done, total, f"runs on {counted(workers, 'worker')}", unit="")

    def report(self, name: str, done: int, total: int) -> None:
        """Update the bar of reporters."""
        self._show("reports", done, total, f"report: {name}", unit="")

    def together(self, seeds: Sequence[int]) -> None:
        """Set the prefix of the following epochs."""
        self._prefix = runs_words(seeds, self._fold)

    def epoch(self, number: int, total: int, images: int) -> None:
        """Start a new bar."""
        self._close_epoch()
        self._epoch = f"{self._prefix}epoch {number}/{total}"
        self._bars[self._epoch] = self._progress.add_task(self._epoch, total=images, unit="images")

    def step(self, images: int) -> None:
        """Advance the bar."""
        bar = self._bars.get(self._epoch)
        if bar is not None:
            self._progress.advance(bar, images)

    def expected(self, seconds: float) -> None:
        """Print the estimate, also for the rest of a study."""
        if not self._is_estimated:
            self._is_estimated = True
            text = estimate(self._prefix, seconds, self._clock.runs_left)
            self._progress.console.print(text, highlight=False)

    def remaining(self, seconds: float) -> None:
        """Print the first estimate, and show the later ones beside the bar."""
        if not self._is_estimated and seconds > 0:
            self._is_estimated = True
            self._progress.console.print(estimate(self._prefix, seconds), highlight=False)
        bar = self._bars.get(self._epoch)
        if bar is not None and seconds > 0:
            self._progress.update(bar, description=f"{self._epoch}  {duration(seconds)} left")

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """Print a line and remove the bar."""
        self._print_line(line(self._epoch, row, images_per_second, waiting))

    def epochs_done(self, rows: Sequence[Mapping[str, float]], images_per_second: float) -> None:
        """Print one line for all runs and remove the bar."""
        self._print_line(line_of_all(self._epoch, rows, images_per_second))

    def _print_line(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, soft_wrap=True)
        self._close_epoch()

    def _close_epoch(self) -> None:
        bar = self._bars.pop(self._epoch, None)
        if bar is not None:
            self._progress.remove_task(bar)


class LineDisplay(Display):
    """One line per epoch, for logs and other outputs that are not a terminal."""

    def __init__(self) -> None:
        self._prefix = ""
        self._fold = ""
        self._epoch = ""
        self._runs = ""
        self._is_estimated = False
        self._clock = StudyClock()

    def runs(self, done: int, total: int, workers: int) -> None:
        """Print a line if it differs from the last one."""
        self._clock.workers_finished(done)
        text = f"{done}/{total} runs done, {counted(workers, 'worker')}"
        if text != self._runs:
            print(text, file=sys.stderr, flush=True)
        self._runs = text

    def fold(self, number: int | None, total: int) -> None:
        """Set what the prefix of the next runs names first."""
        self._fold = fold_words(number, total)

    def run(self, number: int, total: int, seed: int, control: str | None = None) -> None:
        """Set the prefix of the following epochs, and estimate the rest of the study."""
        self._prefix = run_words(number, total, seed, control, self._fold)
        self._study_left(self._clock.next_run(number, total, time.monotonic()))

    def _study_left(self, text: str) -> None:
        """Print the estimate for the rest of a study."""
        if text:
            self.note(text)

    def note(self, text: str) -> None:
        """Print the line."""
        print(text, file=sys.stderr, flush=True)

    def together(self, seeds: Sequence[int]) -> None:
        """Set the prefix of the following epochs."""
        self._prefix = runs_words(seeds, self._fold)

    def epoch(self, number: int, total: int, images: int) -> None:
        """Set the epoch of the next line."""
        del images
        self._epoch = f"{self._prefix}epoch {number}/{total}"

    def expected(self, seconds: float) -> None:
        """Print the estimate, also for the rest of a study."""
        if not self._is_estimated:
            self._is_estimated = True
            text = estimate(self._prefix, seconds, self._clock.runs_left)
            print(text, file=sys.stderr, flush=True)

    def remaining(self, seconds: float) -> None:
        """Print the first estimate."""
        if not self._is_estimated and seconds > 0:
            self._is_estimated = True
            print(estimate(self._prefix, seconds), file=sys.stderr, flush=True)

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """Print the line."""
        text = line(self._epoch, row, images_per_second, waiting)
        print(text, file=sys.stderr, flush=True)

    def epochs_done(self, rows: Sequence[Mapping[str, float]], images_per_second: float) -> None:
        """Print one line for all runs."""
        text = line_of_all(self._epoch, rows, images_per_second)
        print(text, file=sys.stderr, flush=True)
