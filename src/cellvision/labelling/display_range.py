"""Initial contrast of the page, from the intensities of the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellvision.labelling.plan import Display

SAMPLE = 48
"""Number of images from which the initial contrast is measured."""

_PERCENTILE = 99.8
_DARK = 0.5
"""Images whose bright parts stay below this fraction of the range are displayed brighter."""


def display_for(full: tuple[float, float], sample: Sequence[np.ndarray]) -> Display:
    """Choose one mapping from intensity to grey for all images.

    Parameters
    ----------
    full
        Intensities of 0 and 1.
    sample
        Pixels of some of the images, any shape.
    """
    values = [np.percentile(pixels, _PERCENTILE) for pixels in sample]
    bright = float(np.max(values)) if values else full[1]
    white = (bright - full[0]) / (full[1] - full[0])
    return Display(full, full, (0.0, round(white, 3) if 0 < white < _DARK else 1.0))


def stretched_display(full: tuple[float, float], low: float, high: float) -> Display:
    """Choose the mapping if preprocessing stretches each image by itself.

    Parameters
    ----------
    full
        Intensities of 0 and 1 after stretching.
    low, high
        Smallest and largest intensity as acquired.
    """
    return Display(full, (low, high if high > low else low + 1), (0.0, 1.0))
