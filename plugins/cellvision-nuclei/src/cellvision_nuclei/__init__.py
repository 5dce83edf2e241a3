"""Find nuclei in fluorescence images, as label masks from which cells are cropped."""

from __future__ import annotations

from cellvision_nuclei.outlines import draw_outlines
from cellvision_nuclei.segmentation import Nuclei, find_nuclei

__all__ = ["Nuclei", "draw_outlines", "find_nuclei"]
