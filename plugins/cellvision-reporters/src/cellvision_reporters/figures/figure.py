"""One figure on its sheet: title, leak stamp and caption around it, and how it is saved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io
from cellvision_reporters.figures.banners import control_stamp, leak_stamp, unit_note
from cellvision_reporters.figures.colours import WRONG
from cellvision_reporters.figures.phrasing import tied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cellvision import Run, Study

_MARGIN = 0.12
_HINTING = 1.04
"""Drawn on whole pixels, text comes out up to so much wider than its outlines are."""

_NO_BREAK = "\N{NO-BREAK SPACE}"
_TITLE, _STAMP, _CAPTION = 12.0, 10.0, 9.0

# DejaVu Sans comes with Matplotlib; the others stand in for scripts it lacks, where installed.
_FAMILIES = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans"),
    *("Microsoft YaHei", "Arial Unicode MS", "Noto Sans"),
)


@lru_cache(maxsize=1)
def _families() -> list[str]:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FAMILIES if name in installed)]


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """The width of one line of text in inches; `size` is in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_families(), size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return _HINTING * float(width) / 72


def height_of(lines: int, size: float) -> float:
    """The height of so many lines in inches."""
    return lines * 1.35 * size / 72


def printable(text: str) -> str:
    """One line without control characters, which fonts show as boxes."""
    shown = "".join(c if c.isprintable() or c == _NO_BREAK else " " for c in text)
    return " ".join(word for word in shown.split(" ") if word)


def wrapped(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """Break text into lines of at most `width` inches; a longer word is broken where it must."""
    lines: list[str] = []
    line = ""
    for word in printable(text).split(" "):
        joined = f"{line} {word}" if line else word
        if width_of(joined, size, weight) <= width:
            line = joined
        elif width_of(word, size, weight) <= width:
            lines.append(line)
            line = word
        else:
            *full, line = _broken(joined, width, size, weight)
            lines += full
    return [*lines, line] if line or not lines else lines


def _broken(text: str, width: float, size: float, weight: str) -> list[str]:
    """Cut text at any letter."""
    lines = []
    while width_of(text, size, weight) > width and len(text) > 1:
        end = len(text) - 1
        while end > 1 and width_of(text[:end], size, weight) > width:
            end -= 1
        lines.append(text[:end])
        text = text[end:].lstrip()
    return [*lines, text]


def fitted(text: str, width: float, size: float, lines: int = 1, weight: str = "normal") -> str:
    """Fit text into so many lines of `width` inches; where it must, the middle becomes "…".

    The middle, since names that differ often do so at their ends.
    """
    text = printable(text)
    broken = wrapped(text, width, size, weight)
    kept = len(text)
    while len(broken) > lines and kept > 2:
        kept -= 1
        short = f"{text[: (kept + 1) // 2].rstrip()}…{text[len(text) - kept // 2 :].lstrip()}"
        broken = wrapped(short, width, size, weight)
    return "\n".join(broken[:lines])


class Sheet:
    """A figure of a given content size, with what must be said around it.

    No pyplot: reporters may run in threads and must leave no global state behind.

    Parameters
    ----------
    about
        The run or study, for the leak stamp and the note on units.
    width, height
        Of the content, in inches; title, stamp and caption come on top.
    title
        One line, wrapped where it must be.
    captions
        Sentences below the figure.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        Draw on it; its layout keeps axes and their labels within the content.
    """

    def __init__(
        self,
        about: Run | Study,
        width: float,
        height: float,
        title: str,
        captions: Sequence[str] = (),
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        inner = width - 2 * _MARGIN
        title_lines = wrapped(tied(title), inner, _TITLE, "bold")
        leak = " ".join(line for line in (leak_stamp(about), control_stamp(about)) if line)
        leak_lines = wrapped(leak, inner - 0.2, _STAMP, "bold") if leak else []
        caption = " ".join(line for line in (*captions, unit_note(about)) if line)
        caption_lines = wrapped(caption, inner, _CAPTION) if caption else []
        above = _MARGIN + height_of(len(title_lines), _TITLE) + 0.05
        stamp_height = height_of(len(leak_lines), _STAMP) + 0.12 if leak else 0.0
        below = _MARGIN + height_of(len(caption_lines), _CAPTION) if caption else 0.05
        total = above + stamp_height + height + below

        self._content = (width, total, above + stamp_height)
        self.figure: Figure = Figure(figsize=(width, total), facecolor="white")
        FigureCanvasAgg(self.figure)
        self.figure.set_layout_engine(
            ConstrainedLayoutEngine(
                rect=(0.0, below / total, 1.0, height / total), w_pad=_MARGIN, h_pad=0.08
            )
        )
        left = _MARGIN / width
        self._text(left, 1 - _MARGIN / total, title_lines, _TITLE, weight="bold")
        if leak:
            self._text(
                left + 0.06 / width,
                1 - (above + 0.03) / total,
                leak_lines,
                _STAMP,
                weight="bold",
                color="white",
                bbox={"facecolor": WRONG, "edgecolor": "none", "boxstyle": "square,pad=0.3"},
            )
        if caption:
            self._text(left, below / total, caption_lines, _CAPTION, color="#333333")

    def _text(self, x: float, y: float, lines: Sequence[str], size: float, **style: Any) -> None:
        self.figure.text(
            x, y, "\n".join(lines), fontsize=size, va="top", ha="left", linespacing=1.25, **style
        )

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes at an exact place: inches from the left and from the top of the content.

        Axes are laid out either all so, or all by the figure's ``subplots``.
        """
        across, down, start = self._content
        self.figure.set_layout_engine("none")
        bottom = down - start - top - height
        return self.figure.add_axes((left / across, bottom / down, width / across, height / down))

    def _finish(self) -> None:
        """Take names literally: a dollar sign in a class name begins no formula."""
        from matplotlib.text import Text

        for text in self.figure.findobj(Text):
            text.set_parse_math(False)
            text.set_fontfamily(_families())

    def save(self, target: Path, dpi: int) -> Path:
        """Write the figure, whole or not at all; the suffix of `target` says how."""
        self._finish()
        # Without a date the same run gives the same file.
        dated = {".pdf": "CreationDate", ".svg": "Date"}.get(target.suffix)
        metadata = {dated: None} if dated else None
        with atomic_io.path(target) as temporary:
            self.figure.savefig(temporary, dpi=dpi, facecolor="white", metadata=metadata)
        return target
