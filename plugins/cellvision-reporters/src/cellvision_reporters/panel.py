"""Images of a test set with what the network took them for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from cellvision_reporters.figures.colours import RIGHT, WRONG
from cellvision_reporters.figures.display import Stretch, by_itself, thumbnail
from cellvision_reporters.figures.figure import Sheet
from cellvision_reporters.figures.file_names import file_names
from cellvision_reporters.figures.grid import FONT, Grid
from cellvision_reporters.figures.phrasing import headline
from cellvision_reporters.figures.selection import even_over_classes, true_to_accuracy
from cellvision_reporters.figures.settings import Picture

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

    from cellvision import Run

_MEASURED = 48
"""How many images of a run decide what is shown as white."""


class Panel(Picture):
    """Images with predicted class, confidence and true class; a green tick or a red cross.

    Right and wrong answers are shown in their true proportion, as evenly over the true classes
    as it goes; the choice is fixed and depends on the images' names only.
    """

    enabled_by_default: ClassVar[bool] = True

    images: Annotated[int, Field(ge=1, le=400)] = 24
    """How many images a panel shows at most."""

    split: str | None = None
    """The split to show. None: every test set, a panel each; the validation split where there
    is no test set."""

    contrast: Literal["experiment", "image"] = "experiment"
    """``"experiment"``: one display scale for all images, so that brightness can be compared;
    ``"image"``: each image stretched by itself, so that every one can be seen."""

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Draw a panel for each test set."""
        splits = self._splits(run)
        if not splits:
            return []
        stretch = self._stretch(run)
        files = self.files(run)
        return [
            self._draw(run, split, stretch).save(folder / files[split], self.dpi)
            for split in splits
        ]

    def files(self, run: Run) -> dict[str, str]:
        """The file name of each split's panel."""
        every = file_names("panel", run.scores, self.suffix)
        return {split: every[split] for split in self._splits(run)}

    def _splits(self, run: Run) -> list[str]:
        asked = [self.split] if self.split is not None else list(run.test_splits)
        others = () if self.split is not None else (run.validation_split, run.training_split)
        fallback = [split for split in others if split is not None]
        evaluated = set(run.predictions["split"]) & set(run.scores)
        present = [split for split in asked if split in evaluated]
        return present or [split for split in fallback if split in evaluated][:1]

    def _stretch(self, run: Run) -> Stretch:
        some = even_over_classes(run.predictions, _MEASURED)["image"]
        images = [_shown(run, image) for image in some]
        channels = _channels(run)
        zero = float(run.metadata.intensity_zero or 0.0)
        return Stretch.of(images, _full(run), zero, channels, _is_colour(run, images[0]))

    def _draw(self, run: Run, split: str, stretch: Stretch) -> Sheet:
        rows = run.predictions[run.predictions["split"] == split]
        shown = true_to_accuracy(rows, self.images)
        texts = [_texts(row) for _, row in shown.iterrows()]
        images = [_shown(run, image) for image in shown["image"]]
        ratios = [image.shape[0] / image.shape[1] for image in images]
        grid = Grid([pair[0] for pair in texts], [pair[1] for pair in texts], max(ratios))
        sheet = grid.sheet(
            run,
            headline(split, run.scores[split]),
            [self._caption(rows, shown), self._display(stretch)],
        )
        right = list(shown["label"] == shown["predicted"])
        for place, image in enumerate(images):
            axes = grid.axes(sheet, place)
            own = self.contrast == "image"
            picture = by_itself(image, stretch.colour) if own else stretch.rgb(image)
            _cell(axes, picture, grid.above[place], grid.below[place], right[place])
        return sheet

    def _display(self, stretch: Stretch) -> str:
        if self.contrast == "experiment":
            return stretch.words()
        return (
            "Each image is stretched by itself: brightness cannot be compared between images."
            + stretch.legend()
        )

    def _caption(self, rows: pd.DataFrame, shown: pd.DataFrame) -> str:
        right = int((rows["label"] == rows["predicted"]).sum())
        shown_right = int((shown["label"] == shown["predicted"]).sum())
        all_of_them = f"All {len(rows)} images: {right} right ✓, {len(rows) - right} wrong ✗."
        if len(shown) == len(rows):
            return all_of_them
        return (
            f"{len(shown)} of {len(rows)} images: {shown_right} right ✓ and "
            f"{len(shown) - shown_right} wrong ✗, about the share in the whole set "
            f"({right} and {len(rows) - right}); a fixed choice, even over the true classes."
        )


def _texts(row: pd.Series[Any]) -> tuple[str, str]:
    mark = "✓" if row["label"] == row["predicted"] else "✗"
    confidence = row.get(f"p_{row['predicted']}")
    percent = f" {100 * float(confidence):.0f}\N{NO-BREAK SPACE}%" if confidence is not None else ""
    return f"{mark} {row['predicted']}{percent}", f"true: {row['label']}"


def _cell(axes: Axes, picture: np.ndarray, above: str, below: str, right: bool) -> None:
    colour = RIGHT if right else WRONG
    axes.imshow(picture, interpolation="nearest" if picture.shape[0] < 100 else "antialiased")
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2.5, linestyle="-" if right else (0, (3, 1.5)))
    axes.set_title(above, fontsize=FONT, color=colour, weight="bold", pad=4)
    # The true class is in black whether the answer was right or not.
    axes.set_xlabel(below, fontsize=FONT, labelpad=4)


def _channels(run: Run) -> tuple[int, ...] | None:
    """The channels that the network was given, where the experiment lists them."""
    channels = run.metadata.experiment.get("preprocessing", {}).get("channels")
    return tuple(channels) if isinstance(channels, list | tuple) else None


def _shown(run: Run, image: str) -> np.ndarray:
    """One image at native intensities, small, with the channels that the network was given."""
    pixels = thumbnail(run.read_image(image))
    channels = _channels(run)
    if channels is not None and max(channels) < pixels.shape[-1]:
        pixels = pixels[..., list(channels)]
    return pixels


def _is_colour(run: Run, pixels: np.ndarray) -> bool:
    return _channels(run) is None and pixels.shape[-1] == 3


def _full(run: Run) -> float | None:
    preprocessing = run.metadata.experiment.get("preprocessing", {})
    if preprocessing.get("intensity") == "per_image":
        return None  # there is no intensity that counts as 1 in every image
    scale = run.metadata.intensity_scale
    return float(scale) if scale is not None else None
