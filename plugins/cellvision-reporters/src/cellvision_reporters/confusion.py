"""Reporter ``confusion``: which class the network takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import Artifact
from cellvision_reporters.figures.colours import BLACK
from cellvision_reporters.figures.figure import (
    CaptionedFigure,
    fit_text,
    text_height,
    text_width,
)
from cellvision_reporters.figures.phrasing import accuracy_headline
from cellvision_reporters.figures.reporter import Composed, RunSplit, SplitFigureReporter
from cellvision_reporters.figures.selection import shown_splits

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Run

_FEW = 12
"""Most classes for which every cell shows its percentage."""

_LARGEST_SIDE = 30.0
"""Most inches of the matrix: with hundreds of classes, cells and text shrink instead."""

_LABEL, _MARGIN = 10.0, 9.5


class Confusion(SplitFigureReporter):
    """A confusion matrix for each test set: counts, and fractions of each true class."""

    enabled_by_default: ClassVar[bool] = True

    split: str | None = None
    """The split to show. None: every test set, or the validation split if there is none."""

    def splits(self, run: Run) -> Sequence[str]:
        """Return the splits to draw; the training split is none of them."""
        splits = shown_splits(run, self.split)
        return [split for split in splits if self.split or split != run.training_split]

    def compose(self, target: RunSplit) -> Composed:
        """Compose the matrix of one split."""
        counts = confusion_matrix(target.run, target.split)
        caption = _caption(counts)
        return Composed(_draw_figure(target, counts, [caption, target.note]), caption)

    def draw(self, target: RunSplit, path: Path) -> Sequence[Artifact]:
        """Draw the matrix of one split."""
        figure, caption = self.compose(target)
        title = f"Confusion matrix: {target.title}"
        return [Artifact(figure.save(path, self.dpi), title, "figure", caption, order=110)]


def confusion_matrix(run: Run, split: str) -> np.ndarray:
    """Count images by true (row) and predicted (column) class, in the order of `Run.class_names`.

    Parameters
    ----------
    run
        The run.
    split
        Name of a split.

    Returns
    -------
    numpy.ndarray
        Shape (classes, classes), integers.
    """
    import numpy as np
    from sklearn.metrics import confusion_matrix as count_pairs

    rows = run.predictions
    rows = rows[rows["split"] == split]
    names = list(run.class_names)
    return np.asarray(count_pairs(rows["label"], rows["predicted"], labels=names))


def _draw_figure(target: RunSplit, counts: np.ndarray, captions: Sequence[str]) -> CaptionedFigure:
    names = target.run.class_names
    few = len(names) <= _FEW
    cell = 0.74 if few else min(0.36, _LARGEST_SIDE / len(names))
    size = min(_LABEL, 0.75 * 72 * cell)
    longest = max(text_width(name, size) for name in names)
    label_width = min(longest, 2.4)
    labels = [fit_text(name, label_width + 0.01, size) for name in names]
    # Short names are horizontal below their column, on two lines if one is too narrow.
    below = [fit_text(name, cell - 0.04, size, 2) for name in names] if few else []
    horizontal = few and longest <= 1.6 * cell and not any("…" in name for name in below)
    lines = max((name.count("\n") for name in below), default=0) + 1
    depth = text_height(lines, size) if horizontal else label_width
    side = len(names) * cell
    recalls = [_recall(row, index) for index, row in enumerate(counts)]
    beside = min(_MARGIN, size)
    margin = max(text_width(line, beside) for line in recalls) + 0.25
    left = label_width + 0.55
    figure = CaptionedFigure(
        target.run,
        max(left + side + margin + 1.05, 4.8),
        0.3 + side + depth + 0.5,
        accuracy_headline(target.title, target.run.scores[target.split]),
        captions,
    )
    axes = figure.add_axes(left, 0.3, side, side)
    fractions = _fractions(counts)
    image = _draw_cells(axes, fractions)
    _draw_numbers(axes, counts, fractions, size, few=few)
    rotation = 0 if horizontal else 90
    axes.set_xticks(range(len(names)), below if horizontal else labels, rotation=rotation)
    axes.set_yticks(range(len(names)), labels)
    _style(axes, len(names), size)
    _draw_recalls(axes, recalls, beside)
    bar_axes = figure.add_axes(left + side + margin, 0.3, 0.16, min(side, 4.0))
    bar = figure.canvas.colorbar(image, cax=bar_axes)
    bar.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
    bar.set_label("Fraction of the true class", fontsize=9.5)
    bar.outline.set_visible(False)
    return figure


def _fractions(counts: np.ndarray) -> np.ndarray:
    import numpy as np

    totals = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0))


def _draw_cells(axes: Any, fractions: np.ndarray) -> Any:
    """Colour the cells, the first row at the top."""
    import numpy as np

    # Not imshow: it resamples to the figure's pixels, in gigabytes for hundreds of classes.
    edges = np.arange(len(fractions) + 1) - 0.5
    mesh = axes.pcolormesh(edges, edges, fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    return mesh


def _style(axes: Any, classes: int, size: float) -> None:
    import numpy as np

    axes.tick_params(labelsize=size, length=0)
    axes.set_xlabel("Predicted class", fontsize=10.5)
    axes.set_ylabel("True class", fontsize=10.5)
    axes.set_xticks(np.arange(-0.5, classes), minor=True)
    axes.set_yticks(np.arange(-0.5, classes), minor=True)
    axes.grid(which="minor", color="#C8C8C8", linewidth=0.6 * size / _LABEL)
    axes.tick_params(which="minor", length=0)


def _draw_numbers(
    axes: Any, counts: np.ndarray, fractions: np.ndarray, largest: float, *, few: bool
) -> None:
    for true, row in enumerate(counts):
        if row.sum() == 0:
            style = {"facecolor": "none", "edgecolor": "#B0B0B0", "hatch": "//"}
            axes.axhspan(true - 0.5, true + 0.5, **style)
            continue
        for predicted, count in enumerate(row):
            colour = "white" if fractions[true, predicted] > 0.55 else BLACK
            style = {"ha": "center", "va": "center", "color": colour}
            if few:
                percent = f"{100 * fractions[true, predicted]:.0f} %"
                axes.text(predicted, true - 0.16, f"{count}", fontsize=11, **style)
                axes.text(predicted, true + 0.22, percent, fontsize=8.5, **style)
            elif count:
                size = (0.85 if count < 1000 else 0.65) * largest
                axes.text(predicted, true, f"{count}", fontsize=size, **style)


def _recall(row: np.ndarray, index: int) -> str:
    total = row.sum()
    return f"{row[index]} / {total} = {100 * row[index] / total:.0f} %" if total else "no image"


def _draw_recalls(axes: Any, recalls: Sequence[str], size: float) -> None:
    """Write the recall of each class to the right of its row; `size` is in points."""
    edge = len(recalls) - 0.5
    style: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
    axes.annotate("right / n", (edge, -0.5), xytext=(5, 4), fontsize=size, weight="bold", **style)
    for true, line in enumerate(recalls):
        axes.annotate(line, (edge, true), xytext=(5, 0), fontsize=size, va="center", **style)


def _caption(counts: np.ndarray) -> str:
    right, total = int(counts.trace()), int(counts.sum())
    cells = (
        "Cells: images, and their percentage of the row."
        if len(counts) <= _FEW
        else "Cells: images; empty cells have none."
    )
    absent = " Hatched rows: no image of that class." if (counts.sum(axis=1) == 0).any() else ""
    return f"{cells} A row is one true class. {right} of {total} images are right.{absent}"
