"""Find near-duplicates across splits: compressed, brightened or cropped copies of an image.

The result is only a warning: a person must decide whether similar images are copies.

Each image is reduced to a *sketch* of 10 x 10 means, normalised to zero mean and unit contrast,
so that brightness, compression, noise and size hardly matter. Sketches are compared in all eight
orientations of rotation by 90 degrees and mirroring. A fixed threshold would not work, because on
a dark background any two cells are close. Instead, the distance is compared with that of other
images: a copy is much closer than the tenth-nearest image (ratio test of D. G. Lowe 2004, Int. J.
Comput. Vis. 60, 91-110).

Few images have a copy, so a bound excludes most of them with one comparison per pair instead of
eight: the distance of two sketches in any orientation is at least that of their `_invariants`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from cellvision.data.block_sums import SIDE, BlockSums
from cellvision.data.catalog import Catalog, is_training
from cellvision.plurals import agreed, counted

if TYPE_CHECKING:
    from cellvision.data.image_stats import ImageStats

NEAR = 0.3
"""A copy is closer than this fraction of the distance to the tenth-nearest image. The lowest
fraction measured without copies, on four real data sets, is 0.37."""

_LITTLE_CONTRAST = 0.2
"""Fraction of the usual range of intensities below which an image is called empty. It decides
about the words of a warning only."""

_NEIGHBOUR = 10
_FEWEST = 5
"""With fewer images, distances have no scale."""

_MAX_DISTANCES = 2**21
"""Largest number of distances in memory at a time."""

_GALLERY = 2**12
"""Images to compare with at a time, and of which a sample first estimates the distance to the
tenth-nearest image, from above."""

_ROUNDING = 1e-4
"""Squared distances of float32 vectors are exact to less than this."""


@dataclass(frozen=True)
class NearDuplicate:
    """Two nearly identical images of different splits.

    Attributes
    ----------
    image, split : str
        The first image, and its split.
    other, other_split : str
        The second image, and its split; the training split if either image is in it.
    ratio : float
        Distance between the two, divided by the distance to the tenth-nearest image; 0 for
        equal sketches.
    """

    image: str
    split: str
    other: str
    other_split: str
    ratio: float


def sketch(pixels: np.ndarray) -> bytes:
    """Reduce an image to 100 numbers of 8 bits.

    Parameters
    ----------
    pixels
        Shape (height, width, channels), any dtype, finite; channels are averaged.

    Returns
    -------
    bytes
        As of `sketch_of_blocks`.
    """
    return sketch_of_blocks(BlockSums.of(pixels))


def sketch_of_blocks(blocks: BlockSums) -> bytes:
    """Reduce the blocks of an image to 100 numbers of 8 bits.

    Returns
    -------
    bytes
        100 bytes; empty for images that cannot be compared: flat ones, and those less than
        10 pixels high or wide.
    """
    means = blocks.block_means
    if means.shape != (SIDE, SIDE):
        return b""
    brightest = np.abs(means).max()
    means -= means.mean()
    largest = np.abs(means).max()
    if not largest > 1e-6 * brightest:
        return b""
    numbers: np.ndarray = np.rint(127 * means / largest).astype(np.int8)
    return numbers.tobytes()


def find_near_duplicates(
    catalog: Catalog, stats: Sequence[ImageStats], most: int | None = None
) -> tuple[NearDuplicate, ...]:
    """Find near-duplicates in other splits of the images outside the training split.

    Parameters
    ----------
    catalog
        Catalog with splits.
    stats
        Statistics of its images. Identical pixels are a leak and are not reported here.
    most
        Skip the search if it needs more comparisons than this; None always searches.

    Returns
    -------
    tuple of NearDuplicate
        Pairs, the closest first.
    """
    table = catalog.table.dropna(subset=["split"])
    sketches = {stat.image: stat.sketch for stat in stats if stat.sketch}
    digests = {stat.image: stat.digest for stat in stats}
    images = [image for image in table["image"] if image in sketches]
    split_of = dict(zip(table["image"], table["split"], strict=True))
    splits = np.array([split_of[image] for image in images], dtype=object)
    evaluated = [name for name in catalog.splits() if not is_training(name)]
    sizes = {name: int((splits == name).sum()) for name in evaluated}
    comparisons = sum(size * (len(splits) - size) for size in sizes.values())
    if comparisons == 0 or (most is not None and comparisons > most):
        return ()
    means = _means([sketches[image] for image in images])
    numbers: dict[str, int] = {}  # np.unique would sort 256 bytes for every image
    equal = np.array([numbers.setdefault(digests[image], len(numbers)) for image in images])
    pairs: dict[frozenset[str], NearDuplicate] = {}
    for name in evaluated:
        inside, outside = np.flatnonzero(splits == name), np.flatnonzero(splits != name)
        if not len(inside) or len(outside) < _FEWEST:
            continue
        for row, nearest, ratio in _nearest(means, inside, outside, equal):
            other, other_split = images[nearest], str(splits[nearest])
            pair = NearDuplicate(images[row], name, other, other_split, ratio)
            best = pairs.setdefault(frozenset((pair.image, pair.other)), pair)
            if ratio < best.ratio:
                pairs[frozenset((pair.image, pair.other))] = pair
    return tuple(sorted(pairs.values(), key=lambda pair: (pair.ratio, pair.image)))


def find_copies(known: Sequence[bytes], new: Sequence[bytes]) -> dict[int, tuple[int, float]]:
    """Find the near-duplicates of known images among new ones.

    Parameters
    ----------
    known
        Sketches of the known images, none of them empty. They set the scale of distances.
    new
        Sketches of the new images; empty ones have no near-duplicate. Leave out images with the
        pixels of a known one.

    Returns
    -------
    dict
        By position in `new`: position of the near-duplicate in `known`, and the ratio of
        `NearDuplicate`.
    """
    inside = [row for row, each in enumerate(new) if each]
    if not inside or len(known) < _FEWEST:
        return {}
    means = _means([*known, *(new[row] for row in inside)])
    rows, size = np.arange(len(means)), len(known)
    pairs = _nearest(means, rows[size:], rows[:size], rows)
    return {inside[row - size]: (nearest, ratio) for row, nearest, ratio in pairs}


def _means(sketches: Sequence[bytes]) -> np.ndarray:
    """Return the means of all sketches, shape (images, 100), int8: a quarter of unit vectors."""
    return np.frombuffer(b"".join(sketches), np.int8).reshape(-1, SIDE * SIDE)


def _unit_vectors(means: np.ndarray) -> np.ndarray:
    """Return unit vectors whose products are correlations, float32."""
    rows = means.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _nearest(
    means: np.ndarray, inside: np.ndarray, outside: np.ndarray, equal: np.ndarray
) -> Iterator[tuple[int, int, float]]:
    """Yield each row of `inside` with a near-duplicate in `outside`: row, duplicate, ratio."""
    inside = _candidates(means, inside, outside, equal)
    rank = min(_NEIGHBOUR, len(outside) - 1)
    for rows in _parts(inside, max(1, _MAX_DISTANCES // len(outside))):
        vectors = _unit_vectors(means[rows])
        blocks = [
            reduce(np.maximum, (turned @ gallery for turned in _orientations(vectors)))
            for gallery in (_unit_vectors(means[part]).T for part in _parts(outside, _GALLERY))
        ]
        closeness = np.concatenate(blocks, axis=1)
        closeness[equal[rows][:, None] == equal[outside]] = -1.0
        ordered = np.partition(closeness, len(outside) - 1 - rank, axis=1)
        # For unit vectors: distance² = 2 - 2 · product.
        scale = np.sqrt(np.maximum(2 - 2 * ordered[:, len(outside) - 1 - rank], 1e-12))
        best = closeness.argmax(axis=1)
        distances = np.sqrt(np.maximum(2 - 2 * closeness[np.arange(len(rows)), best], 0))
        ratios = distances / scale
        for k in np.flatnonzero(ratios < NEAR):
            yield int(rows[k]), int(outside[best[k]]), float(ratios[k])


def _candidates(
    means: np.ndarray, inside: np.ndarray, outside: np.ndarray, equal: np.ndarray
) -> np.ndarray:
    """Return the rows of `inside` that may have a near-duplicate in `outside`; none is missed."""
    invariants = _invariants(means)
    size = max(1, _MAX_DISTANCES // _GALLERY)
    closest = np.full(len(inside), -1.0, np.float32)
    for part in _parts(outside, _GALLERY):
        gallery = _unit_vectors(invariants[part]).T
        for start in range(0, len(inside), size):
            rows = inside[start : start + size]
            products = _unit_vectors(invariants[rows]) @ gallery
            block = closest[start : start + size]
            np.maximum(block, products.max(axis=1), out=block)
    sample = outside[:: max(1, len(outside) // _GALLERY)]
    gallery = _unit_vectors(means[sample]).T
    rank = len(sample) - 1 - min(_NEIGHBOUR, len(sample) - 1)
    scales = []
    for rows in _parts(inside, size):
        # Fewer images and one orientation only: the tenth-nearest is no closer than among all.
        closeness = _unit_vectors(means[rows]) @ gallery
        closeness[equal[rows][:, None] == equal[sample]] = -1.0
        scales.append(2 - 2 * np.partition(closeness, rank, axis=1)[:, rank])
    return inside[2 - 2 * closest <= NEAR**2 * np.concatenate(scales) + _ROUNDING]


def _parts(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield the rows in parts, in order."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _invariants(means: np.ndarray) -> np.ndarray:
    """Sort the means of each orbit: positions that rotation and mirroring exchange.

    Sorting gives equal vectors for all orientations of a sketch. Of all ways to pair the values
    of two sketches within an orbit, the sorted one has the smallest distance.
    """
    positions = np.arange(SIDE * SIDE, dtype=np.float32)[np.newaxis]
    images = np.stack([turned[0] for turned in _orientations(positions)]).astype(np.intp)
    orbits = {tuple(sorted(set(column))) for column in images.T.tolist()}
    invariants, start = np.empty_like(means), 0
    for orbit in sorted(orbits):
        invariants[:, start : start + len(orbit)] = np.sort(means[:, orbit], axis=1)
        start += len(orbit)
    return invariants


def _orientations(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the vectors in the eight orientations of rotation by 90 degrees and mirroring."""
    grids = vectors.reshape(-1, SIDE, SIDE)
    for turns in range(4):
        rotated = np.rot90(grids, turns, axes=(1, 2))
        for grid in (rotated, rotated[:, :, ::-1]):
            yield np.ascontiguousarray(grid).reshape(len(vectors), -1)


