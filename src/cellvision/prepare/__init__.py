"""Prepare images for training: tiles, crops, rotated copies, numbered series.

Each function writes a `manifest.csv` beside its images. Its column `field` names the source image
of every output, so that tiles, crops and copies of one source image stay on one side of a split.
"""

from __future__ import annotations

from .crop import crop_images
from .number import number_images, undo_numbering
from .rotate import rotate_images
from .slice import slice_images
from .unfinished import raise_if_unfinished
from .warnings import PrepareWarning

__all__ = [
    "PrepareWarning",
    "crop_images",
    "number_images",
    "raise_if_unfinished",
    "rotate_images",
    "slice_images",
    "undo_numbering",
]
