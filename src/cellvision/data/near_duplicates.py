"""Images in two splits that are nearly the same: compressed, brightened, turned or cropped copies.

Only a warning: whether two images that look alike are one image is for a person to say.

An image is reduced to 10 x 10 means whose mean and contrast are taken out (its *sketch*), so that
brightness, compression, noise and size hardly matter. Two sketches are compared in all eight
orientations that turns by 90 degrees and mirroring give. How near two images must be is not
decided by a fixed distance: on a dark background any two cells are near each other. It is told by
the other images instead: a copy is far nearer than the tenth-nearest image is (the ratio test of
D. G. Lowe 2004, Int. J. Comput. Vis. 60, 91-110).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellvision.data.catalog import Catalog, is_training

if TYPE_CHECKING:
    from cellvision.data.image_stats import ImageStats

SIDE = 10
"""A sketch is so many means high and wide."""

NEAR = 0.3
"""A copy is nearer than this share of the distance to the tenth-nearest image. Of images that
are no copies, the lowest share that was measured on four real data sets is 0.37."""

_NEIGHBOUR = 10
_FEWEST = 5
"""Among fewer images there is no telling what is near."""

_AT_ONCE = 2**22
"""How many distances are in memory at once."""


@dataclass(frozen=True)
class NearDuplicate:
    """Two images of different splits that are nearly the same.

    Attributes
    ----------
    image, split : str
        One of them, and its split.
    other, other_split : str
        The other one; it is in the training split where either of them is.
    ratio : float
        Distance of the two over the distance to the tenth-nearest image; 0 for equal sketches.
    """

    image: str
    split: str
    other: str
    other_split: str
    ratio: float


def sketch(pixels: np.ndarray) -> str:
    """Reduce an image to 100 numbers of 8 bits, in hexadecimal digits.

    Parameters
    ----------
    pixels
        Shape (height, width, channels), any dtype; channels are averaged.

    Returns
    -------
    str
        200 digits; empty where there is nothing to compare: a flat image, or one of fewer than
        10 pixels across.
    """
    from PIL import Image

    if min(pixels.shape[:2]) < SIDE:
        return ""
    # Channel by channel: ten times as fast as a mean over an axis as short as this.
    grey = pixels[..., 0].astype(np.float32)
    for channel in range(1, pixels.shape[-1]):
        grey += pixels[..., channel]
    picture = Image.fromarray(grey / np.float32(pixels.shape[-1]))
    means = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    means = means - means.mean()
    largest = np.abs(means).max()
    if not largest > 1e-6 * max(abs(float(pixels.max())), abs(float(pixels.min()))):
        return ""
    numbers: np.ndarray = np.rint(127 * means / largest).astype(np.int8)
    return numbers.tobytes().hex()


def find_near_duplicates(
    catalog: Catalog, stats: Sequence[ImageStats], most: int | None = None
) -> tuple[NearDuplicate, ...]:
    """Find, for every image outside the training split, a near copy of it in another split.

    Parameters
    ----------
    catalog
        With splits.
    stats
        Of its images. Exactly equal pixels are a leak and no matter of this.
    most
        Do without where more comparisons than this would be needed; None always compares.

    Returns
    -------
    tuple of NearDuplicate
        The nearest first.
    """
    table = catalog.table
    sketches = {stat.image: stat.sketch for stat in stats if stat.sketch}
    digests = {stat.image: stat.digest for stat in stats}
    images = [image for image in table["image"] if image in sketches]
    split_of = dict(zip(table["image"], table["split"], strict=True))
    splits = np.array([split_of[image] for image in images], dtype=object)
    held = [name for name in catalog.splits() if not is_training(name)]
    comparisons = sum(int((splits == name).sum()) * int((splits != name).sum()) for name in held)
    if comparisons == 0 or (most is not None and comparisons > most):
        return ()
    vectors = _vectors([sketches[image] for image in images])
    equal = np.unique([digests[image] for image in images], return_inverse=True)[1]
    found: dict[frozenset[str], NearDuplicate] = {}
    for name in held:
        own, others = np.flatnonzero(splits == name), np.flatnonzero(splits != name)
        if len(others) < _FEWEST:
            continue
        for row, near, ratio in _nearest(vectors, own, others, equal):
            pair = NearDuplicate(images[row], name, images[near], str(splits[near]), ratio)
            known = found.setdefault(frozenset((pair.image, pair.other)), pair)
            if ratio < known.ratio:
                found[frozenset((pair.image, pair.other))] = pair
    return tuple(sorted(found.values(), key=lambda pair: (pair.ratio, pair.image)))


def _vectors(sketches: Sequence[str]) -> np.ndarray:
    """Unit vectors whose products are correlations, shape (images, 100), float32."""
    numbers = np.frombuffer(bytes.fromhex("".join(sketches)), np.int8).astype(np.float32)
    rows = numbers.reshape(len(sketches), SIDE * SIDE)
    rows = rows - rows.mean(axis=1, keepdims=True)
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _nearest(
    vectors: np.ndarray, own: np.ndarray, others: np.ndarray, equal: np.ndarray
) -> Iterator[tuple[int, int, float]]:
    """Give the rows of `own` that have a near copy among `others`: row, copy and ratio."""
    gallery = vectors[others].T.copy()
    place = min(_NEIGHBOUR, len(others) - 1)
    chunk = max(1, _AT_ONCE // len(others))
    for start in range(0, len(own), chunk):
        rows = own[start : start + chunk]
        closeness = np.full((len(rows), len(others)), -1.0, np.float32)
        for turned in _orientations(vectors[rows]):
            np.maximum(closeness, turned @ gallery, out=closeness)
        closeness[equal[rows][:, None] == equal[others]] = -1.0
        ordered = np.partition(closeness, len(others) - 1 - place, axis=1)
        # Of unit vectors: distance² = 2 - 2 · product.
        scale = np.sqrt(np.maximum(2 - 2 * ordered[:, len(others) - 1 - place], 1e-12))
        best = closeness.argmax(axis=1)
        least = np.sqrt(np.maximum(2 - 2 * closeness[np.arange(len(rows)), best], 0))
        ratios = least / scale
        for k in np.flatnonzero(ratios < NEAR):
            yield int(rows[k]), int(others[best[k]]), float(ratios[k])


def _orientations(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """The eight that turns by 90 degrees and mirroring give."""
    grids = vectors.reshape(-1, SIDE, SIDE)
    for turns in range(4):
        turned = np.rot90(grids, turns, axes=(1, 2))
        for grid in (turned, turned[:, :, ::-1]):
            yield np.ascontiguousarray(grid).reshape(len(vectors), -1)


def warnings_of(pairs: Sequence[NearDuplicate]) -> list[str]:
    """Say it in a line for each two splits."""
    by_splits: dict[tuple[str, str], list[NearDuplicate]] = {}
    for pair in pairs:
        by_splits.setdefault((pair.split, pair.other_split), []).append(pair)
    lines = []
    for (split, other), some in by_splits.items():
        count = len({pair.image for pair in some})
        shown = "; ".join(f"{pair.image!r} and {pair.other!r}" for pair in some[:3])
        more = f"; and {len(some) - 3} more" if len(some) > 3 else ""
        lines.append(
            f"{count} image(s) of {split} look like near-duplicates of images of {other}: "
            f"{shown}{more}. Look at them: copies on two sides flatter."
        )
    return lines
