"""A grid of images with text above and below each, as large as the text needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cellvision_reporters.figures.colours import BLACK
from cellvision_reporters.figures.figure import (
    CaptionedFigure,
    fit_text,
    text_height,
    text_width,
)

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Run, Study
    from cellvision_reporters.figures.placed_image import PlacedImage

FONT = 9.5
"""Size of the texts in points."""

_WIDEST = 9.5
_GAP = 0.12
_LINES = 2
_THICK = 2.5
"""Points of the frame that shows whether an answer is right."""


class ImageGrid:
    """The geometry of a grid of images.

    Parameters
    ----------
    above, below
        The text above (bold) and below each image; `below` may be empty.
    ratio
        Height of an image over its width.

    Attributes
    ----------
    above, below : list of str
        The texts, wrapped or shortened to fit their cell.
    width, height : float
        Size of the whole grid in inches.
    """

    def __init__(self, above: Sequence[str], below: Sequence[str], ratio: float) -> None:
        count = len(above)
        widest = max(
            [text_width(text, FONT, "bold") for text in above]
            + [text_width(text, FONT) for text in below]
        )
        self._cell = min(max(widest + 0.03, 1.15), 1.45)
        most = min(int(_WIDEST // (self._cell + _GAP)), count)
        # Prefer a number of columns that fills the last row, or nearly does.
        even = [n for n in range(most, max(most - 3, 1), -1) if count % n == 0]
        rows = -(-count // most)
        self._columns = even[0] if even else -(-count // rows)
        self.above = [fit_text(text, self._cell, FONT, _LINES, "bold") for text in above]
        self.below = [fit_text(text, self._cell, FONT, _LINES) for text in below]
        self._head = text_height(_most_lines(self.above), FONT) + 0.06
        self._foot = text_height(_most_lines(self.below), FONT) + 0.06 if below else 0.0
        self._image = self._cell * min(max(ratio, 0.3), 2.5)
        self._step = self._head + self._image + self._foot + _GAP
        self.width = max(self._columns * (self._cell + _GAP) + _GAP, 4.6)
        self.height = -(-count // self._columns) * self._step + 0.05

    def draw(
        self,
        figure: CaptionedFigure,
        index: int,
        picture: np.ndarray,
        colour: str = BLACK,
        line: Any = None,
    ) -> PlacedImage:
        """Draw one image with its texts.

        Parameters
        ----------
        figure
            The figure made by `figure`.
        index
            Position of the image, row by row.
        picture
            Shape (height, width, 3), 0 to 1.
        colour
            Colour of the text above; the one below is black.
        line
            Matplotlib's line style of a thick frame in that colour; None: a thin black frame.
        """
        row, column = divmod(index, self._columns)
        left, top = _GAP + column * (self._cell + _GAP), row * self._step + self._head
        placed = figure.add_image(left, top, self._cell, self._image, picture)
        if line is None:
            placed.frame()
        else:
            placed.frame(colour, _THICK, line)
        placed.write_above(self.above[index], FONT, color=colour, weight="bold")
        if self.below:
            placed.write_below(self.below[index], FONT)
        return placed

    def figure(self, results: Run | Study, title: str, captions: Sequence[str]) -> CaptionedFigure:
        """Make the figure that the grid fills."""
        return CaptionedFigure(results, self.width, self.height, title, captions)


def image_ratio(images: Sequence[np.ndarray]) -> float:
    """Return the largest height over width of images of shape (height, width, channels)."""
    return max(float(image.shape[0] / image.shape[1]) for image in images)


def _most_lines(texts: Sequence[str]) -> int:
    return max(text.count("\n") + 1 for text in texts)
