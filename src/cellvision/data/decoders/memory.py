"""A budget for the bytes of decoded pixels that all threads together hold at a time.

A decoder reserves the size that a header declares before it allocates anything. A thread that
would exceed the budget waits until another thread has finished its image. Nothing can deadlock:
a thread that already holds a reservation never waits, and an image larger than the whole budget
is decoded when it is alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_BYTES_IN_FLIGHT = 2 * 2**30
"""Decoded bytes that all threads hold at a time (2 GiB)."""

_changed = threading.Condition()
_thread = threading.local()
_in_flight = 0


@contextmanager
def holding() -> Iterator[None]:
    """Keep the reservations that this thread makes inside the block until the block ends.

    Blocks nest; the outermost one releases. Wrap the whole work on one image in it: decoding,
    measuring, resizing.
    """
    if getattr(_thread, "reserved", None) is not None:
        yield
        return
    _thread.reserved = 0
    try:
        yield
    finally:
        _release(_thread.reserved)
        _thread.reserved = None


def reserve(count: int) -> None:
    """Reserve `count` bytes for this thread's `holding` block; wait while others hold too many.

    Outside of a block nothing is reserved.
    """
    global _in_flight
    reserved = getattr(_thread, "reserved", None)
    if reserved is None:
        return
    with _changed:
        while reserved == 0 and _in_flight and _in_flight + count > MAX_BYTES_IN_FLIGHT:
            _changed.wait()
        _in_flight += count
    _thread.reserved = reserved + count


def bytes_in_flight() -> int:
    """Return how many bytes all threads have reserved at the moment."""
    return _in_flight


def _release(count: int) -> None:
    global _in_flight
    with _changed:
        _in_flight -= count
        _changed.notify_all()
