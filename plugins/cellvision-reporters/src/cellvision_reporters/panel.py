"""Reporter ``panel``: images of a test set with the network's answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from cellvision import Artifact
from cellvision_reporters.figures.colours import RIGHT, WRONG
from cellvision_reporters.figures.display import (
    DisplayRange,
    autoscale,
    listed_channels,
    select_channels,
    thumbnail,
)
from cellvision_reporters.figures.grid import ImageGrid, image_ratio
from cellvision_reporters.figures.phrasing import accuracy_headline, format_percent
from cellvision_reporters.figures.reporter import Composed, RunSplit, SplitFigureReporter
from cellvision_reporters.figures.scale_bar import run_scale_bar
from cellvision_reporters.figures.selection import (
    balanced_sample,
    shown_splits,
    stratified_sample,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import Run

_MEASURED = 48
"""Number of images of a run that set the display range."""


class Panel(SplitFigureReporter):
    """Images with predicted class, confidence and true class; a green tick or a red cross.

    Each class gets the same number of images as far as possible, with right and wrong answers in
    proportion within the class. The selection depends on nothing but the names of the images.
    """

    enabled_by_default: ClassVar[bool] = True

    images: Annotated[int, Field(ge=1, le=400)] = 24
    """Most images in a panel."""

    split: str | None = None
    """The split to show. None: every test set, or the validation split if there is none."""

    contrast: Literal["experiment", "image"] = "experiment"
    """``"experiment"``: one display range for all images, so that brightness can be compared;
    ``"image"``: a display range for each image, so that every one can be seen."""

    def splits(self, run: Run) -> Sequence[str]:
        """Return the splits to draw."""
        return shown_splits(run, self.split)

    def draw(self, target: RunSplit, path: Path) -> Sequence[Artifact]:
        """Draw the panel of one split."""
        figure, counts = self.compose(target)
        saved = figure.save(path, self.dpi)
        return [Artifact(saved, f"Panel: {target.title}", "figure", counts, order=100)]

    def compose(self, target: RunSplit) -> Composed:
        """Compose the panel of one split."""
        run, rows = target.run, target.run.predictions
        rows = rows[rows["split"] == target.split]
        shown = stratified_sample(rows, self.images)
        scale = run_display_range(run)
        names = list(shown["image"])
        bar = run_scale_bar(run, names)
        images = [display_pixels(run, image) for image in names]
        right = list(shown["label"] == shown["predicted"])
        grid = ImageGrid(
            [_answer(row) for _, row in shown.iterrows()],
            [f"true: {label}" for label in shown["label"]],
            image_ratio(images),
        )
        counts = _counts(rows, shown)
        display = scale.describe() if self.contrast == "experiment" else _autoscaled(scale)
        title = accuracy_headline(target.title, run.scores[target.split])
        figure = grid.figure(
            run, title, [counts, target.note, display, bar.describe() if bar else ""]
        )
        for index, image in enumerate(images):
            own = self.contrast == "image"
            picture = autoscale(image, is_colour=scale.is_colour) if own else scale.to_rgb(image)
            colour, line = (RIGHT, "-") if right[index] else (WRONG, (0, (3, 1.5)))
            placed = grid.draw(figure, index, picture, colour, line)
            if bar is not None:
                bar.draw(placed, names[index])
        return Composed(figure, counts)


def _answer(row: pd.Series[Any]) -> str:
    mark = "✓" if row["label"] == row["predicted"] else "✗"
    return f"{mark} {row['predicted']} {format_percent(float(row['p_' + row['predicted']]))}"


def _counts(rows: pd.DataFrame, shown: pd.DataFrame) -> str:
    right = int((rows["label"] == rows["predicted"]).sum())
    if len(shown) == len(rows):
        images = f"All {len(rows)} images" if len(rows) > 1 else "1 image"
        return f"{images}: {right} right ✓, {len(rows) - right} wrong ✗."
    shown_right = int((shown["label"] == shown["predicted"]).sum())
    return (
        f"{len(shown)} of {len(rows)} images: {shown_right} right ✓ and "
        f"{len(shown) - shown_right} wrong ✗. Each class has the same number of images as far as "
        f"possible, with right and wrong answers in proportion within the class. Of all images "
        f"{right} are right and {len(rows) - right} wrong."
    )


def _autoscaled(scale: DisplayRange) -> str:
    return (
        "Each image has its own display range: brightness cannot be compared between images."
        + scale.channel_legend()
    )


@lru_cache(maxsize=8)  # several figures of a run need it, and it reads images
def run_display_range(run: Run) -> DisplayRange:
    """Choose the display range of a run's images as acquired, from a sample of them."""
    names = balanced_sample(run.predictions, _MEASURED)["image"]
    images = [display_pixels(run, name) for name in names]
    zero, one = run.intensity_range
    channels = listed_channels(run)
    is_colour = channels is None and images[0].shape[-1] == 3
    per_image = run.preprocessing.intensity == "per_image"
    full_scale = None if per_image else one
    return DisplayRange.from_images(images, full_scale, zero, channels, is_colour=is_colour)


def display_pixels(run: Run, image: str) -> np.ndarray:
    """Read an image at native intensities, shrunk, with the channels that the network was given."""
    return select_channels(run, thumbnail(run.read_image(image)))
