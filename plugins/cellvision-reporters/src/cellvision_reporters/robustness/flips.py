"""Images at which an answer flips: before, the change made visible, and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellvision_reporters.figures.colours import RIGHT, WRONG
from cellvision_reporters.figures.display import stretch_of
from cellvision_reporters.figures.figure import Sheet, fitted, height_of
from cellvision_reporters.robustness.perturbations import in_words

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Run

_CELL, _GAP, _TEXT, _FONT = 1.5, 0.12, 1.55, 9.5


@dataclass(frozen=True, eq=False)
class Flip:
    """One image, and the mildest strength of one change at which its right answer is lost.

    Attributes
    ----------
    image, label : str
        The image and its true class, which was the answer.
    change : str
        What was done.
    strength, unit : float, str
        How much of it.
    answer : str
        The class that it is taken for now.
    before, confidence : float
        The probability of the answer, before and now.
    original, changed : numpy.ndarray
        As the network sees them; `changed` is None where it was not kept.
    """

    image: str
    label: str
    change: str
    strength: float
    unit: str
    answer: str
    before: float
    confidence: float
    original: np.ndarray
    changed: np.ndarray | None

    def row(self) -> dict[str, Any]:
        """Give what a table holds of it."""
        return {
            "image": self.image,
            "label": self.label,
            "change": self.change,
            "strength": self.strength,
            "unit": self.unit,
            "answer": self.answer,
            "confidence": self.confidence,
        }


def draw_flips(run: Run, split: str, flips: Sequence[Flip]) -> Sheet:
    """Draw a row for each flip: the image, the amplified difference, the changed image."""
    import numpy as np

    shape = flips[0].original.shape
    ratio = min(max(shape[0] / shape[1], 0.3), 2.5)
    head = height_of(2, _FONT) + 0.06
    step = head + _CELL * ratio + _GAP
    sheet = Sheet(
        run,
        _TEXT + 3 * (_CELL + _GAP) + 2 * _GAP,
        len(flips) * step + 0.05,
        f"{split}: where the answer flips",
        [
            "Left: the image and its right answer. Middle: the difference, around grey, "
            "multiplied by the number above it. Right: the changed image and the wrong answer. "
            "Each at the mildest strength that flips it; a share is of the intensity range that "
            "the images use."
        ],
    )
    stretch = stretch_of(run, [flip.original for flip in flips])
    smooth = "nearest" if shape[0] < 100 else "antialiased"
    for row, flip in enumerate(flips):
        assert flip.changed is not None
        difference = flip.changed - flip.original
        shown = difference / np.array([high - low for low, high in _spans(stretch, shape)])
        largest = float(np.percentile(np.abs(shown), 99.5))
        factor = 0.5 / largest if largest > 0 else 1.0
        cells = (
            (stretch.rgb(flip.original), f"✓ {flip.label} {_percent(flip.before)}", RIGHT),
            (_around_grey(factor * shown), f"× {factor:.3g}", "black"),
            (stretch.rgb(flip.changed), f"✗ {flip.answer} {_percent(flip.confidence)}", WRONG),
        )
        for column, (picture, text, colour) in enumerate(cells):
            left = _TEXT + _GAP + column * (_CELL + _GAP)
            axes = sheet.axes(left, row * step + head, _CELL, _CELL * ratio)
            axes.set(xticks=[], yticks=[])
            axes.imshow(picture, interpolation=smooth)
            title = fitted(text, _CELL, _FONT, 2, "bold")
            axes.set_title(title, fontsize=_FONT, weight="bold", color=colour, pad=3)
            if column == 0:
                _tell(axes, flip)
    return sheet


def _tell(axes: Any, flip: Flip) -> None:
    """Write left of a row what was done, and to which image."""
    what = f"{flip.change}, {in_words(flip.strength, flip.unit)}"
    style = {"textcoords": "offset points", "ha": "right", "annotation_clip": False}
    place = {"xy": (0, 0.5), "xycoords": "axes fraction"}
    axes.annotate(
        fitted(what, _TEXT - 0.1, _FONT, 3, "bold"),
        xytext=(-6, 3),
        va="bottom",
        fontsize=_FONT,
        weight="bold",
        **place,
        **style,
    )
    axes.annotate(
        fitted(flip.image, _TEXT - 0.1, 8.0, 3),
        xytext=(-6, -3),
        va="top",
        fontsize=8.0,
        **place,
        **style,
    )


def _spans(stretch: Any, shape: Sequence[int]) -> list[tuple[float, float]]:
    return list(zip(stretch.low, stretch.high, strict=True))[: shape[-1]]


def _around_grey(difference: np.ndarray) -> np.ndarray:
    """Show signed differences: three channels as colours, others by their mean."""
    import numpy as np

    if difference.shape[-1] != 3:
        difference = np.repeat(difference.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.clip(0.5 + difference, 0, 1)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
