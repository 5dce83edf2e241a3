"""Axes that all figures style alike: grids, spines, and ticks at whole epochs."""

from __future__ import annotations

from typing import Any, Literal

from cellvision_reporters.figures.colours import GRID


def epoch_ticks(first: int, last: int) -> list[int]:
    """Return up to ten whole epochs at a round distance.

    Examples
    --------
    >>> epoch_ticks(1, 9)
    [1, 2, 3, 4, 5, 6, 7, 8, 9]
    >>> epoch_ticks(1, 40)
    [5, 10, 15, 20, 25, 30, 35, 40]
    """
    steps = (step * 10**power for power in range(9) for step in (1, 2, 5))
    step = next(step for step in steps if (last - first) / step < 10)
    return [epoch for epoch in range(0, last + 1, step) if epoch >= first] or [first]


def style_axes(
    axes: Any,
    font_size: float = 9.5,
    grid: Literal["both", "x", "y"] = "both",
    hidden_spines: tuple[str, ...] = ("top", "right"),
) -> None:
    """Draw the grid behind the data, hide spines, and set the size of tick labels.

    Parameters
    ----------
    axes
        Matplotlib axes.
    font_size
        Size of tick labels in points.
    grid
        Which grid lines to draw.
    hidden_spines
        Spines to hide.
    """
    axes.tick_params(labelsize=font_size)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[list(hidden_spines)].set_visible(False)
