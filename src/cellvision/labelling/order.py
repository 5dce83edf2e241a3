"""Presentation order: shuffling, and repeats of some images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MAX_REPEATS = 0.5
"""Largest fraction of images that can be shown twice."""

_MIN_DISTANCE = 3
"""An image repeats after at least 1/3 of all images."""


def shuffled(count: int, repeats: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Shuffle images and repeat a fraction of them.

    Parameters
    ----------
    count
        Number of images.
    repeats
        Fraction of images to show twice, 0 to 0.5.
    rng
        Source of randomness.

    Returns
    -------
    list of (int, int)
        Index of the image, and 1 for its first or 2 for its second presentation.

    Examples
    --------
    >>> import numpy as np
    >>> order = shuffled(10, 0.2, np.random.default_rng(0))
    >>> len(order), sorted(image for image, showing in order if showing == 1)
    (12, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    return with_repeats([int(image) for image in rng.permutation(count)], repeats, rng)


def with_repeats(
    images: Sequence[int], repeats: float, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Repeat a fraction of the images, keeping the order of the first presentations.

    Repeated images come from the first half, so that each can reappear at a random position at
    least a third of all images later: raters should not remember them.

    Parameters
    ----------
    images
        Indices in presentation order.
    repeats
        Fraction of images to show twice, 0 to 0.5.
    rng
        Source of randomness.

    Returns
    -------
    list of (int, int)
        Index of the image, and 1 for its first or 2 for its second presentation.
    """
    count = len(images)
    half = -(-count // 2)
    repeated = rng.choice(half, size=min(round(repeats * count), half), replace=False)
    positions = [(float(position), image, 1) for position, image in enumerate(images)]
    for position in repeated:
        later = rng.uniform(int(position) + count / _MIN_DISTANCE, count)
        positions.append((float(later), images[int(position)], 2))
    return [(image, showing) for _, image, showing in sorted(positions)]


def balanced_sample(labels: Sequence[str], count: int, rng: np.random.Generator) -> list[int]:
    """Sample rows in random order, with equal numbers per class as far as images allow."""
    candidates: list[tuple[int, float, int]] = []
    drawn: dict[str, int] = {}
    for row in rng.permutation(len(labels)):
        label = labels[int(row)]
        candidates.append((drawn.get(label, 0), float(rng.random()), int(row)))
        drawn[label] = drawn.get(label, 0) + 1
    sample = [row for _, _, row in sorted(candidates)[:count]]
    return [sample[int(position)] for position in rng.permutation(len(sample))]
