"""Reporter ``sample``: training images exactly as the network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from cellvision import Artifact
from cellvision_reporters.figures.display import display_range
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.grid import ImageGrid
from cellvision_reporters.figures.phrasing import plural
from cellvision_reporters.figures.reporter import FigureReporter
from cellvision_reporters.figures.selection import balanced_sample

if TYPE_CHECKING:
    from cellvision import Run


class Sample(FigureReporter):
    """A grid of training images as the network sees them, after augmentation."""

    enabled_by_default: ClassVar[bool] = True

    images: Annotated[int, Field(ge=1, le=400)] = 24
    """Most images to show, the same number from each class as far as possible."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the augmentation."""

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Draw the grid; nothing if there is no training split."""
        import numpy as np

        split, rows = run.training_split, run.predictions
        rows = rows[rows["split"] == split]
        if split is None or rows.empty:
            return []
        selected = balanced_sample(rows, self.images)
        images = np.asarray(run.augmented_input(list(selected["image"]), seed=self.seed))
        count, height, width, depth = images.shape
        scale = display_range(run, images)
        grid = ImageGrid(list(selected["label"]), [], height / width)
        caption = (
            f"{count} of {len(rows)} images of {split}, with their true class, "
            f"{height} × {width} pixels, {plural(depth, 'channel')}."
        )
        figure = grid.figure(
            run,
            "Training images as the network sees them",
            [caption, _intensity(run), _augmentation(run), scale.describe()],
        )
        for index, image in enumerate(images):
            grid.draw(figure, index, scale.to_rgb(image))
        path = figure.save(folder / file_names("sample", [split], self.suffix)[split], self.dpi)
        title = "Training images as the network sees them"
        return [Artifact(path, title, "figure", f"{caption} {_augmentation(run)}", order=200)]


def _intensity(run: Run) -> str:
    if run.preprocessing.intensity == "per_image":
        return "Each image is scaled to its own range, so absolute intensity is lost."
    zero, one = run.intensity_range
    return f"The network sees intensity {zero:g} to {one:g} as 0 to 1."


def _augmentation(run: Run) -> str:
    augmenters = run.metadata.experiment.get("augmenters") or []
    names = [str(each.get("type")) for each in augmenters if isinstance(each, dict)]  # type: ignore[union-attr]
    return f"After augmentation: {', '.join(names)}." if names else "No augmentation."
