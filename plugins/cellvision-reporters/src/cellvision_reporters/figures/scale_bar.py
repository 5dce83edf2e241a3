"""Scale bars of images whose pixel size is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellvision import errors

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Audit, Dataset, Run
    from cellvision_reporters.figures.placed_image import PlacedImage

COLUMN = "pixel_size"
"""Provenance column with the micrometres per pixel; it goes before what the files say."""

_LARGEST_PART = 0.4
"""Largest part of the narrowest image that a bar takes."""


@dataclass(frozen=True)
class ScaleBar:
    """A bar of one length for all images of a figure.

    Attributes
    ----------
    micrometres : float
        Its length.
    sizes : dict of str to float
        Micrometres per pixel of each image.
    widths : dict of str to int
        Width of each image in pixels, as acquired.
    """

    micrometres: float
    sizes: dict[str, float]
    widths: dict[str, int]

    @property
    def alike(self) -> bool:
        """Whether all images have one scale, so that one bar is enough."""
        return len(set(self.sizes.values())) == 1 and len(set(self.widths.values())) == 1

    def describe(self) -> str:
        """Say in a caption how long it is."""
        number, unit = self.micrometres, "µm"
        if number < 1:
            number, unit = 1000 * number, "nm"
        elif number >= 1000:
            number, unit = number / 1000, "mm"
        return f"Scale bar: {number:g} {unit}."

    def draw(self, placed: PlacedImage, image: str) -> None:
        """Draw the bar in the lower right corner of an image, unless another image shows it.

        Parameters
        ----------
        placed
            The image in its figure; it may be shrunk.
        image
            Its id.
        """
        from matplotlib.patches import Rectangle

        if self.alike and image != next(iter(self.sizes)):
            return
        height, width = placed.shape
        shrunk = max(self.widths[image] // width, 1)
        length = self.micrometres / self.sizes[image] / shrunk
        thickness, edge = 0.035 * height, 0.012 * height
        left, top = 0.95 * width - length - 0.5, 0.92 * height - 0.5
        for colour, grow in (("black", edge), ("white", 0.0)):
            size = (length + 2 * grow, thickness + 2 * grow)
            corner = (left - grow, top - grow)
            bar = Rectangle(corner, *size, facecolor=colour, transform=placed.pixels)
            placed.axes.add_patch(bar)


def audit_scale_bar(audit: Audit, images: Sequence[str]) -> ScaleBar | None:
    """Choose the scale bar of images of an audit; None unless the pixel size of all is known."""
    return _scale_bar(audit.images.dataset, audit.images.table, audit, images)


def run_scale_bar(run: Run, images: Sequence[str]) -> ScaleBar | None:
    """Choose the scale bar of images of a run; None unless the pixel size of all is known."""
    try:
        table, audit = run.provenance, run.audit
    except errors.FolderError:  # a file was removed or is damaged
        return None
    return _scale_bar(run.dataset, table, audit, images)


def _scale_bar(
    dataset: Dataset, table: pd.DataFrame, audit: Audit | None, images: Sequence[str]
) -> ScaleBar | None:
    """Take the pixel size from the provenance, or else from the files."""
    if audit is None or not images:
        return None
    stated: dict[Any, Any] = {}
    if COLUMN in table.columns:
        stated = table.set_index("image")[COLUMN].to_dict()
    shapes = {file.file: file.shape for file in audit.files if file.shape is not None}
    sizes: dict[str, float] = {}
    for image in images:
        size = _number(stated.get(image)) or _number(dataset.pixel_size(image))
        if size is None or image not in shapes:
            return None
        sizes[image] = size
    widths = {image: shapes[image][1] for image in images}
    narrowest = min(size * widths[image] for image, size in sizes.items())
    return ScaleBar(_round_length(_LARGEST_PART * narrowest), sizes, widths)


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))
