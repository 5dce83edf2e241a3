"""Draws images whose answer flips: before, the amplified difference, and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision_reporters.figures.colours import RIGHT, WRONG
from cellvision_reporters.figures.display import DisplayRange, display_range
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text, text_height
from cellvision_reporters.figures.phrasing import format_percent
from cellvision_reporters.robustness.flips import Flip
from cellvision_reporters.robustness.perturbations import format_strength

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Run
    from cellvision_reporters.figures.placed_image import PlacedImage

_CELL, _GAP, _TEXT, _FONT = 1.5, 0.12, 1.55, 9.5


def draw_flips(run: Run, split: str, flips: Sequence[Flip]) -> CaptionedFigure:
    """Draw one row per flip.

    Parameters
    ----------
    run
        The run.
    split
        The split.
    flips
        Flips with their perturbed images.
    """
    shape = flips[0].original.shape
    ratio = min(max(shape[0] / shape[1], 0.3), 2.5)
    head = text_height(2, _FONT) + 0.06
    step = head + _CELL * ratio + _GAP
    figure = CaptionedFigure(
        run,
        _TEXT + 3 * (_CELL + _GAP) + 2 * _GAP,
        len(flips) * step + 0.05,
        f"{split}: where the answer flips",
        [
            "Left: the image and its right answer. Middle: the difference, around grey, "
            "multiplied by the number above it. Right: the perturbed image and the wrong answer. "
            "Each at the mildest strength that flips it; percentages are of the intensity range "
            "that the images use."
        ],
    )
    scale = display_range(run, [flip.original for flip in flips])
    for row, flip in enumerate(flips):
        for column, (picture, text, colour) in enumerate(_cells(flip, scale)):
            left = _TEXT + _GAP + column * (_CELL + _GAP)
            placed = figure.add_image(left, row * step + head, _CELL, _CELL * ratio, picture)
            placed.frame()
            title = fit_text(text, _CELL, _FONT, 2, "bold")
            placed.write_above(title, _FONT, gap=3, weight="bold", color=colour)
            if column == 0:
                _write_label(placed, flip)
    return figure


def _cells(flip: Flip, scale: DisplayRange) -> Sequence[tuple[np.ndarray, str, str]]:
    """Return picture, text and colour of each column."""
    import numpy as np

    assert flip.changed is not None
    widths = np.array(scale.high) - np.array(scale.low)
    difference = (flip.changed - flip.original) / widths[: flip.original.shape[-1]]
    largest = float(np.percentile(np.abs(difference), 99.5))
    factor = 0.5 / largest if largest > 0 else 1.0
    return (
        (scale.to_rgb(flip.original), f"✓ {flip.label} {format_percent(flip.before)}", RIGHT),
        (_around_grey(factor * difference), f"× {factor:.3g}", "black"),
        (scale.to_rgb(flip.changed), f"✗ {flip.answer} {format_percent(flip.confidence)}", WRONG),
    )


def _write_label(placed: PlacedImage, flip: Flip) -> None:
    """Write the perturbation and the image's name to the left of a row."""
    text = f"{flip.change}, {format_strength(flip.strength, flip.unit)}"
    line = fit_text(text, _TEXT - 0.1, _FONT, 3, "bold")
    placed.write_beside(line, _FONT, up=3, weight="bold")
    placed.write_beside(fit_text(flip.image, _TEXT - 0.1, 8.0, 3), 8.0, up=-3)


def _around_grey(difference: np.ndarray) -> np.ndarray:
    """Show signed differences: three channels as colours, others by their mean."""
    import numpy as np

    if difference.shape[-1] != 3:
        difference = np.repeat(difference.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.clip(0.5 + difference, 0, 1)
