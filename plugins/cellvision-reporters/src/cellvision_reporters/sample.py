"""Training images exactly as the network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from cellvision_reporters.figures.display import stretch_of
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.grid import FONT, Grid
from cellvision_reporters.figures.selection import even_over_classes
from cellvision_reporters.figures.settings import Picture

if TYPE_CHECKING:
    from cellvision import Run


class Sample(Picture):
    """A labelled grid of training images as the network sees them, after augmentation."""

    enabled_by_default: ClassVar[bool] = True

    images: Annotated[int, Field(ge=1, le=400)] = 24
    """How many images to show at most, evenly over the classes."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the random variation."""

    def files(self, run: Run) -> dict[str, str]:
        """The file name, by split."""
        split = run.training_split
        return {} if split is None else file_names("sample", [split], self.suffix)

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Draw the grid; nothing where there is no training split."""
        import numpy as np

        split = run.training_split
        rows = run.predictions[run.predictions["split"] == split]
        if split is None or rows.empty:
            return []
        chosen = even_over_classes(rows, self.images)
        images = np.asarray(run.augmented_input(list(chosen["image"]), seed=self.seed))
        count, height, width, depth = images.shape
        experiment = run.metadata.experiment
        stretch = stretch_of(run, images)

        grid = Grid(list(chosen["label"]), [], height / width)
        sheet = grid.sheet(
            run,
            "Training images as the network sees them",
            [
                f"{count} of {len(rows)} images of {split}, with their true class, "
                f"{height} × {width} pixels, {depth} channel{'s' if depth > 1 else ''}.",
                _intensity(run),
                _variation(experiment.get("augmenters") or []),
                stretch.words(),
            ],
        )
        for place, image in enumerate(images):
            axes = grid.axes(sheet, place)
            smooth = "nearest" if height < 100 else "antialiased"
            axes.imshow(stretch.rgb(image), interpolation=smooth)
            axes.set_title(grid.above[place], fontsize=FONT, weight="bold", pad=4)
        return [sheet.save(folder / self.files(run)[split], self.dpi)]


def _intensity(run: Run) -> str:
    preprocessing = run.metadata.experiment.get("preprocessing", {})
    if preprocessing.get("intensity") == "per_image":
        return "Each image was stretched by itself: absolute intensity is gone."
    zero, one = run.metadata.intensity_zero or 0, run.metadata.intensity_scale
    if one is None:
        return ""
    return f"Intensity {zero:g} to {one:g} became 0 to 1 for the network."


def _variation(augmenters: Sequence[dict[str, object]]) -> str:
    names = [str(augmenter.get("type", "?")) for augmenter in augmenters]
    return f"After augmentation: {', '.join(names)}." if names else "No augmentation."
