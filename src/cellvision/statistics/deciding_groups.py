"""How many groups would decide an open comparison with a control, and which finding they show."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

from cellvision.statistics.intervals import Interval

_FARTHEST = 10
"""Beyond so many times the groups, the extrapolation says nothing but "many more"."""


@dataclass(frozen=True)
class DecidingGroups:
    """Numbers of groups that would decide a comparison at the difference that was found.

    Attributes
    ----------
    more : int or None
        About how many groups would show that the network does more; None if it is not better, in
        the two decimals that are printed, or if the number is beyond ten times the groups.
    no_more : int or None
        About how many would show that it does no more; None if the difference is not below the
        margin, or if the number is beyond ten times the groups.
    noun : {"groups", "images"}
        What is counted: images if groups are unknown.
    """

    more: int | None
    no_more: int | None
    noun: Literal["groups", "images"]

    @property
    def fewest(self) -> int | None:
        """The smaller of both numbers; None if both are None."""
        return min((n for n in (self.more, self.no_more) if n is not None), default=None)

    def finding(self, groups: int) -> Literal["more", "no more"]:
        """Return what so many groups would show, of at least `fewest`.

        A small difference is first shown to be within the margin. Many more groups show that it
        is above 0, which decides.
        """
        return "more" if self.more is not None and groups >= self.more else "no more"


def plan_comparison(difference: Interval, equivalence: Interval, margin: float) -> DecidingGroups:
    """Plan both findings, as widths shrink with the root of the number of groups.

    Parameters
    ----------
    difference, equivalence
        95 % and 90 % interval of the network's accuracy minus the control's.
    margin
        Difference below which the network does no more.
    """
    gap, groups = difference.estimate, difference.groups or difference.n

    def number(width: float, distance: float) -> int | None:
        needed = ceil(groups * (width / distance) ** 2)
        return needed if needed <= _FARTHEST * groups else None

    return DecidingGroups(
        number(gap - difference.low, gap) if round(gap, 2) > 0 else None,
        number(equivalence.high - gap, margin - gap) if gap < margin else None,
        "images" if difference.groups is None else "groups",
    )
