"""Progress reporting on standard error: bars on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

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

    def together(self, seeds: Sequence[int]) -> None:
        """Announce runs of a study that train together."""

    def epoch(self, number: int, total: int, images: int) -> None:
        """Announce an epoch."""

    def step(self, images: int) -> None:
        """Report that this many more images were trained on."""

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
        self._fold = _fold_words(number, total)

    def run(self, number: int, total: int, seed: int, control: str | None = None) -> None:
        """Set the prefix of the following epochs."""
        self._prefix = _run_words(number, total, seed, control, self._fold)

    def runs(self, done: int, total: int, workers: int) -> None:
        """Update the bar of finished runs."""
        self._show("runs", done, total, f"runs on {workers} worker(s)", unit="")

    def report(self, name: str, done: int, total: int) -> None:
        """Update the bar of reporters."""
        self._show("reports", done, total, f"report: {name}", unit="")

    def together(self, seeds: Sequence[int]) -> None:
        """Set the prefix of the following epochs."""
        self._prefix = _runs_words(seeds, self._fold)

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

    def remaining(self, seconds: float) -> None:
        """Print the first estimate, and show the later ones beside the bar."""
        if not self._is_estimated and seconds > 0:
            self._is_estimated = True
            self._progress.console.print(_estimate(self._prefix, seconds), highlight=False)
        bar = self._bars.get(self._epoch)
        if bar is not None and seconds > 0:
            self._progress.update(bar, description=f"{self._epoch}  {duration(seconds)} left")

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """Print a line and remove the bar."""
        self._print_line(_line(self._epoch, row, images_per_second, waiting))

    def epochs_done(self, rows: Sequence[Mapping[str, float]], images_per_second: float) -> None:
        """Print one line for all runs and remove the bar."""
        self._print_line(_line_of_all(self._epoch, rows, images_per_second))

    def _print_line(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, soft_wrap=True)
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

    def runs(self, done: int, total: int, workers: int) -> None:
        """Print a line if it differs from the last one."""
        line = f"{done}/{total} runs done, {workers} worker(s)"
        if line != self._runs:
            print(line, file=sys.stderr, flush=True)
        self._runs = line

    def fold(self, number: int | None, total: int) -> None:
        """Set what the prefix of the next runs names first."""
        self._fold = _fold_words(number, total)

    def run(self, number: int, total: int, seed: int, control: str | None = None) -> None:
        """Set the prefix of the following epochs."""
        self._prefix = _run_words(number, total, seed, control, self._fold)

    def together(self, seeds: Sequence[int]) -> None:
        """Set the prefix of the following epochs."""
        self._prefix = _runs_words(seeds, self._fold)

    def epoch(self, number: int, total: int, images: int) -> None:
        """Set the epoch of the next line."""
        del images
        self._epoch = f"{self._prefix}epoch {number}/{total}"

    def remaining(self, seconds: float) -> None:
        """Print the first estimate."""
        if not self._is_estimated and seconds > 0:
            self._is_estimated = True
            print(_estimate(self._prefix, seconds), file=sys.stderr, flush=True)

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """Print the line."""
        line = _line(self._epoch, row, images_per_second, waiting)
        print(line, file=sys.stderr, flush=True)

    def epochs_done(self, rows: Sequence[Mapping[str, float]], images_per_second: float) -> None:
        """Print one line for all runs."""
        line = _line_of_all(self._epoch, rows, images_per_second)
        print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Say how long something takes, to about two digits.

    Examples
    --------
    >>> duration(42), duration(250), duration(9000)
    ('42 seconds', '4 minutes', '2.5 hours')
    """
    if seconds < 90:
        return f"{max(round(seconds), 1)} seconds"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


def _estimate(prefix: str, seconds: float) -> str:
    return f"{prefix}training takes about {duration(seconds)} on this machine"


def _fold_words(number: int | None, total: int) -> str:
    return "" if number is None else f"fold {number}/{total}, "


def _run_words(number: int, total: int, seed: int, control: str | None, fold: str) -> str:
    which = f"{control}, " if control is not None else ""
    return f"run {number}/{total} ({fold}{which}seed {seed})  "


def _runs_words(seeds: Sequence[int], fold: str) -> str:
    listed = ", ".join(map(str, seeds))
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        listed = f"{seeds[0]} to {seeds[-1]}"
    return f"{len(seeds)} runs together ({fold}seeds {listed})  "


def _line(epoch: str, row: Mapping[str, float], images_per_second: float, waiting: float) -> str:
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


def _line_of_all(epoch: str, rows: Sequence[Mapping[str, float]], images_per_second: float) -> str:
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


@contextmanager
def displayed(show: bool | None) -> Iterator[Display]:
    """Show progress on standard error.

    Parameters
    ----------
    show
        True: bars on a terminal, one line per epoch elsewhere. None: bars on a terminal,
        nothing elsewhere. False: nothing.
    """
    if not sys.stderr.isatty():
        yield LineDisplay() if show else Display()
        return
    if show is False:
        yield Display()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining
    from rich.text import Text

    class Rate(ProgressColumn):
        """Images per second; empty if the bar counts something else."""

        def render(self, task: rich.progress.Task) -> Text:
            unit = task.fields["unit"]
            return Text(f"{task.speed:,.0f} {unit}/s" if unit and task.speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        Remaining(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield TerminalDisplay(progress)
