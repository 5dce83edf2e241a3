"""What is measured of every image while it is decoded: the audit's and the leak check's source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cellvision import errors
from cellvision.data.near_duplicates import sketch

if TYPE_CHECKING:
    from cellvision.interfaces.dataset import Dataset
    from cellvision.interfaces.decoded_image import DecodedImage

A = TypeVar("A")
B = TypeVar("B")

Progress = Callable[[int, int], None]
"""Told how many are done, of how many."""


@dataclass(frozen=True)
class ImageStats:
    """One image as it was found, before any preparation.

    Attributes
    ----------
    image : str
        Its id.
    status : {"read", "refused"}
        Whether it could be decoded.
    reason : str
        Why not; for an image that was read, what was applied or left out.
    shape : tuple of int or None
        Height, width and channels.
    dtype : str or None
        The pixels' native dtype.
    bit_depth : int or None
        Bits per sample, as the file declares.
    low, high : float or None
        The smallest and largest intensity.
    saturated_fraction : float or None
        Share of samples at the largest value that the bit depth allows.
    digest : str
        Identifies the pixels: equal for images of equal shape, dtype and values.
    sketch : str
        What near-duplicates have in common; see `cellvision.data.near_duplicates`.
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
    sketch: str = ""

    @classmethod
    def of(cls, image: str, decoded: DecodedImage) -> ImageStats:
        """Measure a decoded image."""
        pixels = decoded.pixels
        low, high = float(pixels.min()), float(pixels.max())
        ceiling = _ceiling(pixels.dtype, decoded.bit_depth)
        saturated = 0.0
        if ceiling is not None and high >= ceiling:
            saturated = float(np.count_nonzero(np.greater_equal(pixels, ceiling)) / pixels.size)
        head = f"{pixels.shape} {pixels.dtype.str} ".encode()
        digest = hashlib.sha256(head)
        digest.update(np.ascontiguousarray(pixels).data)
        return cls(
            image,
            "read",
            "; ".join(decoded.notes),
            tuple(pixels.shape),
            str(pixels.dtype),
            decoded.bit_depth,
            low,
            high,
            saturated,
            digest.hexdigest(),
            sketch(pixels),
        )

    @classmethod
    def refused(cls, image: str, error: errors.UnreadableImage) -> ImageStats:
        """Tell of an image that cannot be decoded."""
        return cls(image, "refused", error.reason)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> ImageStats:
        """Read back what `to_json` gave."""
        shape = row["shape"]
        return cls(**{**row, "shape": None if shape is None else tuple(shape)})

    def to_json(self) -> dict[str, Any]:
        """Give a row of plain values."""
        return asdict(self)


def _ceiling(dtype: np.dtype[Any], bit_depth: int) -> float | None:
    """The largest intensity that can be told; None for fractions, which have no ceiling."""
    if dtype.kind in "fb":
        return None
    if dtype.kind == "i":
        return float(np.iinfo(dtype).max)
    return float(2**bit_depth - 1)


def decode(dataset: Dataset, image: str) -> tuple[ImageStats, np.ndarray | None]:
    """Decode and measure one image; the pixels are None where it cannot be decoded.

    An exception of a kind that `Dataset.read` does not promise refuses that image as well, and
    is told as the reason: one file that a plugin did not expect is not the end of an audit.
    """
    try:
        decoded = dataset.decode(image)
    except errors.UnreadableImage as error:
        return ImageStats.refused(image, error), None
    except Exception as error:  # noqa: BLE001 - a stranger's code
        first = (str(error).splitlines() or [""])[0]
        fault = f"reading it failed: {type(error).__name__}: {first}"
        return ImageStats.refused(image, errors.UnreadableImage(image, fault)), None
    pixels: np.ndarray = np.asarray(decoded.pixels)
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    if pixels.ndim != 3 or pixels.size == 0 or pixels.dtype.kind not in "buif":
        fault = f"read() gave shape {pixels.shape}, dtype {pixels.dtype}, not (H, W, C) numbers"
        return ImageStats.refused(image, errors.UnreadableImage(image, fault)), None
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        fault = "it holds intensities that are not finite (NaN or infinity)"
        return ImageStats.refused(image, errors.UnreadableImage(image, fault)), None
    return ImageStats.of(image, replace(decoded, pixels=pixels)), pixels


def scan(
    dataset: Dataset, images: Sequence[str], progress: Progress | None = None
) -> list[ImageStats]:
    """Decode and measure images, in order, with as many threads as there are processors."""

    def image_stats_of(image: str) -> ImageStats:
        return decode(dataset, image)[0]

    return list(in_threads(image_stats_of, images, progress))


def digests(stats: Sequence[ImageStats]) -> dict[str, str]:
    """What identifies the pixels of each image that could be read, by its id."""
    return {stat.image: stat.digest for stat in stats if stat.digest}


def in_threads(
    work: Callable[[A], B], items: Sequence[A], progress: Progress | None = None
) -> Iterator[B]:
    """Map with threads, keeping the order and only a few results at a time in memory."""
    workers = available_processors()
    with ThreadPoolExecutor(workers) as pool:
        done = 0
        for chunk in _chunks(items, 16 * workers):
            for result in pool.map(work, chunk):
                yield result
                done += 1
                if progress is not None:
                    progress(done, len(items))


def available_processors() -> int:
    """How many processors this process may use."""
    import os

    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _chunks(items: Sequence[A], size: int) -> Iterable[Sequence[A]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
