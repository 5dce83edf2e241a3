"""Leaks: groups or images that occur in more than one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue, TypeAdapter

from cellvision import errors
from cellvision.data.catalog import Catalog
from cellvision.data.groups import canonical_groups
from cellvision.data.image_stats import ImageStats, digests
from cellvision.data.names import quote_list
from cellvision.plurals import counted

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["shared_group", "identical_pixels"]


@dataclass(frozen=True)
class Leak:
    """A group or an image that several splits share.

    Attributes
    ----------
    kind : {"shared_group", "identical_pixels"}
        One group in several splits, or one image.
    splits : tuple of str
        The splits that share it.
    files : tuple of str
        The images.
    """

    kind: Kind
    splits: tuple[str, ...]
    files: tuple[str, ...]

    def __str__(self) -> str:
        what = {"shared_group": "the same group", "identical_pixels": "identical images"}
        return f"{' and '.join(self.splits)} share {what[self.kind]}: {quote_list(self.files, 4)}"

    @classmethod
    def from_json(cls, content: Mapping[str, JsonValue]) -> Leak:
        """Read what `to_json` wrote."""
        return TypeAdapter(cls).validate_python(content)

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values."""
        return {"kind": self.kind, "splits": [*self.splits], "files": [*self.files]}


def find_leaks(catalog: Catalog, stats: Sequence[ImageStats]) -> tuple[Leak, ...]:
    """Find every group and every image that occurs in more than one split.

    Parameters
    ----------
    catalog
        With splits.
    stats
        Statistics of its images. Images are identical if all pixels are equal; two spellings of
        one group (7 and 7.0, A01 and a1) are the same group.
    """
    table = catalog.table
    leaks: list[Leak] = []
    if catalog.group_column is not None:
        leaks += _shared(table, canonical_groups(table["group"]), "shared_group")
    leaks += _shared(table, table["image"].map(digests(stats)), "identical_pixels")
    return tuple(leaks)


def _shared(table: pd.DataFrame, key: pd.Series, kind: Kind) -> list[Leak]:
    known = table.assign(_key=key).dropna(subset=["_key", "split"])
    shared = known[known.groupby("_key")["split"].transform("nunique") > 1]
    return [
        Leak(kind, tuple(sorted(set(rows["split"]))), tuple(rows["image"]))
        for _, rows in shared.groupby("_key", sort=False)
    ]


def raise_if_leaking(leaks: Sequence[Leak]) -> None:
    """Raise if there is a leak.

    Raises
    ------
    errors.LeakError
        Names the first leaks and how many there are.
    """
    if not leaks:
        return
    shown = "\n  ".join(str(leak) for leak in leaks[:5])
    more = f"\n  and {len(leaks) - 5} more" if len(leaks) > 5 else ""
    raise errors.LeakError(
        f"{counted(len(leaks), 'leak')} between splits make scores optimistic:\n  {shown}{more}",
        "Move each group and each image into one split; to continue anyway, with the leak "
        "stated in every report: --set split.allow_leak=true",
    )
