"""Run transfers in threads, with a progress bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def in_parallel(
    work: Callable[[str], Result], names: Sequence[str], title: str, threads: int
) -> Iterator[Result]:
    """Apply `work` to all names, in order; `title` stands beside the bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    visible = sys.stderr.isatty() and len(names) > 0
    pool = ThreadPoolExecutor(threads)
    try:
        with Progress(*columns, console=console, transient=True, disable=not visible) as bars:
            bar = bars.add_task(title, total=len(names))
            for result in pool.map(work, names):
                bars.advance(bar)
                yield result
    finally:
        pool.shutdown(cancel_futures=True)
