"""Moving images by a random distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Translation(Augmenter):
    """Moves each image by a random distance, up or down and left or right.

    For what need not be centred. Both distances are drawn uniformly and on their own, anew for
    each image in each epoch. They are whole pixels, so that every pixel keeps its value.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("translation", height=0.2, fill_mode="constant")
    Translation(height=0.2, width=0.1, fill_mode='constant')
    """

    height: float = Field(default=0.1, ge=0, le=1)
    """The farthest move up or down, as a fraction of the image's height, 0 to 1; 0 is none."""

    width: float = Field(default=0.1, ge=0, le=1)
    """The farthest move to the left or right, as a fraction of the image's width, 0 to 1."""

    fill_mode: Literal["reflect", "nearest", "constant"] = "reflect"
    """What fills the gap: the image mirrored at its edge, its edge drawn out, or 0."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers import TranslationLayer

        return TranslationLayer(self.height, self.width, fill_mode=self.fill_mode, seed=seed)
