"""Control ``background``: images whose cells are masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cellvision import Control
from cellvision_controls.masking import without_cells

if TYPE_CHECKING:
    import numpy as np

    from cellvision.statistics import ControlMeaning


class Background(Control):
    """Trains on images in which background replaces the cells.

    If that does as well as the whole image, a shortcut is possible: illumination, debris, the well.
    Cells are what is brighter than Otsu's threshold in any channel, with a margin; cells that are
    darker than the background are not found. Look at the figure that the reporter `controls` draws
    of it.
    """

    label: ClassVar[str] = "background alone"
    order: ClassVar[int] = 200

    def meaning(self) -> ControlMeaning:
        """Say that it sees no cells; see `cellvision.Control.meaning`."""
        from cellvision.statistics import ControlMeaning

        return ControlMeaning("alternative explanation", "the background")

    def change_image(self, pixels: np.ndarray) -> np.ndarray:
        """Mask the cells; see `cellvision.Control.change_image`."""
        return without_cells(pixels)
