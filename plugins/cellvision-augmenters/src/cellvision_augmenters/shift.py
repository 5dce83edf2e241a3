"""Moving images by a random number of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Shift(Augmenter):
    """Moves each image by up to `pixels` whole pixels, vertically and horizontally.

    For subjects that need not be centred. Both distances are drawn uniformly and independently,
    so every pixel keeps its value. `translation` does the same in fractions of the image.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("shift", pixels=16)
    Shift(pixels=16, fill_mode='reflect')
    """

    pixels: int = Field(default=8, ge=0)
    """The farthest move in each direction, in pixels of the network's input."""

    fill_mode: Literal["reflect", "nearest", "constant"] = "reflect"
    """How to fill the gap: the image mirrored at its edge, the edge repeated, or 0."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.geometry import TranslationLayer

        return TranslationLayer(self.pixels, self.pixels, fill_mode=self.fill_mode, seed=seed)
