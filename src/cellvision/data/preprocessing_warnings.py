"""Warn if preprocessing changes what an image shows: its size, proportions or colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellvision.plurals import agreed, counted

if TYPE_CHECKING:
    from cellvision.data.image_stats import ImageStats
    from cellvision.data.preprocessing import Preprocessing

ENLARGED = 2.0
"""Magnification from which an image counts as enlarged: most of its pixels are interpolated."""

REDUCED = 4.0
"""Reduction from which details disappear that a person sees: organelles, the texture of nuclei."""

DIFFERENT = 1.05
"""Factor by which proportions or magnifications may differ before they count as changed."""


def preprocessing_warnings(preprocessing: Preprocessing, stats: Sequence[ImageStats]) -> list[str]:
    """Return what preprocessing does to size, proportions and colours, one line per kind.

    Images that are reduced less than fourfold, or enlarged less than twofold, cause no warning.

    Parameters
    ----------
    preprocessing
        The settings.
    stats
        The images; those that could not be read are ignored.
    """
    read = [stat for stat in stats if stat.status == "read" and stat.shape is not None]
    warnings = [*_pages_as_colours(preprocessing, read), *_empty_channels(preprocessing, read)]
    if read and preprocessing.fit == "resize":
        sizes = np.array([(stat.shape or ())[:2] for stat in read], np.float64)
        factors = np.array(preprocessing.size) / sizes
        warnings += [
            *_enlarged(preprocessing, read, factors),
            *_reduced(preprocessing, read, factors),
            *_squashed(preprocessing, read, factors),
            *_magnified_differently(preprocessing, read, sizes, factors),
        ]
    return warnings


def _enlarged(
    preprocessing: Preprocessing, read: Sequence[ImageStats], factors: np.ndarray
) -> list[str]:
    magnifications = np.sqrt(factors.prod(axis=1))
    rows = np.flatnonzero(magnifications >= ENLARGED)
    if not len(rows):
        return []
    example = read[rows[np.argmax(magnifications[rows])]]
    return [
        f"{counted(len(rows), 'image', 'is')} enlarged for the network, such as {example.image!r} "
        f"from {_size(example.shape)} to {_size(preprocessing.size)} pixels. This adds no "
        "detail and makes training slower: choose a smaller preprocessing.size if the "
        "architecture allows it."
    ]


def _reduced(
    preprocessing: Preprocessing, read: Sequence[ImageStats], factors: np.ndarray
) -> list[str]:
    reductions = 1 / np.sqrt(factors.prod(axis=1))
    rows = np.flatnonzero(reductions >= REDUCED)
    if not len(rows):
        return []
    example = read[rows[np.argmax(reductions[rows])]]
    return [
        f"{counted(len(rows), 'image', 'is')} reduced {REDUCED:.0f}-fold or more for the network, "
        f"such as {example.image!r} from {_size(example.shape)} to {_size(preprocessing.size)} "
        f"pixels: what is smaller than {reductions.max():.0f} pixels disappears. To keep it, cut "
        "the images into tiles (cellvision prepare slice), or choose a larger preprocessing.size."
    ]


def _squashed(
    preprocessing: Preprocessing, read: Sequence[ImageStats], factors: np.ndarray
) -> list[str]:
    ratios = factors.max(axis=1) / factors.min(axis=1)
    # Rounding a side to whole pixels changes proportions too, and cannot be avoided.
    rounding = 1 + 1 / min(preprocessing.size)
    rows = np.flatnonzero(ratios > max(DIFFERENT, rounding))
    if not len(rows):
        return []
    example = read[rows[np.argmax(ratios[rows])]]
    return [
        f"{counted(len(rows), 'image', 'is')} squashed, such as {example.image!r} from "
        f"{_size(example.shape)} to {_size(preprocessing.size)} pixels, which distorts shapes: "
        "set preprocessing.fit to pad or crop, or a preprocessing.size of the same proportions."
    ]


def _magnified_differently(
    preprocessing: Preprocessing,
    read: Sequence[ImageStats],
    sizes: np.ndarray,
    factors: np.ndarray,
) -> list[str]:
    magnifications = np.sqrt(factors.prod(axis=1))
    relative = magnifications / np.median(magnifications)
    different = int((np.maximum(relative, 1 / relative) > DIFFERENT).sum())
    if not different:
        return []
    areas = sizes.prod(axis=1)
    least, most = (read[int(position)].shape for position in (areas.argmin(), areas.argmax()))
    return [
        f"Images differ in size ({_size(least)} to {_size(most)} pixels) and are all resized to "
        f"{_size(preprocessing.size)}: the size of objects is lost ({different} of {len(read)} "
        "images differ from the median by more than 5 %). Set preprocessing.fit to pad or crop "
        "to keep it."
    ]


def _pages_as_colours(preprocessing: Preprocessing, read: Sequence[ImageStats]) -> list[str]:
    if not isinstance(preprocessing.channels, str):
        return []
    pages = [
        stat
        for stat in read
        if (stat.shape or ())[2:] == (3,)
        and any(note.kind == "pages_as_channels" for note in stat.notes)
    ]
    if not pages:
        return []
    use = "taken as" if preprocessing.channels == "rgb" else "combined into one channel like"
    return [
        f"{counted(len(pages), 'image', 'has')} three pages, such as {pages[0].image!r}, which are "
        f"{use} red, green and blue. If they are stains, depths or times, select them by number: "
        "preprocessing.channels=[0,1,2]."
    ]


def _empty_channels(preprocessing: Preprocessing, read: Sequence[ImageStats]) -> list[str]:
    """Warn of channels that are 0 in all images, which the mean of unsigned intensities shows."""
    numbers = {len(stat.means) for stat in read if stat.means}
    if len(numbers) != 1 or any((stat.dtype or "")[:4] != "uint" for stat in read):
        return []
    channels = range(*numbers)
    if preprocessing.channels == "gray":
        return []
    used = channels if preprocessing.channels == "rgb" else preprocessing.channels
    empty = [n for n in channels if n in used and all(stat.means[n] == 0 for stat in read)]
    kept = [n for n in used if n not in empty]
    if not empty or not kept:
        return []
    number = " and ".join(map(str, empty))
    return [
        f"Of the {len(channels)} channels, numbered from 0, {number} {agreed(len(empty), 'is')} 0 "
        "in all images. A network learns nothing from it, and answers at random if something is "
        f"there, such as noise: set preprocessing.channels=[{','.join(map(str, kept))}], as the "
        "recipe standard does."
    ]


def _size(shape: Sequence[int] | None) -> str:
    return " × ".join(map(str, (shape or ())[:2]))
