"""Draws attribution maps over the images that they explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cellvision_reporters.figures.colours import RIGHT, WRONG
from cellvision_reporters.figures.display import display_range
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text, text_height
from cellvision_reporters.figures.phrasing import format_percent

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import Run
    from cellvision_reporters.figures.placed_image import PlacedImage

_CELL, _GAP, _TEXT, _FONT = 1.5, 0.1, 1.5, 9.5
_COLUMNS = (
    "as the network sees it",
    "integrated gradients",
    "occlusion",
    "check: gradients with random weights",
)


def draw_maps(
    run: Run,
    title: str,
    rows: pd.DataFrame,
    images: np.ndarray,
    maps: Sequence[np.ndarray],
    captions: Sequence[str],
) -> CaptionedFigure:
    """Draw one row per image: the image, and each map over it.

    Parameters
    ----------
    run
        The run.
    title, captions
        Texts around the figure.
    rows
        Predictions of the images.
    images
        Shape (n, height, width, channels), as the network sees them.
    maps
        Each of shape (n, height, width).
    """
    ratio = min(max(images.shape[1] / images.shape[2], 0.3), 2.5)
    heads = [fit_text(head, _CELL, _FONT, 3, "bold") for head in _COLUMNS]
    top = text_height(max(head.count("\n") for head in heads) + 1, _FONT) + 0.08
    step = _CELL * ratio + _GAP
    width = _TEXT + len(_COLUMNS) * (_CELL + _GAP) + 2 * _GAP
    figure = CaptionedFigure(run, width, top + len(images) * step + 0.05, title, captions)
    scale = display_range(run, images)
    for row, image in enumerate(images):
        picture = scale.to_rgb(image)
        cells = [picture, *(overlay(picture, each[row]) for each in maps)]
        for column, cell in enumerate(cells):
            left = _TEXT + _GAP + column * (_CELL + _GAP)
            placed = figure.add_image(left, top + row * step, _CELL, _CELL * ratio, cell)
            placed.frame()
            if row == 0:
                placed.write_above(heads[column], _FONT, weight="bold")
            if column == 0:
                _write_answer(placed, rows.iloc[row])
    return figure


def _write_answer(placed: PlacedImage, row: pd.Series[Any]) -> None:
    """Write the answer and the true class to the left of an image."""
    right = row["label"] == row["predicted"]
    percent = format_percent(float(row["p_" + row["predicted"]]))
    mark, colour = ("✓", RIGHT) if right else ("✗", WRONG)
    answer = fit_text(f"{mark} {row['predicted']} {percent}", _TEXT - 0.1, _FONT, 2, "bold")
    truth = fit_text(f"true: {row['label']}", _TEXT - 0.1, _FONT, 2)
    placed.write_beside(answer, _FONT, up=3, color=colour, weight="bold")
    placed.write_beside(truth, _FONT, up=-3)


def overlay(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Lay a map over a picture: orange for positive values, blue for negative ones.

    Parameters
    ----------
    picture
        Shape (height, width, 3), 0 to 1.
    values
        Shape (height, width).

    Returns
    -------
    numpy.ndarray
        Shape (height, width, 3), 0 to 1.
    """
    import numpy as np

    grey = picture.mean(axis=-1, keepdims=True) * 0.6 + 0.2
    largest = np.percentile(np.abs(values), 99.5)
    weight = np.clip(np.abs(values) / largest, 0, 1)[..., None] if largest > 0 else 0.0 * grey
    colour = np.where(values[..., None] > 0, (1.0, 0.6, 0.0), (0.15, 0.45, 1.0))
    blended: np.ndarray = grey * (1 - 0.85 * weight) + colour * 0.85 * weight
    return blended
