"""Mirroring images at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Flip(Augmenter):
    """Mirrors each image at random; every pixel keeps its value.

    For what looks the same in a mirror. Each direction that is on is drawn by itself with
    probability one half, so that with both on all four images are equally likely.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("flip", vertical=False)
    Flip(horizontal=True, vertical=False)
    """

    horizontal: bool = True
    """Whether left and right may change places."""

    vertical: bool = True
    """Whether top and bottom may change places."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers import FlipLayer

        return FlipLayer(self.horizontal, self.vertical, seed=seed)
