"""Mirroring images at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Flip(Augmenter):
    """Mirrors each image at random; every pixel keeps its value.

    For subjects that look natural in a mirror. Each enabled direction is drawn independently
    with probability one half, so that with both enabled all four images are equally likely.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("flip", vertical=False)
    Flip(horizontal=True, vertical=False)
    """

    horizontal: bool = True
    """Swap left and right at random."""

    vertical: bool = True
    """Swap top and bottom at random."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.geometry import FlipLayer

        return FlipLayer(horizontal=self.horizontal, vertical=self.vertical, seed=seed)
