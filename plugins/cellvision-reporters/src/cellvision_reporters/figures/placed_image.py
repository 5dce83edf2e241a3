"""Images at exact positions of a figure, with a frame and text around each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellvision_reporters.figures.colours import BLACK
from cellvision_reporters.figures.display import interpolation

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

_POINT = 1 / 72
_UNFILLED = "#E8E8E8"
"""Grey beside an image whose shape differs from that of its place."""


@dataclass(frozen=True, eq=False)
class PlacedImage:
    """An image in axes that it shares with the other images of a figure.

    Separate axes would cost each image tens of milliseconds for ticks, spines and labels.
    Positions are inches from the left and the top of the axes.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
        Axes of the whole content; one unit is one inch.
    left, top, width, height : float
        The place of the image.
    box : tuple of float
        Left, top, width and height of the part that the image fills.
    shape : tuple of int
        Height and width of the image in pixels.
    """

    axes: Axes
    left: float
    top: float
    width: float
    height: float
    box: tuple[float, float, float, float]
    shape: tuple[int, int]

    @classmethod
    def draw(
        cls, axes: Axes, place: tuple[float, float, float, float], picture: np.ndarray
    ) -> PlacedImage:
        """Draw an image, centred on grey if its shape differs from that of its place.

        Parameters
        ----------
        axes
            Axes of the whole content; one unit is one inch, and y points down.
        place
            Left, top, width and height.
        picture
            Shape (height, width, 3), 0 to 1.
        """
        import numpy as np
        from matplotlib.patches import Rectangle

        rows, columns = picture.shape[:2]
        box = _centred(place, rows / columns)
        if box != place:
            background = Rectangle(place[:2], *place[2:], facecolor=_UNFILLED, zorder=-1)
            axes.add_patch(background)
        left, top, width, height = box
        # Matplotlib resamples bytes faster than floating-point numbers.
        pixels = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
        axes.imshow(
            pixels,
            extent=(left, left + width, top + height, top),
            aspect="auto",
            interpolation=interpolation(rows),
        )
        return cls(axes, *place, box, (rows, columns))

    @property
    def pixels(self) -> Transform:
        """Transform from the pixels of the image, whose first one is centred on (0, 0)."""
        from matplotlib.transforms import Affine2D

        left, top, width, height = self.box
        rows, columns = self.shape
        to_inches = Affine2D().translate(0.5, 0.5).scale(width / columns, height / rows)
        return to_inches.translate(left, top) + self.axes.transData

    def frame(self, colour: str = BLACK, width: float = 0.8, line: Any = "-") -> None:
        """Draw a frame around the place of the image; `width` is in points."""
        from matplotlib.patches import Rectangle

        style = {"facecolor": "none", "edgecolor": colour, "linewidth": width, "linestyle": line}
        corner = (self.left, self.top)
        self.axes.add_patch(Rectangle(corner, self.width, self.height, zorder=2.5, **style))

    def write_above(self, text: str, size: float, gap: float = 4, **style: Any) -> None:
        """Write text above the image; `size` and `gap` are in points."""
        x, y = self.left + self.width / 2, self.top - gap * _POINT
        self.axes.text(x, y, text, fontsize=size, ha="center", va="baseline", **style)

    def write_below(self, text: str, size: float, gap: float = 4, **style: Any) -> None:
        """Write text below the image; `size` and `gap` are in points."""
        x, y = self.left + self.width / 2, self.top + self.height + gap * _POINT
        self.axes.text(x, y, text, fontsize=size, ha="center", va="top", **style)

    def write_beside(self, text: str, size: float, up: float = 0, **style: Any) -> None:
        """Write text to the left of the image, `up` points above the middle; below if negative."""
        align = "center" if up == 0 else "bottom" if up > 0 else "top"
        x, y = self.left - 6 * _POINT, self.top + self.height / 2 - up * _POINT
        self.axes.text(x, y, text, fontsize=size, ha="right", va=align, **style)

    def mark(self, text: str, colour: str) -> None:
        """Write a character in white on `colour` into the upper left corner."""
        box = {"facecolor": colour, "edgecolor": "none", "boxstyle": "square,pad=0.15"}
        x, y = self.left + 0.04 * self.width, self.top + 0.04 * self.height
        self.axes.text(x, y, text, fontsize=12, va="top", weight="bold", color="white", bbox=box)

    def outline(self, mask: np.ndarray, colour: str) -> None:
        """Draw the outlines of the pixels that a mask of the image's shape selects."""
        import numpy as np

        left, top, width, height = self.box
        rows, columns = self.shape
        x = left + (np.arange(columns) + 0.5) * width / columns
        y = top + (np.arange(rows) + 0.5) * height / rows
        self.axes.contour(x, y, mask.astype(float), levels=[0.5], colors=colour, linewidths=1.4)


def _centred(
    place: tuple[float, float, float, float], ratio: float
) -> tuple[float, float, float, float]:
    """Return the largest box of a height over width that fits into a place, in its middle."""
    left, top, width, height = place
    if abs(ratio * width - height) < 1e-6 * height:
        return place
    across, down = min(width, height / ratio), min(height, width * ratio)
    return left + (width - across) / 2, top + (height - down) / 2, across, down
