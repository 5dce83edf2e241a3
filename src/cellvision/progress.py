"""What whoever waits gets to see: bars on standard error, and a line an epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress


class Display:
    """Shows nothing; the base of what is shown."""

    def decoded(self, done: int, total: int) -> None:
        """So many images are decoded."""

    def masked(self, done: int, total: int) -> None:
        """So many images have their cells masked."""

    def run(self, number: int, total: int, seed: int, control: str | None = None) -> None:
        """A study's next run begins; that of a control, where one is named."""

    def runs(self, done: int, total: int, workers: int) -> None:
        """So many of a study's runs are done, and so many workers are on the others."""

    def together(self, seeds: Sequence[int]) -> None:
        """A study's next runs begin, all at once."""

    def epoch(self, number: int, total: int, images: int) -> None:
        """An epoch begins."""

    def step(self, images: int) -> None:
        """So many more images are on their way through the network."""

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """An epoch is over."""

    def epochs_done(self, rows: Sequence[Mapping[str, float]], images_per_second: float) -> None:
        """An epoch of runs that train together is over; a row of each."""

    def report(self, name: str, done: int, total: int) -> None:
        """A reporter begins; so many are through."""

    def task(self, what: str, done: int, total: int) -> None:
        """Some other work has got so far."""


class TerminalDisplay(Display):
    """Progress bars with images per second and the share of time spent waiting for data."""

    def __init__(self, progress: rich.progress.Progress) -> None:
        self._progress = progress
        self._bars: dict[str, rich.progress.TaskID] = {}
        self._prefix = ""
        self._epoch = ""

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
        """Show how far decoding is."""
        self._show("reading images", done, total)

    def masked(self, done: int, total: int) -> None:
        """Show how far masking is."""
        self._show("masking cells", done, total)

    def task(self, what: str, done: int, total: int) -> None:
        """Show how far some other work is."""
        self._show(what, done, total)

    def run(self, number: int, total: int, seed: int, control: str | None = None) -> None:
        """Say which run it is."""
        self._prefix = _run_words(number, total, seed, control)

    def runs(self, done: int, total: int, workers: int) -> None:
        """Show how far the study is."""
        self._show("runs", done, total, f"runs on {workers} worker(s)", unit="")

    def report(self, name: str, done: int, total: int) -> None:
        """Say who reports."""
        self._show("reports", done, total, f"report: {name}", unit="")

    def together(self, seeds: Sequence[int]) -> None:
        """Say which runs they are."""
        self._prefix = _runs_words(seeds)

    def epoch(self, number: int, total: int, images: int) -> None:
        """Start the bar anew."""
        self._close_epoch()
        self._epoch = f"{self._prefix}epoch {number}/{total}"
        self._bars[self._epoch] = self._progress.add_task(self._epoch, total=images, unit="images")

    def step(self, images: int) -> None:
        """Move the bar on."""
        bar = self._bars.get(self._epoch)
        if bar is not None:
            self._progress.advance(bar, images)

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """Leave a line."""
        self._leave(_line(self._epoch, row, images_per_second, waiting))

    def epochs_done(self, rows: Sequence[Mapping[str, float]], images_per_second: float) -> None:
        """Leave a line for all of them."""
        self._leave(_line_of_all(self._epoch, rows, images_per_second))

    def _leave(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, soft_wrap=True)
        self._close_epoch()

    def _close_epoch(self) -> None:
        bar = self._bars.pop(self._epoch, None)
        if bar is not None:
            self._progress.remove_task(bar)


class LineDisplay(Display):
    """A line an epoch, for logs: what is not a terminal gets no bars."""

    def __init__(self) -> None:
        self._prefix = ""
        self._epoch = ""
        self._runs = ""

    def runs(self, done: int, total: int, workers: int) -> None:
        """Print a line whenever that has changed."""
        line = f"{done}/{total} runs done, {workers} worker(s)"
        if line != self._runs:
            print(line, file=sys.stderr, flush=True)
        self._runs = line

    def run(self, number: int, total: int, seed: int, control: str | None = None) -> None:
        """Remember which run it is."""
        self._prefix = _run_words(number, total, seed, control)

    def together(self, seeds: Sequence[int]) -> None:
        """Remember which runs they are."""
        self._prefix = _runs_words(seeds)

    def epoch(self, number: int, total: int, images: int) -> None:
        """Remember which epoch it is."""
        del images
        self._epoch = f"{self._prefix}epoch {number}/{total}"

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """Print the line."""
        line = _line(self._epoch, row, images_per_second, waiting)
        print(line, file=sys.stderr, flush=True)

    def epochs_done(self, rows: Sequence[Mapping[str, float]], images_per_second: float) -> None:
        """Print one line for all of them."""
        line = _line_of_all(self._epoch, rows, images_per_second)
        print(line, file=sys.stderr, flush=True)


def _run_words(number: int, total: int, seed: int, control: str | None) -> str:
    which = f"{control}, " if control is not None else ""
    return f"run {number}/{total} ({which}seed {seed})  "


def _runs_words(seeds: Sequence[int]) -> str:
    named = ", ".join(map(str, seeds))
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        named = f"{seeds[0]} to {seeds[-1]}"
    return f"{len(seeds)} runs together (seeds {named})  "


def _line(epoch: str, row: Mapping[str, float], images_per_second: float, waiting: float) -> str:
    held = row["val_accuracy"]
    validation = f"  validation {held:.3f}" if held == held else ""
    return (
        f"{epoch}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}{validation}  "
        f"{images_per_second:,.0f} images/s  waiting for data {waiting:.0%}"
    )


def _line_of_all(epoch: str, rows: Sequence[Mapping[str, float]], images_per_second: float) -> str:
    def spread(name: str) -> str:
        values = [row[name] for row in rows]
        mean = sum(values) / len(values)
        return f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})"

    held = rows[0]["val_accuracy"]
    validation = f"  validation {spread('val_accuracy')}" if held == held else ""
    still = f"  {len(rows)} still training" if f"{len(rows)} runs" not in epoch else ""
    return (
        f"{epoch}  loss {spread('loss')}  accuracy {spread('accuracy')}{validation}  "
        f"{images_per_second:,.0f} images/s{still}"
    )


@contextmanager
def displayed(show: bool | None) -> Iterator[Display]:
    """Show progress on standard error.

    Parameters
    ----------
    show
        True: bars on a terminal, a line an epoch elsewhere; None: bars on a terminal, nothing
        elsewhere; False: nothing.
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
        """How quick it is, where what is counted is images."""

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
