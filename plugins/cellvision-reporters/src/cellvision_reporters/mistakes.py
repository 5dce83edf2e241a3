"""Reporter ``mistakes``: the wrong answers that the network is most confident of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from cellvision import Artifact
from cellvision_reporters.figures.colours import WRONG
from cellvision_reporters.figures.grid import ImageGrid, image_ratio
from cellvision_reporters.figures.phrasing import format_percent, plural
from cellvision_reporters.figures.reporter import Composed, RunSplit, SplitFigureReporter
from cellvision_reporters.figures.scale_bar import run_scale_bar
from cellvision_reporters.figures.selection import shown_splits
from cellvision_reporters.figures.tables import write_csv
from cellvision_reporters.panel import display_pixels, run_display_range

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run

_COLUMNS = ("image", "group", "label", "predicted", "confidence", "p_true")


class Mistakes(SplitFigureReporter):
    """The most confident errors: wrong answers with the highest probability, as figure and CSV.

    They are where labels may be wrong, where classes look alike, or where the network uses a cue
    that misleads it.
    """

    enabled_by_default: ClassVar[bool] = True

    images: Annotated[int, Field(ge=1, le=400)] = 12
    """Most images in the figure. The table lists every wrong answer."""

    split: str | None = None
    """The split to show. None: every test set, or the validation split if there is none."""

    def splits(self, run: Run) -> Sequence[str]:
        """Return the splits that have wrong answers."""
        rows = run.predictions
        wrong = rows[rows["label"] != rows["predicted"]]
        return [split for split in shown_splits(run, self.split) if split in set(wrong["split"])]

    def compose(self, target: RunSplit) -> Composed:
        """Compose the errors of one split."""
        run = target.run
        errors = confident_errors(run, target.split)
        shown = errors.head(self.images)
        names = list(shown["image"])
        bar = run_scale_bar(run, names)
        images = [display_pixels(run, image) for image in names]
        scale = run_display_range(run)
        answers = zip(shown["predicted"], shown["confidence"], strict=True)
        grid = ImageGrid(
            [f"✗ {name} {format_percent(confidence)}" for name, confidence in answers],
            [f"true: {label}" for label in shown["label"]],
            image_ratio(images),
        )
        total = run.scores[target.split].n
        caption = (
            f"{len(shown)} of {plural(len(errors), 'wrong answer')} among {total} images, the "
            "most confident first."
        )
        title = f"{target.title}: most confident errors"
        figure = grid.figure(
            run, title, [caption, target.note, scale.describe(), bar.describe() if bar else ""]
        )
        for index, image in enumerate(images):
            placed = grid.draw(figure, index, scale.to_rgb(image), WRONG)
            if bar is not None:
                bar.draw(placed, names[index])
        return Composed(figure, caption)

    def draw(self, target: RunSplit, path: Path) -> Sequence[Artifact]:
        """Draw the errors of one split, and list all of them."""
        figure, caption = self.compose(target)
        errors = confident_errors(target.run, target.split)
        heading = f"Most confident errors: {target.title}"
        return [
            Artifact(figure.save(path, self.dpi), heading, "figure", caption, order=120),
            Artifact(
                write_csv(path.with_suffix(".csv"), errors),
                f"All errors: {target.title}",
                "data",
                order=900,
            ),
        ]


def confident_errors(run: Run, split: str) -> pd.DataFrame:
    """Return the wrong answers on one split, the most confident first.

    Returns
    -------
    pandas.DataFrame
        ``image``, ``group``, ``label``, ``predicted``, ``confidence`` (probability of the
        predicted class) and ``p_true`` (probability of the true class).
    """
    rows = run.predictions
    wrong = rows[(rows["split"] == split) & (rows["label"] != rows["predicted"])]
    records = wrong.to_dict("records")
    table = wrong.assign(
        confidence=[float(row[f"p_{row['predicted']}"]) for row in records],
        p_true=[float(row[f"p_{row['label']}"]) for row in records],
    )[list(_COLUMNS)]
    return table.sort_values(["confidence", "image"], ascending=[False, True], ignore_index=True)
