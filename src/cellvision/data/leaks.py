"""Units or images that stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cellvision import errors
from cellvision.data.catalog import Catalog, listed
from cellvision.data.image_stats import ImageStats, digests

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Leak:
    """Something that splits share and must not.

    Attributes
    ----------
    kind : {"shared_group", "identical_pixels"}
        One unit in several splits, or one image.
    splits : tuple of str
        The splits that share it.
    files : tuple of str
        The images.
    """

    kind: Literal["shared_group", "identical_pixels"]
    splits: tuple[str, ...]
    files: tuple[str, ...]

    def __str__(self) -> str:
        what = {"shared_group": "the same unit", "identical_pixels": "identical images"}[self.kind]
        return f"{' and '.join(self.splits)} hold {what}: {listed(self.files, 4)}"

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {"kind": self.kind, "splits": list(self.splits), "files": list(self.files)}


def find_leaks(catalog: Catalog, stats: Sequence[ImageStats]) -> tuple[Leak, ...]:
    """List every unit and every image that occurs in more than one split.

    Parameters
    ----------
    catalog
        With splits.
    stats
        Of its images; only exactly equal pixels count as identical.
    """
    table = catalog.table
    found: list[Leak] = []
    if catalog.group_column is not None:
        found += _shared(table, table["group"], "shared_group")
    found += _shared(table, table["image"].map(digests(stats)), "identical_pixels")
    return tuple(found)


def _shared(
    table: pd.DataFrame, key: pd.Series, kind: Literal["shared_group", "identical_pixels"]
) -> list[Leak]:
    known = table.assign(_key=key).dropna(subset=["_key", "split"])
    shared = known[known.groupby("_key")["split"].transform("nunique") > 1]
    return [
        Leak(kind, tuple(sorted(set(rows["split"]))), tuple(rows["image"]))
        for _, rows in shared.groupby("_key", sort=False)
    ]


def raise_if_leaking(leaks: Sequence[Leak]) -> None:
    """Stop where there is a leak.

    Raises
    ------
    errors.LeakError
        Naming the first leaks and how many there are.
    """
    if not leaks:
        return
    shown = "\n  ".join(str(leak) for leak in leaks[:5])
    more = f"\n  and {len(leaks) - 5} more" if len(leaks) > 5 else ""
    raise errors.LeakError(
        f"{len(leaks)} leak(s) between splits, so scores would flatter:\n  {shown}{more}",
        "Move each unit and each image to one split; to go on all the same, with the leak "
        "stamped into every report: --set split.allow_leak=true",
    )
