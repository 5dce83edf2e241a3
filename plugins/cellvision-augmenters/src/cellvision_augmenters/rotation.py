"""Rotating images by a random angle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Rotation(Augmenter):
    """Rotates each image about its centre by a random angle.

    For subjects without up and down. The angle is drawn uniformly from ``-degrees`` to
    ``degrees``. Pixels are interpolated in float32 whatever the precision of the training, so
    that a 16-bit image keeps its steps.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("rotation", degrees=10)
    Rotation(degrees=10.0, fill_mode='reflect', interpolation='bilinear')
    """

    degrees: float = Field(default=5.0, ge=0, le=180)
    """The largest rotation either way, in degrees, 0 to 180; 180 allows every angle."""

    fill_mode: Literal["reflect", "nearest", "constant"] = "reflect"
    """How to fill the corners: the image mirrored at its edge, the edge repeated, or 0."""

    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    """How to find values between pixels: their weighted mean, or the nearest pixel."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.geometry import RotationLayer

        return RotationLayer(
            math.radians(self.degrees),
            interpolation=self.interpolation,
            fill_mode=self.fill_mode,
            seed=seed,
        )
