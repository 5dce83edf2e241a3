"""Warn of images that differ from those that the network was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellvision.data.image_stats import plane_axes
from cellvision.interfaces.decoded_image import Note
from cellvision.plurals import agreed, counted

if TYPE_CHECKING:
    from cellvision.results.run import Run


@dataclass
class _Difference:
    """Images that differ in one respect."""

    example: str
    verb: str
    description: str
    count: int = 0
    intensity: float = -np.inf


@dataclass
class _Loss:
    """Images of which reading may have lost something."""

    example: str
    note: str
    count: int = 0


class UnlikeImages:
    """Counts images whose size, channels, axes, bit depth or intensities training has not seen.

    Parameters
    ----------
    run
        The run; its audit tells what the training images are like. Without one nothing is
        compared but the intensity range.
    """

    def __init__(self, run: Run) -> None:
        files = () if run.audit is None else run.audit.files
        files = tuple(file for file in files if file.status == "read")
        shapes = [file.shape for file in files if file.shape]
        self._sizes = _size_range(shapes)
        self._channels = {shape[2] for shape in shapes}
        self._axes = {plane_axes(file.reason.split("; ")) for file in files}
        self._bit_depths = {file.bit_depth for file in files if file.bit_depth}
        self._range: tuple[float, float] | None = (
            None if run.preprocessing.intensity == "per_image" else run.intensity_range
        )
        self._differences: dict[str, _Difference] = {}
        self._losses: dict[str, _Loss] = {}
        self._count = 0

    def clear(self) -> None:
        """Forget the images so far."""
        self._differences.clear()
        self._losses.clear()
        self._count = 0

    def add(self, name: str, pixels: np.ndarray, bit_depth: int, notes: Sequence[str] = ()) -> None:
        """Compare one image, as it was decoded.

        Parameters
        ----------
        name
            Its name, for the warning.
        pixels
            Shape (height, width, channels).
        bit_depth
            Bits per sample, as the file declares.
        notes
            What reading it applied or left out; those by which information may be lost count.
        """
        self._count += 1
        for note in notes:
            if isinstance(note, Note) and note.warning:
                loss = self._losses.setdefault(note.kind, _Loss(name, note))
                loss.count += 1
                if name < loss.example:  # the same one, whatever the threads did
                    loss.example, loss.note = name, note
        height, width, channels = pixels.shape
        if self._sizes is not None and not self._fits(height, width):
            low, high = self._sizes
            trained = _size(low) if low == high else f"{_size(low)} to {_size(high)}"
            self._note("size", name, "is", f"{height}×{width}; training images are {trained}")
        if self._channels and channels not in self._channels:
            trained = " or ".join(map(str, sorted(self._channels)))
            self._note(
                "channels",
                name,
                "has",
                f"{counted(channels, 'channel')}; training images have {trained}",
            )
        elif self._axes and (axes := plane_axes(notes)) not in self._axes:
            trained = " or ".join(sorted(name or "plain" for name in self._axes))
            self._note(
                "axes", name, "has", f"{axes or 'plain'} channels; training images have {trained}"
            )
        if self._bit_depths and bit_depth not in self._bit_depths:
            trained = " or ".join(map(str, sorted(self._bit_depths)))
            self._note(
                "bit depth", name, "has", f"{bit_depth} bits; training images have {trained}"
            )
        if self._range is not None:
            self._compare_intensities(name, float(pixels.min()), float(pixels.max()))

    def _fits(self, height: int, width: int) -> bool:
        assert self._sizes is not None
        (low_height, low_width), (high_height, high_width) = self._sizes
        return low_height <= height <= high_height and low_width <= width <= high_width

    def _compare_intensities(self, name: str, low: float, high: float) -> None:
        assert self._range is not None
        zero, one = self._range
        beyond = high if high > one else low if low < zero else None
        if beyond is not None:
            difference = self._note("intensity", name, "holds", "")
            if abs(beyond) > difference.intensity:
                difference.intensity = abs(beyond)
                difference.example = name
                difference.description = (
                    f"intensities beyond the range of the training, {zero:g} to {one:g} "
                    f"(such as {beyond:g})"
                )

    def _note(self, kind: str, name: str, verb: str, description: str) -> _Difference:
        difference = self._differences.setdefault(kind, _Difference(name, verb, description))
        difference.count += 1
        if description and name < difference.example:  # the same one, whatever the threads did
            difference.example, difference.description = name, description
        return difference

    def warnings(self) -> list[str]:
        """Return one line for each kind of difference, and of information lost by reading."""
        losses = [
            f"{loss.count} of {counted(self._count, 'image')}: {loss.note}. Such as {loss.example}."
            for loss in self._losses.values()
        ]
        return losses + [
            f"{difference.count} of {counted(self._count, 'image')} "
            f"{agreed(difference.count, difference.verb)} {difference.description}. Such as "
            f"{difference.example}. Their predictions may be meaningless, whatever their "
            "probabilities."
            for difference in self._differences.values()
        ]


def _size_range(
    shapes: Iterable[tuple[int, ...]],
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    sizes = np.array([shape[:2] for shape in shapes], dtype=int)
    if len(sizes) == 0:
        return None
    low, high = sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist()
    return (low[0], low[1]), (high[0], high[1])


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