def warnings_of(pairs: Sequence[NearDuplicate], stats: Sequence[ImageStats]) -> list[str]:
    """Write one warning per pair of splits.

    Parameters
    ----------
    pairs
        The near-duplicates.
    stats
        Statistics of all images. Pairs of images without contrast come last, and are counted:
        empty tiles are alike, without being copies.
    """
    is_empty = _without_contrast(stats)
    by_splits: dict[tuple[str, str], list[NearDuplicate]] = {}
    for pair in pairs:
        by_splits.setdefault((pair.split, pair.other_split), []).append(pair)
    lines = []
    for (split, other_split), group in by_splits.items():
        count = len({pair.image for pair in group})
        empty = {pair for pair in group if pair.image in is_empty and pair.other in is_empty}
        group = sorted(group, key=empty.__contains__)  # stable
        examples = "; ".join(f"{pair.image!r} and {pair.other!r}" for pair in group[:3])
        more = f"; and {len(group) - 3} more" if len(group) > 3 else ""
        lines.append(
            f"{counted(count, 'image')} of {split} {agreed(count, 'looks')} like near-duplicates "
            f"of images of {other_split}: {examples}{more}. Check them by eye: copies in two "
            f"splits inflate the scores.{_about_empty(len(empty), len(group))}"
        )
    return lines


def _about_empty(empty: int, pairs: int) -> str:
    if not empty:
        return ""
    of = "The pair has" if pairs == 1 else f"{empty} of {pairs} pairs {agreed(empty, 'has')}"
    return f" {of} almost no contrast: they may be empty tiles, not copies."


def _without_contrast(stats: Sequence[ImageStats]) -> set[str]:
    """Return the images whose range of intensities is small beside that of most images."""
    ranges = {
        stat.image: stat.high - stat.low
        for stat in stats
        if stat.high is not None and stat.low is not None
    }
    usual = float(np.median(list(ranges.values()))) if ranges else 0.0
    return {image for image, extent in ranges.items() if extent < _LITTLE_CONTRAST * usual}
