"""What whoever waits gets to see: bars on standard error, and a line an epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
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

    def epoch(self, number: int, total: int, images: int) -> None:
        """An epoch begins."""

    def step(self, images: int) -> None:
        """So many more images are on their way through the network."""

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """An epoch is over."""

    def task(self, what: str, done: int, total: int) -> None:
        """Some other work has got so far."""


class TerminalDisplay(Display):
    """Progress bars with images per second and the share of time spent waiting for data."""

    def __init__(self, progress: rich.progress.Progress) -> None:
        self._progress = progress
        self._bars: dict[str, rich.progress.TaskID] = {}
        self._prefix = ""
        self._epoch = ""

    def _show(self, what: str, done: int, total: int) -> None:
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._bars[what], completed=done, total=total)
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

    def epoch(self, number: int, total: int, images: int) -> None:
        """Start the bar anew."""
        self._close_epoch()
        self._epoch = f"{self._prefix}epoch {number}/{total}"
        self._bars[self._epoch] = self._progress.add_task(self._epoch, total=images)

    def step(self, images: int) -> None:
        """Move the bar on."""
        bar = self._bars.get(self._epoch)
        if bar is not None:
            self._progress.advance(bar, images)

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """Leave a line."""
        line = _line(self._epoch, row, images_per_second, waiting)
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

    def run(self, number: int, total: int, seed: int, control: str | None = None) -> None:
        """Remember which run it is."""
        self._prefix = _run_words(number, total, seed, control)

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


def _run_words(number: int, total: int, seed: int, control: str | None) -> str:
    which = f"{control}, " if control is not None else ""
    return f"run {number}/{total} ({which}seed {seed})  "


def _line(epoch: str, row: Mapping[str, float], images_per_second: float, waiting: float) -> str:
    held = row["val_accuracy"]
    validation = f"  validation {held:.3f}" if held == held else ""
    return (
        f"{epoch}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}{validation}  "
        f"{images_per_second:,.0f} images/s  waiting for data {waiting:.0%}"
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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Remaining(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield TerminalDisplay(progress)
