"""Work on many images in threads: decoding releases Python's lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from cellvision.concurrency import available_processors
from cellvision.data.decoders import memory

A = TypeVar("A")
B = TypeVar("B")

Progress = Callable[[int, int], None]
"""Called with the number of finished images and the total number."""

_BATCH = 8
"""Images per task: starting a task costs as much as decoding a small image."""


def in_threads(
    work: Callable[[A], B], items: Sequence[A], progress: Progress | None = None
) -> Generator[B, None, None]:
    """Map a function over items with threads, in order, with few results in memory at a time.

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

    def finished() -> Iterator[list[B]]:
        pending: deque[Future[list[B]]] = deque()
        for start in range(0, len(items), size):
            pending.append(pool.submit(work_on, items[start : start + size]))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    try:
        for count, result in enumerate(chain.from_iterable(finished()), start=1):
            yield result
            if progress is not None:
                progress(count, len(items))
    finally:
        pool.shutdown(cancel_futures=True)
