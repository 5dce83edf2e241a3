"""The network as a drawing in which shapes and weights can be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision_reporters.figures.figure import Sheet, fitted, width_of
from cellvision_reporters.figures.settings import Picture
from cellvision_reporters.network.layers import Step, steps_of

if TYPE_CHECKING:
    from cellvision import Run

_ROW, _BOX = 0.4, 0.28
_COLUMN = 28
"""Rows in a column; a longer network goes on in the next one."""

_FONT, _SHAPE, _WEIGHTS = 9.5, 1.25, 1.05
_COLOURS = {
    "Conv": "#BFE0F5",
    "Dense": "#FBE0A6",
    "Pool": "#E3E3E3",
    "Norm": "#D9EFE6",
    "Drop": "#F3DCE9",
}


class Diagram(Picture):
    """The layers of the trained network, with output shapes and numbers of weights."""

    enabled_by_default: ClassVar[bool] = False

    def files(self, _: Run) -> dict[str, str]:
        """The file name."""
        return {"": f"diagram{self.suffix}"}

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Draw the diagram."""
        model = run.model()
        steps = steps_of(model)
        columns = -(-len(steps) // _COLUMN)
        rows = -(-len(steps) // columns)
        lanes = _lanes(steps, rows)
        texts = [_text(step, number) for number, step in enumerate(steps)]
        label = min(max(width_of(text, _FONT) for text in texts) + 0.2, 4.8)
        gutter = 0.36 + 0.13 * max((lane + 1 for *_, lane in lanes), default=0)
        column = gutter + label + _SHAPE + _WEIGHTS
        kind = run.metadata.experiment.get("architecture", {}).get("type", "network")
        sheet = Sheet(
            run,
            columns * column + 0.3,
            rows * _ROW + 0.45,
            f"{kind}: {int(model.count_params()):,} weights",
            [
                "Each line is one application of a layer, from top to bottom: what it does, the "
                "shape of its output (height × width × channels) and the weights that it brings."
            ],
        )
        across, down = columns * column + 0.3, rows * _ROW + 0.45
        axis = sheet.axes(0, 0, across, down)
        axis.set(xlim=(0, across), ylim=(down, 0))
        axis.set_axis_off()
        for place in range(columns):
            left = 0.12 + place * column + gutter + label
            head: dict[str, Any] = {
                "fontsize": _FONT,
                "weight": "bold",
                "ha": "right",
                "va": "center",
            }
            axis.text(left + _SHAPE, 0.18, "output", **head)
            axis.text(left + _SHAPE + _WEIGHTS, 0.18, "weights", **head)
        for number, (step, text) in enumerate(zip(steps, texts, strict=True)):
            at, row = divmod(number, rows)
            left, top = 0.12 + at * column + gutter, 0.36 + row * _ROW
            _row(axis, step, number, text, left, top, label)
            if row and number - 1 in step.inputs:
                _arrow(axis, left + 0.5, top - _ROW + _BOX, top)
        for start, end, lane in lanes:
            at = end // rows
            left = 0.12 + at * column + gutter
            top, bottom = (0.36 + (n % rows) * _ROW + _BOX / 2 for n in (start, end))
            _bracket(axis, left - 0.36 - 0.13 * lane, left - 0.3, top, bottom)
        return [sheet.save(folder / self.files(run)[""], self.dpi)]


def _text(step: Step, number: int) -> str:
    """What the step does; inputs other than the step before are named by number."""
    if not step.inputs or step.inputs == (number - 1,):
        return step.text
    return f"{step.text} (of {', '.join(str(i + 1) for i in step.inputs)})"


def _row(
    axis: Any, step: Step, number: int, text: str, left: float, top: float, label: float
) -> None:
    from matplotlib.patches import FancyBboxPatch

    colour = next((c for part, c in _COLOURS.items() if part in step.kind), "white")
    style: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.05", "linewidth": 0.9}
    axis.add_patch(
        FancyBboxPatch((left, top), label, _BOX, facecolor=colour, edgecolor="#555555", **style)
    )
    middle = top + _BOX / 2
    size = {"fontsize": _FONT, "va": "center"}
    axis.text(left - 0.05, middle, f"{number + 1}", ha="right", color="#555555", **size)
    axis.text(left + 0.09, middle, fitted(text, label - 0.16, _FONT), **size)
    shape = " × ".join("?" if side is None else str(side) for side in step.shape)
    axis.text(left + label + _SHAPE, middle, shape, ha="right", **size)
    weights = "shared" if step.shared else f"{step.weights:,}" if step.weights else "–"
    axis.text(left + label + _SHAPE + _WEIGHTS, middle, weights, ha="right", **size)


def _arrow(axis: Any, x: float, start: float, end: float) -> None:
    style = {"arrowstyle": "-|>", "color": "#333333", "shrinkA": 0, "shrinkB": 0, "lw": 1}
    axis.annotate("", (x, end), (x, start), arrowprops=style)


def _bracket(axis: Any, x: float, edge: float, start: float, end: float) -> None:
    axis.plot([edge, x, x], [start, start, end], color="#0072B2", linewidth=1.3)
    style = {"arrowstyle": "-|>", "color": "#0072B2", "shrinkA": 0, "shrinkB": 0, "lw": 1.3}
    axis.annotate("", (edge, end), (x, end), arrowprops=style)


def _lanes(steps: Sequence[Step], rows: int) -> list[tuple[int, int, int]]:
    """Connections that pass by other steps, within one column, each in a lane of its own."""
    lanes: list[tuple[int, int, int]] = []
    for end, step in enumerate(steps):
        for start in step.inputs:
            if start == end - 1 or start // rows != end // rows:
                continue
            taken = {lane for a, b, lane in lanes if a <= end and start <= b}
            lanes.append((start, end, next(n for n in range(len(lanes) + 1) if n not in taken)))
    return lanes
