"""Progress reporting: bars on a terminal or in a notebook, one line per epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cellvision.progress_displays import Display as Display
from cellvision.progress_displays import LineDisplay, TerminalDisplay

if TYPE_CHECKING:
    import rich.progress


def in_notebook() -> bool:
    """Whether this process runs the cells of a Jupyter notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


@contextmanager
def displayed(show: bool | None) -> Iterator[Display]:  # noqa: FBT001 - its only argument
    """Show progress: on standard error, or in the cell of a notebook.

    Parameters
    ----------
    show
        True: bars on a terminal or in a notebook, one line per epoch elsewhere. None: bars on a
        terminal or in a notebook, nothing elsewhere. False: nothing.
    """
    if show is not False and in_notebook():
        from cellvision.progress_notebook import NotebookDisplay, cell_output

        notebook = NotebookDisplay(cell_output())
        try:
            yield notebook
        finally:
            notebook.close()
        return
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
