"""Whole numbers for the axis of epochs."""

from __future__ import annotations


def ticks(first: int, last: int) -> list[int]:
    """Give up to ten whole epochs at a round distance.

    Examples
    --------
    >>> ticks(1, 9)
    [1, 2, 3, 4, 5, 6, 7, 8, 9]
    >>> ticks(1, 40)
    [5, 10, 15, 20, 25, 30, 35, 40]
    """
    steps = (step * 10**power for power in range(9) for step in (1, 2, 5))
    step = next(step for step in steps if (last - first) / step < 10)
    return [epoch for epoch in range(0, last + 1, step) if epoch >= first] or [first]
