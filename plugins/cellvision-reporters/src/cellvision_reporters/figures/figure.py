"""A figure with a title, warnings and a caption, and how it is saved."""

from __future__ import annotations

import bisect
import logging
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import io
from cellvision_reporters.figures.banners import control_banner, group_note, leak_banner
from cellvision_reporters.figures.colours import WRONG
from cellvision_reporters.figures.frame import FigureFrame
from cellvision_reporters.figures.phrasing import keep_together
from cellvision_reporters.figures.placed_image import PlacedImage

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cellvision import Audit, Run, Study

_log = logging.getLogger(__name__)

_MARGIN = 0.12
_HINTING = 1.04
"""Text drawn on whole pixels comes out up to this much wider than its outlines."""

_COMPRESSION = 2
"""Level of PNG files: images of cells are noisy, so that a higher one costs time for nothing."""

_NO_BREAK = "\N{NO-BREAK SPACE}"
_TITLE, _BANNER, _CAPTION = 12.0, 10.0, 9.0

# DejaVu Sans comes with Matplotlib; the others cover scripts that it lacks, if installed.
_FAMILIES = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Arial Unicode MS",
    "Noto Sans",
)


@lru_cache(maxsize=1)
def _families() -> list[str]:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FAMILIES if name in installed)]


@lru_cache(maxsize=1)
def _covered() -> frozenset[int]:
    """Return the characters that the fonts have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    files = [findfont(FontProperties(family=name)) for name in _families()]
    return frozenset().union(*(get_font(file).get_charmap() for file in files))


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Silence Matplotlib's line for each missing character: `finish` says it in one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ ", UserWarning)
        yield


def _say_missing(character: str) -> None:
    """Warn of a character that no font has, once for each script."""
    script = unicodedata.name(character, "unnamed").split()[0]
    if script not in _said:
        _said.add(script)
        _log.warning(
            "the installed fonts lack characters such as %r, which figures show as boxes: "
            "install a font that has them, such as Noto Sans CJK for Chinese",
            character,
        )


_said: set[str] = set()
"""First words of the names of missing characters, such as CJK or DEVANAGARI."""


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of one line of text in inches; `size` is in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_families(), size=size, weight=weight)
    with _without_glyph_warnings():
        width, _, _ = text_to_path.get_text_width_height_descent(
            printable(text), font, ismath=False
        )
    return _HINTING * float(width) / 72


def text_height(lines: int, size: float) -> float:
    """Return the height of a number of lines in inches; `size` is in points."""
    return lines * 1.35 * size / 72


def printable(text: str) -> str:
    """Return one line without control characters, which fonts show as boxes."""
    shown = "".join(c if c.isprintable() or c == _NO_BREAK else " " for c in text)
    return " ".join(word for word in shown.split(" ") if word)


def wrap_text(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """Wrap text between words, or after underscores, into lines of at most `width` inches.

    A word that is wider than a line is broken at a letter.
    """
    lines: list[str] = []
    line, used = "", 0.0
    for glue, word in _words(printable(text)):
        own = _advance(word, size, weight)
        joined = f"{line}{glue}{word}" if line else word
        together = used + (_advance(glue, size, weight) if line else 0.0) + own
        if together <= width:
            line, used = joined, together
        elif own <= width:
            lines.append(line)
            line, used = word, own
        else:
            *full, line = _broken(joined, width, size, weight)
            lines += full
            used = _advance(line, size, weight)
    return [*lines, line] if line or not lines else lines


def _advance(text: str, size: float, weight: str) -> float:
    """Return how far text moves what follows it, in inches.

    Lines are measured by the sum of their words: most words are in many lines, and each is
    measured once.
    """
    if not text:
        return 0.0
    return text_width(f"|{text}|", size, weight) - text_width("||", size, weight)


def _words(text: str) -> list[tuple[str, str]]:
    """Return the parts that a line may end after, each with what stands before it in a line."""
    return [
        ("" if number else " ", part)
        for word in text.split(" ")
        for number, part in enumerate(re.findall(r"[^_]+_*|_+", word) or [""])
    ]


def _broken(text: str, width: float, size: float, weight: str) -> list[str]:
    """Break text at any letter."""
    lines = []
    while text_width(text, size, weight) > width and len(text) > 1:
        end = len(text) - 1
        while end > 1 and text_width(text[:end], size, weight) > width:
            end -= 1
        lines.append(text[:end])
        text = text[end:].lstrip()
    return [*lines, text]


def fit_text(text: str, width: float, size: float, lines: int = 1, weight: str = "normal") -> str:
    """Fit text into lines of `width` inches, broken between words or after underscores only.

    Text that does not fit loses its middle to "…", since names often differ at their ends.
    """
    text = printable(text)

    def fits(candidate: str) -> list[str] | None:
        words = [word for _, word in _words(candidate)]
        if any(text_width(word, size, weight) > width for word in words if len(word) > 2):
            return None
        wrapped = wrap_text(candidate, width, size, weight)
        return wrapped if len(wrapped) <= lines else None

    def shortened(letters: int) -> str:
        start, end = text[: (letters + 1) // 2].rstrip(), text[len(text) - letters // 2 :]
        return f"{start}…{end.lstrip()}"

    wrapped = fits(text)
    if wrapped is None:
        # The most letters that fit; names may have hundreds.
        most = bisect.bisect_left(range(2, len(text)), True, key=lambda n: not fits(shortened(n)))
        wrapped = fits(shortened(most + 1)) if most else None
    return "\n".join(wrapped or wrap_text(text[:1], width, size, weight)[:1])


class CaptionedFigure:
    """A figure of a given content size, with title, warnings and caption around it.

    It does not use pyplot: reporters may run in threads and must leave no global state behind.

    Parameters
    ----------
    results
        The run, study or audit, for its warnings.
    width, height
        Size of the content in inches; title, warnings and caption are added to it.
    title
        Title, wrapped if needed.
    captions
        Sentences below the figure; empty ones are left out.

    Attributes
    ----------
    canvas : matplotlib.figure.Figure
        The figure to draw on; its layout keeps axes and their labels within the content.
    """

    def __init__(
        self,
        results: Run | Study | Audit,
        width: float,
        height: float,
        title: str,
        captions: Sequence[str] = (),
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        from cellvision_reporters.figures.notebook_figure import NotebookFigure

        inner = width - 2 * _MARGIN
        title_lines = wrap_text(keep_together(title), inner, _TITLE, "bold")
        banner = " ".join(x for x in (leak_banner(results), control_banner(results)) if x)
        banner_lines = wrap_text(banner, inner - 0.2, _BANNER, "bold") if banner else []
        caption = " ".join(line for line in (*captions, group_note(results)) if line)
        caption_lines = wrap_text(keep_together(caption), inner, _CAPTION) if caption else []
        above = _MARGIN + text_height(len(title_lines), _TITLE) + 0.05
        banner_height = text_height(len(banner_lines), _BANNER) + 0.12 if banner else 0.0
        below = _MARGIN + text_height(len(caption_lines), _CAPTION) if caption else 0.05
        total = above + banner_height + height + below

        # Banners belong to the content. The page says itself that groups are unknown.
        sentences = printable(" ".join(line for line in captions if line))
        ends = (above - 0.04) / total, (total - below) / total
        self._frame = FigureFrame(printable(title), sentences, *ends)
        self._content = (width, total, above + banner_height)
        self._height = height
        self.canvas: Figure = NotebookFigure(figsize=(width, total), facecolor="white")
        FigureCanvasAgg(self.canvas)
        rect = (0.0, below / total, 1.0, height / total)
        self.canvas.set_layout_engine(ConstrainedLayoutEngine(rect=rect, w_pad=_MARGIN, h_pad=0.08))
        left = _MARGIN / width
        self._text(left, 1 - _MARGIN / total, title_lines, _TITLE, weight="bold")
        if banner:
            box = {"facecolor": WRONG, "edgecolor": "none", "boxstyle": "square,pad=0.3"}
            style = {"weight": "bold", "color": "white", "bbox": box}
            top = 1 - (above + 0.03) / total
            self._text(left + 0.06 / width, top, banner_lines, _BANNER, **style)
        if caption:
            self._text(left, below / total, caption_lines, _CAPTION, color="#333333")

    def _text(self, x: float, y: float, lines: Sequence[str], size: float, **style: Any) -> None:
        self.canvas.text(
            x, y, "\n".join(lines), fontsize=size, va="top", ha="left", linespacing=1.25, **style
        )

    def add_axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes at an exact position: inches from the left and the top of the content.

        A figure lays out its axes either all with this method, or all with
        ``canvas.subplots``.
        """
        across, down, start = self._content
        if self.canvas.get_layout_engine() is not None:
            self._fix_layout()
        bottom = down - start - top - height
        return self.canvas.add_axes((left / across, bottom / down, width / across, height / down))

    def _fix_layout(self) -> None:
        """Remove the layout engine: "none" leaves one, for which every figure is drawn twice."""
        import matplotlib as mpl

        with mpl.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
            self.canvas.set_layout_engine(None)

    def write(self, left: float, top: float, height: float, text: str, **style: Any) -> None:
        """Write text at the left of a box, centred in its height; inches, as for `add_axes`."""
        across, down, start = self._content
        x, y = left / across, (down - start - top - height / 2) / down
        self.canvas.text(x, y, text, va="center", ha="left", **style)

    def add_image(
        self, left: float, top: float, width: float, height: float, picture: np.ndarray
    ) -> PlacedImage:
        """Draw an image at an exact position; inches, as for `add_axes`.

        Parameters
        ----------
        left, top, width, height
            The place of the image, which is centred on grey if its shape differs.
        picture
            Shape (height, width, 3), 0 to 1.
        """
        return PlacedImage.draw(self._image_axes, (left, top, width, height), picture)

    @cached_property
    def _image_axes(self) -> Axes:
        """The axes of all images: one unit is one inch, and y points down."""
        width, height = self._content[0], self._height
        axes = self.add_axes(0, 0, width, height)
        axes.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        return axes

    def finish(self) -> Figure:
        """Return the finished figure, in which a dollar sign in a name begins no formula."""
        from matplotlib.text import Text

        for text in self.canvas.findobj(Text):
            text.set_parse_math(False)
            text.set_fontfamily(_families())
            missing = [c for c in text.get_text() if c.isprintable() and ord(c) not in _covered()]
            if missing:
                _say_missing(missing[0])
        return self.canvas

    def save(self, target: Path, dpi: int) -> Path:
        """Write the figure, whole or not at all; the suffix of `target` selects the format."""
        self.finish()
        metadata = self._frame.metadata(target.suffix)
        style: dict[str, Any] = {"dpi": dpi, "facecolor": "white", "metadata": metadata}
        if target.suffix == ".png":
            style["pil_kwargs"] = {"compress_level": _COMPRESSION}
        with _without_glyph_warnings(), io.atomic_path(target) as temporary:
            self.canvas.savefig(temporary, **style)
        return target
