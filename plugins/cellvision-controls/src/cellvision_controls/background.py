"""Control ``background``: images whose cells are masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cellvision import Control, ControlData
from cellvision_controls.masking import cell_regions, without_cells

if TYPE_CHECKING:
    import numpy as np

    from cellvision.statistics import ControlMeaning

_FULL = 0.95
"""Above this fraction of masked pixels, an image has no background."""

_SAMPLE = 24
"""About how many images of a class to look at."""


class Background(Control):
    """Trains on images in which background replaces the cells.

    If that does as well as the whole image, a shortcut is possible: illumination, debris, the well.
    Cells are what is brighter than Otsu's threshold in any channel, with a margin; cells that are
    darker than the background are not found. Look at the figure that the reporter `controls` draws
    of it.

    Where cells fill the images, what is left is a part of the cells. If that holds for half of the
    classes or more, the verdict uses the comparison only if the network does more.
    """

    label: ClassVar[str] = "background alone"
    order: ClassVar[int] = 200

    def meaning(self) -> ControlMeaning:
        """Say that it sees no cells; see `cellvision.Control.meaning`."""
        from cellvision.statistics import ControlMeaning

        return ControlMeaning("alternative explanation", "the background")

    def caveat(self, data: ControlData) -> str:
        """Say that cells fill the images; see `cellvision.Control.caveat`."""
        filled = {name: _filled(data, name) for name in data.class_names}
        full = [name for name, fraction in filled.items() if fraction > _FULL]
        if 2 * len(full) < len(filled):
            return ""
        fractions = ", ".join(f"{filled[name]:.0%} of {name!r}" for name in full)
        return f"cells with their margins fill the images (median {fractions})"

    def change_image(self, pixels: np.ndarray) -> np.ndarray:
        """Mask the cells; see `cellvision.Control.change_image`."""
        return without_cells(pixels)


def _filled(data: ControlData, name: str) -> float:
    """Return the median fraction of an image that is masked, of a sample of training images."""
    import numpy as np

    labels = data.table["label"].to_numpy()
    rows = [row for row in data.training_rows if labels[row] == name]
    sample = rows[:: max(1, len(rows) // _SAMPLE)]
    return float(np.median([cell_regions(data.pixels[row]).mean() for row in sample]))
