"""Progress in the cell of a notebook."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from cellvision.plurals import counted
from cellvision.progress_displays import LineDisplay
from cellvision.progress_words import duration, line, line_of_all

_NOTEBOOK_SECONDS = 0.2
"""A notebook's output is not replaced more often than this."""


class NotebookDisplay(LineDisplay):
    """One bar in the output of a notebook's cell; the last epoch's results stay there.

    Parameters
    ----------
    update
        Replaces the output; takes it as plain text and as HTML.
    """

    def __init__(self, update: Callable[[str, str], None]) -> None:
        super().__init__()
        self._update = update
        self._left = self._last = self._study = ""
        self._done = self._images = 0
        self._shown_at = -math.inf

    def close(self) -> None:
        """Leave the results of the last epoch."""
        self._update(self._last, _small(self._last))

    def _show(self, text: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown_at < _NOTEBOOK_SECONDS and done < total:
            return
        self._shown_at = now
        bar = f'<progress value="{done}" max="{max(total, 1)}"></progress> {done:,}/{total:,}'
        self._update(
            f"{text} {done}/{total}",
            f"{_small(self._study)}{_small(text)}{bar}{_small(self._last)}",
        )

    def _study_left(self, text: str) -> None:
        self._study = text

    def note(self, text: str) -> None:
        """Show the line above the bar."""
        self._study = text

    def decoded(self, done: int, total: int) -> None:
        """Show how many images are decoded."""
        self._show("reading images", done, total)

    def task(self, what: str, done: int, total: int) -> None:
        """Show the progress of some other work."""
        self._show(what, done, total)

    def runs(self, done: int, total: int, workers: int) -> None:
        """Show how many runs are finished."""
        self._show(f"runs on {counted(workers, 'worker')}", done, total)

    def report(self, name: str, done: int, total: int) -> None:
        """Show the reporter at work."""
        self._show(f"report: {name}", done, total)

    def epoch(self, number: int, total: int, images: int) -> None:
        """Start a new bar."""
        super().epoch(number, total, images)
        self._done, self._images = 0, images
        self.step(0)

    def step(self, images: int) -> None:
        """Advance the bar."""
        self._done += images
        self._show(f"{self._epoch}  {self._left}", self._done, self._images)

    def expected(self, seconds: float) -> None:
        """Show the estimate with the first bar."""
        self.remaining(seconds)

    def remaining(self, seconds: float) -> None:
        """Show the estimate above the bar."""
        self._left = f"{duration(seconds)} left" if seconds > 0 else ""

    def epoch_done(
        self, row: Mapping[str, float], images_per_second: float, waiting: float
    ) -> None:
        """Show the results of the epoch below the bar."""
        self._last = line(self._epoch, row, images_per_second, waiting)

    def epochs_done(self, rows: Sequence[Mapping[str, float]], images_per_second: float) -> None:
        """Show the results of all runs below the bar."""
        self._last = line_of_all(self._epoch, rows, images_per_second)


def _small(text: str) -> str:
    return f'<div style="font-size:.9em">{escape(text)}</div>' if text else ""


def cell_output() -> Callable[[str, str], None]:
    """Return a function that shows something in the cell, and replaces it when called again."""
    from IPython.display import display

    handles: list[Any] = []

    def update(text: str, html: str) -> None:
        content = {"text/plain": text, "text/html": html}
        if handles:
            handles[0].update(content, raw=True)
        else:
            handles.append(display(content, raw=True, display_id=True))

    return update
