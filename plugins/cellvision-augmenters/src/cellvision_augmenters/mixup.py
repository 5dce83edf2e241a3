"""Averaging images and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Mixup(Augmenter):
    """Averages each image with another one of its batch, and their labels with the same weights.

    Its layer takes and returns a pair: ``layer((images, labels), training=True)``.

    The idea is that of H. Zhang et al. (2018), mixup: Beyond empirical risk minimization.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("mixup", alpha=0.4)
    Mixup(alpha=0.4, probability=1.0)
    """

    mixes_labels: ClassVar[bool] = True

    alpha: float = Field(default=0.2, gt=0, le=10)
    """Weights are drawn from Beta(alpha, alpha): near 0 and 1 if small, near one half if large.
    The larger weight goes to the image itself."""

    probability: float = Field(default=1.0, ge=0, le=1)
    """How likely an image is mixed at all."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.mixing import MixupLayer

        return MixupLayer(self.alpha, self.probability, seed=seed)
