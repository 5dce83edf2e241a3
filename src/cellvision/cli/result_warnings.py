"""Print the warnings of runs, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision.cli.text import as_markup

if TYPE_CHECKING:
    from rich.console import Console

    from cellvision import Run


def print_warnings(console: Console, runs: Sequence[Run]) -> None:
    """Print the warnings of one run, or of several with the number of runs that have them.

    Parameters
    ----------
    console
        Where to print.
    runs
        The runs. What all of them have, as of images, is printed without a number.
    """
    counts = Counter(warning for run in runs for warning in dict.fromkeys(run.warnings))
    for warning, count in counts.items():
        style = "bold red" if warning.startswith("LEAK") else "yellow"
        some = "" if count == len(runs) else f" of {count} of {len(runs)} runs"
        console.print(f"Warning{some}: {as_markup(warning)}", style=style)
