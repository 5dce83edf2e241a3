"""Work on many images in threads: decoding releases Python's lock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from cellvision.concurrency import available_processors
from cellvision.data.decoders import memory

A = TypeVar("A")
B = TypeVar("B")

Progress = Callable[[int, int], None]
"""Called with the number of finished images and the total number."""

_BATCH = 8
"""Images per task: starting a task costs as much as decoding a small image."""

_TRIED = 256
"""Images that each way of working gets in a round of the trial."""

_LONG = 0.005
"""Seconds of work per image that threads share in any case: little of them holds the lock."""


def in_threads(
    work: Callable[[A], B], items: Sequence[A], progress: Progress | None = None
) -> Generator[B, None, None]:
    """Map a function over items, in order, with few results in memory at a time.

    Threads work side by side only as far as decoding releases Python's lock. Of many small images,
    one thread often reads more than several, which wait for each other; a trial on the first
    images decides.

    Pixels that `work` decodes count against the limit of `decoders.memory` until it returns.
    """

    def work_on(batch: Sequence[A]) -> list[B]:
        results = []
        for item in batch:
            with memory.holding():
                results.append(work(item))
        return results

    workers = available_processors()
    size = max(1, min(_BATCH, len(items) // (4 * workers)))
    pool = ThreadPoolExecutor(workers)

    def alone(part: Sequence[A]) -> Iterator[B]:
        for item in part:
            yield from work_on([item])

    def together(part: Sequence[A]) -> Iterator[B]:
        pending: deque[Future[list[B]]] = deque()
        for start in range(0, len(part), size):
            pending.append(pool.submit(work_on, part[start : start + size]))
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()

    try:
        for count, result in enumerate(_faster(alone, together, items, workers), start=1):
            yield result
            if progress is not None:
                progress(count, len(items))
    finally:
        pool.shutdown(cancel_futures=True)


def _faster(
    alone: Callable[[Sequence[A]], Iterator[B]],
    together: Callable[[Sequence[A]], Iterator[B]],
    items: Sequence[A],
    workers: int,
) -> Iterator[B]:
    """Map the first items in both ways by turns, and the others in the faster one."""
    if workers == 1:
        yield from alone(items)
        return
    ways = (alone, together)
    seconds = [0.0, 0.0]
    start = 0
    if len(items) >= 8 * _TRIED:
        # The first images import decoders, so they are not timed.
        yield from alone(items[:_BATCH])
        began = time.perf_counter()
        yield from alone(items[_BATCH : 2 * _BATCH])
        start = 2 * _BATCH
        if (time.perf_counter() - began) / _BATCH < _LONG:
            for turn in (0, 1, 0, 1):
                began = time.perf_counter()
                yield from ways[turn](items[start : start + _TRIED])
                seconds[turn] += time.perf_counter() - began
                start += _TRIED
    yield from ways[int(seconds[1] <= seconds[0])](items[start:])
