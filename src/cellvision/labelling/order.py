"""In which order a rater sees the images, and which of them come again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MOST_REPEATS = 0.5
"""The largest share of images that can be shown twice."""

_APART = 3
"""Between the two showings of an image lies at least the n-th part of all images."""


def shuffled(count: int, repeats: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Shuffle images, a share of which is shown twice.

    Those that come again are drawn from the first half of the shuffled images, so that each has
    room for its second showing at a random place at least a third of the images later: nobody
    shall remember it.

    Parameters
    ----------
    count
        How many images there are.
    repeats
        The share of them that is shown twice, 0 to 0.5.
    rng
        Decides.

    Returns
    -------
    list of (int, int)
        The number of an image, from 0, and 1 for its first or 2 for its second showing.

    Examples
    --------
    >>> import numpy as np
    >>> order = shuffled(10, 0.2, np.random.default_rng(0))
    >>> len(order), sorted(image for image, showing in order if showing == 1)
    (12, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    images = [int(image) for image in rng.permutation(count)]
    half = -(-count // 2)
    again = rng.choice(half, size=min(round(repeats * count), half), replace=False)
    places = [(float(place), image, 1) for place, image in enumerate(images)]
    for place in again:
        later = rng.uniform(int(place) + count / _APART, count)
        places.append((float(later), images[int(place)], 2))
    return [(image, showing) for _, image, showing in sorted(places)]


def even_over_classes(labels: Sequence[str], count: int, rng: np.random.Generator) -> list[int]:
    """Draw rows, from each class as many as from any other as far as it has, and shuffle them."""
    drawn: list[tuple[int, float, int]] = []
    seen: dict[str, int] = {}
    for row in rng.permutation(len(labels)):
        label = labels[int(row)]
        drawn.append((seen.get(label, 0), float(rng.random()), int(row)))
        seen[label] = seen.get(label, 0) + 1
    chosen = [row for _, _, row in sorted(drawn)[:count]]
    return [chosen[int(place)] for place in rng.permutation(len(chosen))]
