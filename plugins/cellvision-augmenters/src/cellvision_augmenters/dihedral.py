"""The eight flips and quarter turns of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Dihedral(Augmenter):
    """Shows each image in one of its eight orientations; every pixel keeps its value.

    For subjects without up and down, such as most cells. All flips and quarter turns that the
    settings allow are equally likely. An image that is not square keeps its shape: it has four
    orientations.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("dihedral", mirror=False)
    Dihedral(mirror=False, quarter_turns=True)
    """

    mirror: bool = True
    """Show mirror images; without, images are turned only, so that a spiral keeps its sense."""

    quarter_turns: bool = True
    """Turn by quarters; without, rows stay rows, so that fibres along and across differ."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.geometry import DihedralLayer

        return DihedralLayer(mirror=self.mirror, quarter_turns=self.quarter_turns, seed=seed)
