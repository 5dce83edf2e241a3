"""Batches (plates, days): which classes each contains, and what that rules out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cellvision.data.catalog import Catalog
from cellvision.data.names import quote_list


@dataclass(frozen=True)
class BatchCounts:
    """How many groups of each class every batch contains.

    Attributes
    ----------
    column : str
        The provenance column that names the batch.
    counted : {"groups", "images"}
        What the counts count: images if groups are unknown.
    counts : dict
        Batch to class to count, zeros included.
    """

    column: str
    counted: Literal["groups", "images"]
    counts: dict[str, dict[str, int]]

    @property
    def single_class(self) -> tuple[str, ...]:
        """The batches that contain only one class."""
        return tuple(
            batch
            for batch, by_class in self.counts.items()
            if sum(count > 0 for count in by_class.values()) == 1
        )


def count_batches(catalog: Catalog) -> BatchCounts | None:
    """Count the groups of each class in each batch; None if batches are unknown."""
    if catalog.batch_column is None:
        return None
    table = catalog.table.dropna(subset=["batch"])
    key = "image" if catalog.group_column is None else "group"
    sizes = table.groupby(["batch", "label"])[key].nunique().to_dict()
    counts = {
        str(batch): {name: int(sizes.get((batch, name), 0)) for name in catalog.class_names}
        for batch in sorted(set(table["batch"]))
    }
    return BatchCounts(catalog.batch_column, "images" if key == "image" else "groups", counts)


def batch_warnings(batches: BatchCounts | None) -> list[str]:
    """Say where class cannot be told from batch, before any training.

    The statistics of batches (tests within batches, worst-batch accuracy) belong to
    `cellvision.statistics`; this only reads the table of counts.
    """
    if batches is None or len(batches.counts) < 2:
        return []
    single, total, column = batches.single_class, len(batches.counts), batches.column
    if not single:
        return []
    if len(single) == total:
        return [
            f"Every batch ({column}) contains only one class: whatever distinguishes the batches "
            f"also distinguishes the classes, so no result can separate class from {column}."
        ]
    return [
        f"{len(single)} of {total} batches ({column}) contain only one class "
        f"({quote_list(single, 3)}): there, class cannot be told from {column}."
    ]
