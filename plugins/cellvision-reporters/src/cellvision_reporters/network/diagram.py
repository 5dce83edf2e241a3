"""The reporter ``diagram``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text, text_width
from cellvision_reporters.figures.reporter import FigureReporter
from cellvision_reporters.network.layers import LayerCall, layer_calls

if TYPE_CHECKING:
    from cellvision import Run

_ROW, _BOX = 0.4, 0.28
_ROWS = 28
"""Rows in a column; a longer network continues in the next column."""

_FONT, _SHAPE, _WEIGHTS = 9.5, 1.25, 1.05
_COLOURS = {
    "Conv": "#BFE0F5",
    "Dense": "#FBE0A6",
    "Pool": "#E3E3E3",
    "Norm": "#D9EFE6",
    "Drop": "#F3DCE9",
}


class Diagram(FigureReporter):
    """The layers of the trained network, with output shapes and numbers of weights."""

    enabled_by_default: ClassVar[bool] = False

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Draw the diagram."""
        model = run.model()
        architecture = run.metadata.experiment.get("architecture")
        name = architecture.get("type") if isinstance(architecture, dict) else None
        title = f"{name or 'network'}: {int(model.count_params()):,} weights"
        figure = _draw(run, layer_calls(model), title)
        path = figure.save(folder / f"diagram{self.suffix}", self.dpi)
        return [Artifact(path, "Architecture", "figure", title, order=410)]


def _draw(run: Run, calls: Sequence[LayerCall], title: str) -> CaptionedFigure:
    columns = -(-len(calls) // _ROWS)
    rows = -(-len(calls) // columns)
    lanes = _lanes(calls, rows)
    texts = [_text(call, index) for index, call in enumerate(calls)]
    label_width = min(max(text_width(text, _FONT) for text in texts) + 0.2, 4.8)
    gutter = 0.36 + 0.13 * max((lane + 1 for *_, lane in lanes), default=0)
    column_width = gutter + label_width + _SHAPE + _WEIGHTS
    width, height = columns * column_width + 0.3, rows * _ROW + 0.45
    caption = (
        "Each line is one call of a layer, from top to bottom: its settings, the shape of its "
        "output (height × width × channels) and its number of weights."
    )
    figure = CaptionedFigure(run, width, height, title, [caption])
    axes = figure.add_axes(0, 0, width, height)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for column in range(columns):
        right = 0.12 + column * column_width + gutter + label_width
        style: dict[str, Any] = {"fontsize": _FONT, "weight": "bold", "ha": "right"}
        axes.text(right + _SHAPE, 0.18, "output", va="center", **style)
        axes.text(right + _SHAPE + _WEIGHTS, 0.18, "weights", va="center", **style)
    for index, (call, text) in enumerate(zip(calls, texts, strict=True)):
        column, row = divmod(index, rows)
        left, top = 0.12 + column * column_width + gutter, 0.36 + row * _ROW
        _draw_row(axes, call, index, text, left, top, label_width)
        if row and index - 1 in call.inputs:
            _draw_arrow(axes, left + 0.5, top - _ROW + _BOX, top)
    for start, end, lane in lanes:
        left = 0.12 + end // rows * column_width + gutter
        top, bottom = (0.36 + (index % rows) * _ROW + _BOX / 2 for index in (start, end))
        _draw_bracket(axes, left - 0.36 - 0.13 * lane, left - 0.3, top, bottom)
    return figure


def _text(call: LayerCall, index: int) -> str:
    """Describe a call; inputs other than the previous call are given by number."""
    if not call.inputs or call.inputs == (index - 1,):
        return call.text
    return f"{call.text} (of {', '.join(str(number + 1) for number in call.inputs)})"


def _draw_row(
    axes: Any,
    call: LayerCall,
    index: int,
    text: str,
    left: float,
    top: float,
    label_width: float,
) -> None:
    from matplotlib.patches import FancyBboxPatch

    colour = next((c for part, c in _COLOURS.items() if part in call.kind), "white")
    style: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.05", "linewidth": 0.9}
    box = FancyBboxPatch(
        (left, top), label_width, _BOX, facecolor=colour, edgecolor="#555555", **style
    )
    axes.add_patch(box)
    middle, right = top + _BOX / 2, left + label_width
    font = {"fontsize": _FONT, "va": "center"}
    axes.text(left - 0.05, middle, f"{index + 1}", ha="right", color="#555555", **font)
    axes.text(left + 0.09, middle, fit_text(text, label_width - 0.16, _FONT), **font)
    shape = " × ".join("?" if side is None else str(side) for side in call.shape)
    axes.text(right + _SHAPE, middle, shape, ha="right", **font)
    weights = "shared" if call.shared else f"{call.weights:,}" if call.weights else "–"
    axes.text(right + _SHAPE + _WEIGHTS, middle, weights, ha="right", **font)


def _draw_arrow(axes: Any, x: float, start: float, end: float) -> None:
    style = {"arrowstyle": "-|>", "color": "#333333", "shrinkA": 0, "shrinkB": 0, "lw": 1}
    axes.annotate("", (x, end), (x, start), arrowprops=style)


def _draw_bracket(axes: Any, x: float, edge: float, start: float, end: float) -> None:
    axes.plot([edge, x, x], [start, start, end], color="#0072B2", linewidth=1.3)
    style = {"arrowstyle": "-|>", "color": "#0072B2", "shrinkA": 0, "shrinkB": 0, "lw": 1.3}
    axes.annotate("", (edge, end), (x, end), arrowprops=style)


def _lanes(calls: Sequence[LayerCall], rows: int) -> list[tuple[int, int, int]]:
    """Assign a lane to each connection that skips calls within one column.

    Returns
    -------
    list of (int, int, int)
        Start, end and lane.
    """
    lanes: list[tuple[int, int, int]] = []
    for end, call in enumerate(calls):
        for start in call.inputs:
            if start == end - 1 or start // rows != end // rows:
                continue
            occupied = {lane for a, b, lane in lanes if a <= end and start <= b}
            free = next(lane for lane in range(len(lanes) + 1) if lane not in occupied)
            lanes.append((start, end, free))
    return lanes
