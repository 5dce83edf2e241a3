"""Pasting a part of another image, and of its label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Cutmix(Augmenter):
    """Pastes a rectangle of another image of the batch, and mixes the labels by area.

    The area is uniform from none to all of the image, and the rectangle has the image's
    proportions. The layer takes and returns a pair: ``layer((images, labels), training=True)``.

    The idea is that of S. Yun et al. (2019), CutMix: Regularization strategy to train strong
    classifiers with localizable features.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("cutmix")
    Cutmix(probability=0.5)
    """

    mixes_labels: ClassVar[bool] = True

    probability: float = Field(default=0.5, ge=0, le=1)
    """How likely an image is mixed."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.mixing import CutmixLayer

        return CutmixLayer(self.probability, seed=seed)
