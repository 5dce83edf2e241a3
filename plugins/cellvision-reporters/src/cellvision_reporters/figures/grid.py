"""A grid of images with text above and below each, as large as the text needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellvision_reporters.figures.figure import Sheet, fitted, height_of, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cellvision import Run, Study

FONT = 9.5
_WIDEST = 9.5
_GAP = 0.12
_LINES = 2


class Grid:
    """The geometry of a grid of `count` images.

    Parameters
    ----------
    above, below
        The text above (bold) and below each image; `below` may be empty.
    ratio
        Height of an image over its width.

    Attributes
    ----------
    above, below : list of str
        The texts, broken into lines or shortened to fit their cell.
    width, height : float
        Of the whole grid, in inches.
    """

    def __init__(self, above: Sequence[str], below: Sequence[str], ratio: float) -> None:
        count = len(above)
        widest = max(
            [width_of(text, FONT, "bold") for text in above]
            + [width_of(text, FONT) for text in below]
        )
        self._cell = min(max(widest + 0.03, 1.15), 1.45)
        most = min(int(_WIDEST // (self._cell + _GAP)), count)
        # A grid without a ragged last row where one is near.
        near = [n for n in range(most, max(most - 3, 1), -1) if count % n == 0]
        self._columns = near[0] if near else most
        self.above = [fitted(text, self._cell, FONT, _LINES, "bold") for text in above]
        self.below = [fitted(text, self._cell, FONT, _LINES) for text in below]
        self._head = height_of(_most_lines(self.above), FONT) + 0.06
        self._foot = height_of(_most_lines(self.below), FONT) + 0.06 if below else 0.0
        self._image = self._cell * min(max(ratio, 0.3), 2.5)
        self._step = self._head + self._image + self._foot + _GAP
        self.width = max(self._columns * (self._cell + _GAP) + _GAP, 4.6)
        self.height = -(-count // self._columns) * self._step + 0.05

    def axes(self, sheet: Sheet, number: int) -> Axes:
        """Add the axes of one image, without ticks and with its texts."""
        row, column = divmod(number, self._columns)
        axes = sheet.axes(
            _GAP + column * (self._cell + _GAP),
            row * self._step + self._head,
            self._cell,
            self._image,
        )
        axes.set(xticks=[], yticks=[])
        axes.set_anchor("N")
        return axes

    def sheet(self, about: Run | Study, title: str, captions: Sequence[str]) -> Sheet:
        """Make the sheet that the grid fills."""
        return Sheet(about, self.width, self.height, title, captions)


def _most_lines(texts: Sequence[str]) -> int:
    return max(text.count("\n") + 1 for text in texts)
