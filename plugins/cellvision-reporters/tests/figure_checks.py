"""What a figure must fulfil: it is a picture, and none of its text is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image


def texts(figure: Any) -> list[str]:
    """Return every text of a figure."""
    from matplotlib.text import Text

    strings = [text.get_text() for text in figure.findobj(Text) if text.get_text()]
    return [text.replace("\N{NO-BREAK SPACE}", " ") for text in strings]


def prose(figure: Any) -> str:
    """Return all text of a figure on one line."""
    return " ".join(" ".join(texts(figure)).split())


def assert_nothing_is_clipped(figure: Any) -> None:
    from matplotlib.text import Text

    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    undrawn = {
        id(text)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for text in (tick.label1, tick.label2)
    }
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    assert shown
    for text in shown:
        box = text.get_window_extent(renderer)
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside or id(text) in undrawn, f"{text.get_text()!r}: {box} of {width} x {height}"


def assert_is_a_picture(path: Path) -> None:
    with Image.open(path) as image:
        assert min(image.size) >= 150
        low, high = image.convert("L").getextrema()
    assert high - low > 100
