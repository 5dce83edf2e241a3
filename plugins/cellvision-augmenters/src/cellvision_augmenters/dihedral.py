"""The eight flips and quarter turns of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Dihedral(Augmenter):
    """Shows each image in one of its eight orientations; every pixel keeps its value.

    For subjects without up and down, such as most cells. Rows and columns are mirrored and
    swapped at random, so that all flips and quarter turns are equally likely. An image that is
    not square keeps its shape: it has four orientations.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("dihedral")
    Dihedral()
    """

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.geometry import DihedralLayer

        return DihedralLayer(seed=seed)
