"""Moving images by a random fraction of their size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Translation(Augmenter):
    """Moves each image by a random distance, vertically and horizontally.

    For subjects that need not be centred. Both distances are drawn uniformly and independently.
    They are whole pixels, so every pixel keeps its value. `shift` takes pixels instead of
    fractions.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("translation", height=0.2, fill_mode="constant")
    Translation(height=0.2, width=0.1, fill_mode='constant')
    """

    height: float = Field(default=0.1, ge=0, le=1)
    """The farthest vertical move, as a fraction of the image's height, 0 to 1; 0 disables it."""

    width: float = Field(default=0.1, ge=0, le=1)
    """The farthest horizontal move, as a fraction of the image's width, 0 to 1; 0 disables it."""

    fill_mode: Literal["reflect", "nearest", "constant"] = "reflect"
    """How to fill the gap: the image mirrored at its edge, the edge repeated, or 0."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.geometry import TranslationLayer

        return TranslationLayer(self.height, self.width, fill_mode=self.fill_mode, seed=seed)
