"""Partition the variance of points into class, group within class, and the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cellvision.errors import InvalidInput


@dataclass(frozen=True)
class VarianceShares:
    """Fractions of the total variance of points, between 0 and 1.

    Attributes
    ----------
    n, classes, groups : int
        Number of points, of classes, and of pairs of class and group that occur (0 if groups are
        unknown).
    class_share : float
        Fraction between the class means (eta squared).
    class_chance : float
        The fraction expected if the classes meant nothing: if groups are known, that of as many
        groups; otherwise, of as many images.
    group_share, group_chance : float or None
        The same for groups within their class. None if groups are unknown, if every group has
        one image (group and image cannot be told apart), or if every class has one group (group
        and class cannot be told apart).
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
        """The class's fraction beyond chance (epsilon squared), at least 0."""
        return max(self.class_share - self.class_chance, 0.0)

    @property
    def group_excess(self) -> float | None:
        """The groups' fraction beyond class and chance (epsilon squared), at least 0."""
        if self.group_share is None or self.group_chance is None:
            return None
        return max(self.group_share - self.group_chance, 0.0)


def variance_shares(
    points: ArrayLike, classes: ArrayLike, groups: ArrayLike | None = None
) -> VarianceShares:
    """Partition the variance of points into class, group within class, and the rest.

    Sums of squared distances to means, over all dimensions: the total is the sum between
    classes, between groups of one class, and within groups. Many small groups explain much by
    chance alone; the result gives that fraction as well.

    Parameters
    ----------
    points
        (n, dimensions) numbers. Rotating the axes (as PCA does) changes nothing.
    classes
        (n,) the class of each point.
    groups
        (n,) the group of each image, of any type; None if unknown. A group with images of several
        classes counts as one group in each.

    Raises
    ------
    InvalidInput
        Lengths differ, there are fewer than two points, numbers are not finite, or all points
        are equal.

    Notes
    -----
    Eta squared, and epsilon squared, which subtracts what chance gives: T. L. Kelley (1935),
    Proc. Natl. Acad. Sci. 21, 554-559. In several dimensions this is the R² of
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
            "Give two rows of points or more, and one class per row.",
        )
    if not np.isfinite(x).all():
        raise InvalidInput("points has numbers that are not finite", "Leave out those rows.")
    x = x - x.mean(axis=0)
    total = float((x**2).sum())
    if total == 0:
        raise InvalidInput("all points are equal", "There is no variance to partition.")
    n, count = len(x), int(label.max()) + 1
    between = _between(x, label)
    cells, finest, in_cells = 0, count, between
    if groups is not None:
        names = np.asarray(groups).astype(str)
        if len(names) != n:
            raise InvalidInput(f"{n} points and {len(names)} groups", "Give one group per point.")
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
    # Classes that mean nothing would differ as groups do, not as images do.
    by_groups = (in_cells - between) / (cells - count)
    return VarianceShares(
        n,
        count,
        cells,
        between / total,
        (count - 1) * by_groups / total,
        (in_cells - between) / total,
        (cells - count) * noise / total,
    )


def _between(x: np.ndarray, label: np.ndarray) -> float:
    """Return the sum of squares between the class means of centred points."""
    sums = np.zeros((int(label.max()) + 1, x.shape[1]))
    np.add.at(sums, label, x)
    return float(((sums**2).sum(axis=1) / np.bincount(label)).sum())
