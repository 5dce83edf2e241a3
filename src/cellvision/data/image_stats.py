"""Per-image statistics collected while decoding, for the audit and the leak check."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.data.block_sums import SIDE, BlockSums
from cellvision.data.near_duplicates import sketch_of_blocks
from cellvision.digests import pixel_digest
from cellvision.interfaces.decoded_image import DecodedImage, Note

if TYPE_CHECKING:
    from cellvision.interfaces.dataset import Dataset

MAX_MAGNITUDE = float(np.sqrt(np.finfo(np.float32).max))
"""Largest intensity of float images (1.8e19): larger squares overflow 32 bits."""

_PLANES = re.compile(r"axes (\S+ \S+) flattened to ")

_BLOCK_BYTES = 2**20

_MEAN_CHANNELS = 8
"""Channels whose mean is recorded."""


@dataclass(frozen=True, slots=True)
class ImageStats:
    """Statistics of one image as stored in its file, before any preprocessing.

    Attributes
    ----------
    image : str
        Id of the image.
    status : {"read", "refused"}
        Whether it could be decoded.
    reason : str
        Why it was refused; for an image that was read, its notes.
    shape : tuple of int or None
        Height, width and channels.
    dtype : str or None
        The pixels' native dtype.
    bit_depth : int or None
        Bits per sample, as the file declares.
    low, high : float or None
        The smallest and largest intensity.
    saturated_fraction : float or None
        Fraction of samples at the largest value that the bit depth allows.
    digest : str
        Digest of the pixels: equal for equal shape, dtype and values.
    sketch : bytes
        Reduced image to find near-duplicates; see `cellvision.data.near_duplicates`.
    notes : tuple of Note
        Changes made while reading, each with its kind; see `summarize_notes`.
    means : tuple of float
        Mean intensity of each of the first channels.
    compression : str
        How the file is compressed; empty if unknown.
    """

    image: str
    status: str
    reason: str
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    bit_depth: int | None = None
    low: float | None = None
    high: float | None = None
    saturated_fraction: float | None = None
    digest: str = ""
    sketch: bytes = b""
    notes: tuple[Note, ...] = ()
    means: tuple[float, ...] = ()
    compression: str = ""

    @classmethod
    def of(cls, image: str, decoded: DecodedImage) -> ImageStats:
        """Compute the statistics of a decoded image."""
        pixels = decoded.pixels
        low, high = float(pixels.min()), float(pixels.max())
        blocks = BlockSums.of(pixels)
        return cls(
            image,
            "read",
            "; ".join(decoded.notes),
            tuple(pixels.shape),
            _dtype_name(pixels.dtype),
            decoded.bit_depth,
            low,
            high,
            _saturated_fraction(pixels, decoded.bit_depth, high),
            pixel_digest(pixels),
            sketch_of_blocks(blocks),
            tuple(note if isinstance(note, Note) else Note(note) for note in decoded.notes),
            tuple(blocks.channel_means[:_MEAN_CHANNELS].tolist()),
            decoded.compression,
        )

    @classmethod
    def refused(cls, image: str, error: errors.UnreadableImage) -> ImageStats:
        """Record an image that cannot be decoded, and what to do about it."""
        return cls(image, "refused", ". ".join(filter(None, (error.reason, error.hint))))

    @property
    def is_complete(self) -> bool:
        """Whether the statistics of an image that was read have all the types that they should."""
        numbers = (self.bit_depth, self.low, self.high, self.saturated_fraction, *self.means)
        return (
            isinstance(self.shape, tuple)
            and [type(side) for side in self.shape] == [int] * 3
            and all(isinstance(value, int | float) for value in numbers)
            and all(isinstance(text, str) for text in (self.dtype, self.digest, self.compression))
            and len(self.sketch) in (0, SIDE * SIDE)
        )

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> ImageStats:
        """Create statistics from the output of `to_json`."""
        shape = row["shape"]
        notes = tuple(
            Note(note["text"], note["kind"], warning=note["warning"]) for note in row["notes"]
        )
        names = ("status", "reason", "dtype", "compression")  # the same for many images
        words = {name: row[name] and intern(row[name]) for name in names if name in row}
        row = row | {"sketch": bytes.fromhex(row["sketch"])}
        means = tuple(row.get("means", ()))
        shape = None if shape is None else _shared_shape(tuple(shape))
        return cls(**{**row, **words, "shape": shape, "notes": notes, "means": means})

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        notes = [
            {"text": str(note), "kind": note.kind, "warning": note.warning} for note in self.notes
        ]
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return content | {"notes": notes, "sketch": self.sketch.hex()}


@dataclass(frozen=True)
class NoteSummary:
    """One kind of change made while reading, summarised over all images.

    Attributes
    ----------
    kind : str
        The kind of `Note`.
    count : int
        Number of images with such a note.
    image, text : str
        First image with such a note, and the note.
    warning : bool
        Whether information may have been lost.
    """

    kind: str
    count: int
    image: str
    text: str
    warning: bool

    def __str__(self) -> str:
        if self.count == 1:
            return f"{self.image!r}: {self.text}."
        return f"{self.count} images: {self.text} (such as {self.image!r})."


def summarize_notes(stats: Sequence[ImageStats]) -> list[NoteSummary]:
    """Count the notes of all images by kind; warnings come first, then frequent kinds."""
    counts: Counter[str] = Counter()
    first: dict[str, tuple[str, Note]] = {}
    for stat in stats:
        for note in {note.kind: note for note in stat.notes}.values():
            counts[note.kind] += 1
            first.setdefault(note.kind, (stat.image, note))
    summaries = [
        NoteSummary(kind, counts[kind], image, str(note), note.warning)
        for kind, (image, note) in first.items()
    ]
    return sorted(summaries, key=lambda summary: (not summary.warning, -summary.count))


@lru_cache(maxsize=1024)
def _shared_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return one object for equal shapes, of which many images need many."""
    return shape


