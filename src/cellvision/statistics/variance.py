"""How much of the spread of points is between classes, and how much between units within them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cellvision.errors import InvalidInput


@dataclass(frozen=True)
class VarianceShares:
    """Shares of the total variance of points, between 0 and 1.

    Attributes
    ----------
    n, classes, groups : int
        Points, classes, and pairs of class and group that occur (0 where groups are unknown).
    class_share : float
        Between the means of the classes (eta squared).
    class_chance : float
        What of it as many classes would have if they meant nothing: as much as as many units
        have, where units are known, and else as as many images.
    group_share, group_chance : float or None
        The same for groups within their class: what the class does not explain. None where
        groups are unknown, where every one has one image, so that a group cannot be told from an
        image, or where every class has one group, so that it cannot be told from the class.
    """

    n: int
    classes: int
    groups: int
    class_share: float
    class_chance: float
    group_share: float | None
    group_chance: float | None

    @property
    def class_excess(self) -> float:
        """The class's share beyond chance (epsilon squared); 0 where there is none."""
        return max(self.class_share - self.class_chance, 0.0)

    @property
    def group_excess(self) -> float | None:
        """The groups' share beyond class and chance (epsilon squared)."""
        if self.group_share is None or self.group_chance is None:
            return None
        return max(self.group_share - self.group_chance, 0.0)


def variance_shares(
    points: ArrayLike, classes: ArrayLike, groups: ArrayLike | None = None
) -> VarianceShares:
    """Divide the variance of points into class, group within class, and the rest.

    Sums of squared distances to means, added over all dimensions: the total is that between
    classes, plus that between groups of one class, plus that within groups. What many groups
    of few images have by chance alone is told beside it.

    Parameters
    ----------
    points
        (n, dimensions) numbers; turning the axes (as PCA does) changes nothing.
    classes
        (n,) the class of each point.
    groups
        (n,) the unit that each image came from (any type); None where it is unknown. A group
        with images of several classes counts as one in each.

    Raises
    ------
    InvalidInput
        Lengths that differ, fewer than two points, numbers that are not finite, or points that
        are all the same.

    Notes
    -----
    Eta squared, and epsilon squared, which takes off what chance gives: T. L. Kelley (1935),
    Proc. Natl. Acad. Sci. 21, 554-559. For points of several dimensions this is the R² of
    M. J. Anderson (2001), Austral Ecol. 26, 32-46, on Euclidean distances.

    Examples
    --------
    >>> shares = variance_shares([[0.0], [0.2], [1.0], [1.2]], ["a", "a", "b", "b"])
    >>> round(shares.class_share, 3), shares.group_share
    (0.962, None)
    """
    x = np.asarray(points, np.float64)
    label = np.unique(np.asarray(classes).astype(str), return_inverse=True)[1]
    if x.ndim != 2 or len(x) != len(label) or len(x) < 2:
        raise InvalidInput(
            f"points of shape {x.shape} and {len(label)} classes",
            "Give two points or more, a row each, and as many classes.",
        )
    if not np.isfinite(x).all():
        raise InvalidInput("points hold numbers that are not finite", "Leave those out.")
    x = x - x.mean(axis=0)
    total = float((x**2).sum())
    if total == 0:
        raise InvalidInput("all points are the same", "There is no variance to divide.")
    n, count = len(x), int(label.max()) + 1
    between = _between(x, label)
    cells, finest, in_cells = 0, count, between
    if groups is not None:
        names = np.asarray(groups).astype(str)
        if len(names) != n:
            raise InvalidInput(f"{n} points and {len(names)} groups", "Give one for each point.")
        pairs = np.stack([label, np.unique(names, return_inverse=True)[1]])
        cell = np.unique(pairs, axis=1, return_inverse=True)[1].ravel()
        cells = int(cell.max()) + 1
        if cells < n:
            finest, in_cells = cells, _between(x, cell)
    noise = (total - in_cells) / (n - finest) if finest < n else 0.0
    if groups is None or not count < cells < n:
        return VarianceShares(
            n, count, cells, between / total, (count - 1) * noise / total, None, None
        )
    # Classes that mean nothing would differ as units do, and not as images do.
    by_units = (in_cells - between) / (cells - count)
    return VarianceShares(
        n,
        count,
        cells,
        between / total,
        (count - 1) * by_units / total,
        (in_cells - between) / total,
        (cells - count) * noise / total,
    )


def _between(x: np.ndarray, label: np.ndarray) -> float:
    """The sum of squares between the means of parts, of centred points."""
    sums = np.zeros((int(label.max()) + 1, x.shape[1]))
    np.add.at(sums, label, x)
    return float(((sums**2).sum(axis=1) / np.bincount(label)).sum())
