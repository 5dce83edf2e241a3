"""Bending images smoothly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cellvision import Augmenter

if TYPE_CHECKING:
    import keras


class Elastic(Augmenter):
    """Bends each image by a smooth random field.

    For soft subjects, whose outline varies within a class. Random displacements at the knots of
    a coarse lattice are joined by cubic B-splines; pixels are interpolated in float32.

    The idea is that of P. Simard, D. Steinkraus and J. Platt (2003), Best practices for
    convolutional neural networks applied to visual document analysis.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.augmenters.create("elastic", distance=0.05)
    Elastic(distance=0.05, grid=4, fill_mode='reflect')
    """

    distance: float = Field(default=0.04, ge=0, le=0.5)
    """The largest displacement at a knot, as a fraction of the image's longer side."""

    grid: int = Field(default=4, ge=2, le=32)
    """Knots along each side. More knots bend the image on a smaller scale."""

    fill_mode: Literal["reflect", "nearest", "constant"] = "reflect"
    """What lies outside the image: the image mirrored at its edge, the edge repeated, or 0."""

    def build(self, seed: int) -> keras.layers.Layer:
        """Make the layer; see `cellvision.Augmenter.build`."""
        from cellvision_augmenters.layers.geometry import ElasticLayer

        return ElasticLayer(self.distance, self.grid, fill_mode=self.fill_mode, seed=seed)