@lru_cache(maxsize=64)
def _dtype_name(dtype: np.dtype[Any]) -> str:
    return str(dtype)


def _saturated_fraction(pixels: np.ndarray, bit_depth: int, high: float) -> float:
    ceiling = _ceiling(pixels.dtype, bit_depth)
    if ceiling is None or high < ceiling:
        return 0.0
    saturated = sum(int(np.count_nonzero(rows >= ceiling)) for rows in _row_blocks(pixels))
    return float(saturated / pixels.size)


def _ceiling(dtype: np.dtype[Any], bit_depth: int) -> int | None:
    """Return the largest possible intensity; None for floats and booleans."""
    if dtype.kind in "fb":
        return None
    largest = int(np.iinfo(dtype).max)
    return largest if dtype.kind == "i" else min(largest, 2**bit_depth - 1)


def _row_blocks(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield rows in blocks of about 1 MiB, so that temporary arrays stay small."""
    rows = max(1, _BLOCK_BYTES // max(1, pixels[:1].nbytes))
    for start in range(0, len(pixels), rows):
        yield pixels[start : start + rows]


def decode(dataset: Dataset, image: str) -> tuple[ImageStats, np.ndarray | None]:
    """Decode one image and compute its statistics; pixels are None if it cannot be decoded.

    Any exception of a plugin, and running out of memory, refuses only this image, so that one
    file does not end an audit.
    """
    return measure(image, lambda: dataset.decode(image))


def measure(
    image: str, decoded: Callable[[], DecodedImage]
) -> tuple[ImageStats, np.ndarray | None]:
    """Compute the statistics of what a function decodes; as `decode`.

    Parameters
    ----------
    image
        Id of the image.
    decoded
        Returns the decoded image, or raises.
    """
    result = decoded_or_fault(image, decoded)
    if isinstance(result, errors.UnreadableImage):
        return ImageStats.refused(image, result), None
    return ImageStats.of(image, result), result.pixels


def decoded_or_fault(
    image: str, decoded: Callable[[], DecodedImage]
) -> DecodedImage | errors.UnreadableImage:
    """Return what a function decodes if its pixels can be used, else the fault.

    Parameters
    ----------
    image, decoded
        As for `measure`.
    """
    try:
        result: object = decoded()
        if not isinstance(result, DecodedImage):
            fault = f"decode() returned {type(result).__name__}, not a cellvision.DecodedImage"
            return errors.UnreadableImage(image, fault)
        pixels: np.ndarray = np.asarray(result.pixels)
        if not pixels.dtype.isnative:
            pixels = pixels.astype(pixels.dtype.newbyteorder("="))
        fault = pixel_fault(pixels)
        if not fault:
            result = replace(result, pixels=pixels)
            if not result.fault:
                return result
            fault = f"decode() returned {result.fault}"
    except errors.UnreadableImage as error:
        return error
    except MemoryError:
        fault = "not enough memory to read it"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code
        fault = f"reading it failed: {errors.summarize(error)}"
    return errors.UnreadableImage(image, fault)


def pixel_fault(pixels: np.ndarray) -> str:
    """Return in one line why pixels cannot be used; empty if they can."""
    if pixels.ndim != 3 or pixels.size == 0 or pixels.dtype.kind not in "buif":
        return f"read() returned shape {pixels.shape}, dtype {pixels.dtype}, not (H, W, C) numbers"
    if pixels.dtype.kind != "f":
        return ""
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        return "it contains intensities that are not finite (NaN or infinity)"
    largest = max(abs(low), abs(high))
    if largest > MAX_MAGNITUDE:
        return (
            f"it contains an intensity of {largest:.3g}; beyond {MAX_MAGNITUDE:.2g}, intensities "
            "overflow the 32-bit numbers of a network"
        )
    return ""


def plane_axes(notes: Sequence[str]) -> str:
    """Return which axes became channels, such as ``ZC 3x2``; empty if channels are just that.

    Parameters
    ----------
    notes
        The notes of one image.
    """
    matches = (_PLANES.match(note) for note in notes)
    return next((match[1] for match in matches if match is not None), "")


def digests(stats: Sequence[ImageStats]) -> dict[str, str]:
    """Map every readable image to the digest of its pixels."""
    return {stat.image: stat.digest for stat in stats if stat.digest}
