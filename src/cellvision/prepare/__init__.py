"""Images made ready for training: tiles, rotated copies, numbered series, with their provenance.

Each function writes a `manifest.csv` beside its images that says which field every image came
from, so that tiles and copies of one field can be kept on one side of a split.
"""

from __future__ import annotations

from .number import number_images
from .rotate import rotate_images
from .slice import slice_images
from .warnings import PrepareWarning

__all__ = ["PrepareWarning", "number_images", "rotate_images", "slice_images"]
