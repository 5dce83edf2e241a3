"""Reporter ``plate_map``: where on its plate each well is classified right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact
from cellvision_reporters.figures.colours import BLACK, GREY
from cellvision_reporters.figures.figure import CaptionedFigure, fit_text
from cellvision_reporters.figures.phrasing import format_percent, plural
from cellvision_reporters.figures.reporter import Composed, RunSplit, SplitFigureReporter
from cellvision_reporters.figures.selection import shown_splits
from cellvision_reporters.figures.wells import Position, is_edge, plate_shape, wells_of

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run

_PER_FIGURE = 12
"""Plates of a figure, which then fits a printed page."""

_MOST_FIGURES = 10
_CELL = {12: 0.30, 24: 0.20}
"""Width of a well in inches, by the columns of the plate."""

_LEFT, _TOP, _GAP = 0.35, 0.5, 0.25
_PER_ROW = 2


class PlateMap(SplitFigureReporter):
    """The fraction of images of each well that are right, at its position on the plate.

    Nothing is drawn unless wells have names from A01 to P24, in the column ``well`` or as groups.
    Mistakes that gather at edges, rows or corners point to effects of the plate. A figure shows 12
    plates, in the order of their names; for more plates, there are up to ten figures.
    """

    enabled_by_default: ClassVar[bool] = True

    split: str | None = None
    """The split to show. None: every test set."""

    def splits(self, run: Run) -> Sequence[str]:
        """Return the splits whose wells have positions."""
        names = shown_splits(run, self.split, fallback=False)
        return [name for name in names if len(wells_of(run, name))]

    def draw(self, target: RunSplit, path: Path) -> Sequence[Artifact]:
        """Draw the plates of one split, in several figures if there are many."""
        wells = wells_of(target.run, target.split)
        plates = wells["plate"].nunique()
        starts = range(0, min(plates, _PER_FIGURE * _MOST_FIGURES), _PER_FIGURE)
        artifacts = []
        for start in starts:
            figure, caption = self._compose(target, wells, start)
            title, file = f"Plate map: {target.title}", path
            if start:
                last = min(start + _PER_FIGURE, plates)
                title = f"{title}, plates {start + 1} to {last}"
                file = path.with_name(f"{path.stem}_plates_{start + 1}_to_{last}{path.suffix}")
            saved = figure.save(file, self.dpi)
            artifacts.append(Artifact(saved, title, "figure", caption, order=130))
        return artifacts

    def compose(self, target: RunSplit) -> Composed:
        """Compose the first plates of one split."""
        return self._compose(target, wells_of(target.run, target.split), 0)

    def _compose(self, target: RunSplit, wells: pd.DataFrame, start: int) -> Composed:
        pairs = zip(wells["row"], wells["column"], strict=True)
        shape = plate_shape([Position(int(row), int(column)) for row, column in pairs])
        plates = sorted(set(wells["plate"]))
        shown = plates[start : start + _PER_FIGURE]
        caption = _caption(wells, shape, target.run.class_names)
        if len(shown) < len(plates):
            caption += f" {_numbers(start, len(shown), len(plates))}"
        cell = _CELL[shape[1]]
        width, height = shape[1] * cell, shape[0] * cell
        across = min(_PER_ROW, len(shown))
        down = -(-len(shown) // across)
        figure = CaptionedFigure(
            target.run,
            max(_LEFT + across * (width + _GAP + _LEFT) + 1.0, 5.0),
            down * (height + _TOP) + 0.15,
            f"{target.title}: accuracy by well",
            [caption, target.note],
        )
        for number, plate in enumerate(shown):
            left = _LEFT + number % across * (width + _GAP + _LEFT)
            top = _TOP + number // across * (height + _TOP)
            axes = figure.add_axes(left, top, width, height)
            image = _draw_plate(axes, wells[wells["plate"] == plate], shape, target.run)
            axes.set_title(fit_text(plate, width, 10), fontsize=10, loc="left", pad=16)
        right = _LEFT + across * (width + _GAP + _LEFT)
        bar_axes = figure.add_axes(right, _TOP, 0.14, min(height, 3.0))
        bar = figure.canvas.colorbar(image, cax=bar_axes)
        bar.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
        bar.outline.set_visible(False)
        return Composed(figure, caption)


def _draw_plate(axes: Any, wells: pd.DataFrame, shape: tuple[int, int], run: Run) -> Any:
    """Draw one plate: colour is accuracy, the number is the class."""
    import numpy as np

    rows, columns = shape
    grid = np.full(shape, np.nan)
    grid[wells["row"], wells["column"]] = wells["accuracy"]
    image = axes.imshow(np.ma.masked_invalid(grid), cmap="cividis", vmin=0, vmax=1)
    for well in wells.itertuples():
        number = run.class_names.index(str(well.label)) + 1
        colour = BLACK if float(str(well.accuracy)) > 0.55 else "white"
        style = {"ha": "center", "va": "center", "fontsize": 7 if columns == 12 else 5.5}
        axes.text(well.column, well.row, str(number), color=colour, **style)
    step = 1 if columns == 12 else 2
    axes.set_xticks(range(0, columns, step), [str(k + 1) for k in range(0, columns, step)])
    axes.set_yticks(range(0, rows, step), [chr(ord("A") + k) for k in range(0, rows, step)])
    axes.xaxis.tick_top()
    axes.tick_params(labelsize=7, length=0, pad=2)
    # Two sets of lines are drawn faster than a grid of minor ticks.
    lines = {"color": "#D8D8D8", "linewidth": 0.5}
    axes.hlines(np.arange(-0.5, rows), -0.5, columns - 0.5, **lines)
    axes.vlines(np.arange(-0.5, columns), -0.5, rows - 0.5, **lines)
    for spine in axes.spines.values():
        spine.set_color(GREY)
    return image


def _numbers(start: int, shown: int, plates: int) -> str:
    """Say which plates a figure shows, and how many no figure shows."""
    text = f"Plates {start + 1} to {start + shown} of {plates}, in the order of their names"
    hidden = plates - _PER_FIGURE * _MOST_FIGURES
    return f"{text}; the last {hidden} are not drawn." if hidden > 0 else f"{text}."


def _caption(wells: pd.DataFrame, shape: tuple[int, int], class_names: Sequence[str]) -> str:
    classes = ", ".join(f"{number} = {name}" for number, name in enumerate(class_names, start=1))
    edge = is_edge(wells, shape)
    parts = [
        "Colour: fraction of the images of a well that are right; number: its class "
        f"({classes}); empty: no image of this split."
    ]
    if edge.any() and not edge.all():
        parts.append(
            f"{plural(int(edge.sum()), 'well')} at the edge: "
            f"{format_percent(_accuracy(wells[edge]))} of images right; "
            f"{plural(int((~edge).sum()), 'well')} inside: "
            f"{format_percent(_accuracy(wells[~edge]))}."
        )
    return " ".join(parts)


def _accuracy(wells: pd.DataFrame) -> float:
    return float((wells["accuracy"] * wells["images"]).sum() / wells["images"].sum())
