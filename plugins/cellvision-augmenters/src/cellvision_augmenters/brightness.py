"""Brightening and darkening images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Brightness(Augmenter):
    """Multiplies each image by a random factor.

    For images whose exposure or staining varies between plates or days, where brightness says
    nothing about the class. Do not use it where the amount of stain is the answer, as for DNA
    content in the cell cycle. Values above 1 are not clipped.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("brightness", factor=0.5)
    Brightness(factor=0.5, per_channel=False)
    """

    factor: float = Field(default=0.2, ge=0, le=9)
    """The strongest change: factors are drawn from 1 / (1 + factor) to 1 + factor, uniformly in
    their logarithm."""

    per_channel: bool = False
    """Draw a separate factor for each channel."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.intensity import BrightnessLayer

        return BrightnessLayer(self.factor, per_channel=self.per_channel, seed=seed)
