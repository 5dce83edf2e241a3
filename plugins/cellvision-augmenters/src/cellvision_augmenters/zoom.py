"""Enlarging and reducing images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Zoom(Augmenter):
    """Enlarges or reduces each image by a random factor, at a random place.

    For photographs, where the distance to the subject varies. Leave it out where size tells the
    classes apart. The factor is drawn between `least` and `most`, its logarithm uniformly; an
    enlarged image shows any of its parts with equal probability. Pixels are interpolated in
    float32.

    The idea is that of C. Szegedy and others (2015), Going deeper with convolutions.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("zoom", most=1.5)
    Zoom(least=0.8, most=1.5, fill_mode='reflect')
    """

    least: float = Field(default=0.8, ge=0.1, le=10)
    """The smallest factor, 0.1 to 10; below 1 the image shrinks, and `fill_mode` fills the rest."""

    most: float = Field(default=1.25, ge=0.1, le=10)
    """The largest factor, 0.1 to 10; above 1 parts of the image are cut off."""

    fill_mode: Literal["reflect", "nearest", "constant"] = "reflect"
    """What lies outside the image: the image mirrored at its edge, the edge repeated, or 0."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least ({self.least:g}) exceeds most ({self.most:g}); swap them")
        return self

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.geometry import ZoomLayer

        return ZoomLayer(self.least, self.most, fill_mode=self.fill_mode, seed=seed)
