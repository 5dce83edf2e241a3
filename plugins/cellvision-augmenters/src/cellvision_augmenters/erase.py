"""Hiding a part of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Erase(Augmenter):
    """Replaces a random rectangle by the mean of the image, so that no single spot decides.

    The sides of the rectangle differ by a factor of up to two.

    The idea is that of Z. Zhong et al. (2020), Random erasing data augmentation, and of T. DeVries
    and G. Taylor (2017), Improved regularization of convolutional neural networks with cutout.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("erase", largest=0.1)
    Erase(probability=0.5, smallest=0.02, largest=0.1)
    """

    probability: float = Field(default=0.5, ge=0, le=1)
    """How likely an image loses a rectangle."""

    smallest: float = Field(default=0.02, ge=0, le=1)
    """The smallest area of the rectangle, as a fraction of the image."""

    largest: float = Field(default=0.2, ge=0, le=1)
    """The largest area of the rectangle, as a fraction of the image."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError("smallest must not exceed largest")
        return self

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.intensity import EraseLayer

        return EraseLayer(self.probability, self.smallest, self.largest, seed=seed)
