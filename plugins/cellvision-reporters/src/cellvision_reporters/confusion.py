"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision_reporters.figures.colours import BLACK
from cellvision_reporters.figures.figure import Sheet, fitted, height_of, width_of
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.phrasing import headline
from cellvision_reporters.figures.settings import Picture

if TYPE_CHECKING:
    import numpy as np

    from cellvision import Run

_FEW = 12
"""Up to so many classes, every cell has its percentage too."""

_LABEL, _MARGIN = 10.0, 9.5


class Confusion(Picture):
    """A confusion matrix for each test set: counts and the share of each true class."""

    enabled_by_default: ClassVar[bool] = True

    split: str | None = None
    """The split to show. None: every test set; the validation split where there is none."""

    def files(self, run: Run) -> dict[str, str]:
        """The file name of each split's matrix."""
        every = file_names("confusion", run.scores, self.suffix)
        return {split: every[split] for split in self._splits(run)}

    def _splits(self, run: Run) -> list[str]:
        asked = [self.split] if self.split is not None else list(run.test_splits)
        if not asked and run.validation_split is not None:
            asked = [run.validation_split]
        evaluated = set(run.predictions["split"]) & set(run.scores)
        return [split for split in asked if split in evaluated]

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Draw a matrix for each split."""
        return [
            self._draw(run, split).save(folder / file, self.dpi)
            for split, file in self.files(run).items()
        ]

    def _draw(self, run: Run, split: str) -> Sheet:
        import numpy as np

        counts = matrix(run, split)
        classes = len(run.class_names)
        few = classes <= _FEW
        cell = 0.74 if few else 0.36
        longest = max(width_of(name, _LABEL) for name in run.class_names)
        label = min(longest, 2.4)
        upright = few and longest <= 1.6 * cell
        names = [fitted(name, label + 0.01, _LABEL) for name in run.class_names]
        # Short names stand level below their column, in two lines where one is too narrow.
        below = [fitted(name, cell - 0.04, _LABEL, 2) for name in run.class_names]
        upright = upright and not any("…" in name for name in below)
        depth = height_of(max(name.count("\n") for name in below) + 1, _LABEL) if upright else label
        side = classes * cell
        told = [_recall(row, place) for place, row in enumerate(counts)]
        margin = max(width_of(line, _MARGIN) for line in told) + 0.25
        left = label + 0.55
        sheet = Sheet(
            run,
            max(left + side + margin + 1.05, 4.8),
            0.3 + side + depth + 0.5,
            headline(split, run.scores[split]),
            [_caption(counts, few)],
        )
        axis = sheet.axes(left, 0.3, side, side)
        bar_axis = sheet.axes(left + side + margin, 0.3, 0.16, min(side, 4.0))
        totals = counts.sum(axis=1)
        share = np.divide(
            counts, totals[:, None], out=np.zeros(counts.shape), where=totals[:, None] > 0
        )
        drawn = axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal")
        _numbers(axis, counts, share, few)
        axis.set_xticks(range(classes), below if upright else names, rotation=0 if upright else 90)
        axis.set_yticks(range(classes), names)
        axis.tick_params(labelsize=_LABEL, length=0)
        axis.set_xlabel("Predicted class", fontsize=10.5)
        axis.set_ylabel("True class", fontsize=10.5)
        axis.set_xticks(np.arange(-0.5, classes), minor=True)
        axis.set_yticks(np.arange(-0.5, classes), minor=True)
        axis.grid(which="minor", color="#C8C8C8", linewidth=0.6)
        axis.tick_params(which="minor", length=0)
        _margin(axis, told)
        bar = sheet.figure.colorbar(drawn, cax=bar_axis)
        bar.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
        bar.set_label("Share of the true class", fontsize=9.5)
        bar.outline.set_visible(False)
        return sheet


def matrix(run: Run, split: str) -> np.ndarray:
    """Count images by true and predicted class, both in the order of the class names."""
    import numpy as np

    rows = run.predictions[run.predictions["split"] == split]
    place = {name: number for number, name in enumerate(run.class_names)}
    counts = np.zeros((len(place), len(place)), dtype=int)
    known = rows["label"].isin(place) & rows["predicted"].isin(place)
    np.add.at(
        counts,
        (rows.loc[known, "label"].map(place), rows.loc[known, "predicted"].map(place)),
        1,
    )
    return counts


def _numbers(axis: Any, counts: np.ndarray, share: np.ndarray, few: bool) -> None:
    for true, row in enumerate(counts):
        if row.sum() == 0:
            axis.axhspan(true - 0.5, true + 0.5, facecolor="none", edgecolor="#B0B0B0", hatch="//")
            continue
        for predicted, count in enumerate(row):
            colour = "white" if share[true, predicted] > 0.55 else BLACK
            style = {"ha": "center", "color": colour}
            if few:
                percent = f"{100 * share[true, predicted]:.0f} %"
                axis.text(predicted, true - 0.16, f"{count}", va="center", fontsize=11, **style)
                axis.text(predicted, true + 0.22, percent, va="center", fontsize=8.5, **style)
            elif count:
                size = 8.5 if count < 1000 else 6.5
                axis.text(predicted, true, f"{count}", va="center", fontsize=size, **style)


def _recall(row: np.ndarray, place: int) -> str:
    """How many of one class were right."""
    total = row.sum()
    return f"{row[place]} / {total} = {100 * row[place] / total:.0f} %" if total else "no image"


def _margin(axis: Any, told: Sequence[str]) -> None:
    """Say it right of each row."""
    edge = len(told) - 0.5
    style = {"xytext": (5, 0), "textcoords": "offset points", "annotation_clip": False}
    head = {**style, "xytext": (5, 4)}
    axis.annotate("right / n", (edge, -0.5), fontsize=_MARGIN, weight="bold", **head)
    for true, line in enumerate(told):
        axis.annotate(line, (edge, true), fontsize=_MARGIN, va="center", **style)


def _caption(counts: np.ndarray, few: bool) -> str:
    right, total = int(counts.trace()), int(counts.sum())
    what = "Images, and below their share of the row." if few else "Images; empty cells hold none."
    absent = " Hatched rows: no image of that class." if (counts.sum(axis=1) == 0).any() else ""
    return f"{what} A row is one true class. {right} of {total} images are right.{absent}"
