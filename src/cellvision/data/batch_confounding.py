"""Batches (plates, days): which classes each contains, and what that rules out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cellvision.data.catalog import Catalog
from cellvision.data.names import quote_list
from cellvision.plurals import agreed
from cellvision.statistics import batch_table

ASSOCIATED = 0.05
"""p-value below which class and batch count as associated."""


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
    """Say where class cannot be told from batch, before any training."""
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
    contain = agreed(len(single), "contains")
    return [
        f"{len(single)} of {total} batches ({column}) {contain} only one class "
        f"({quote_list(single, 3)}): there, class cannot be told from {column}."
    ]


def association_warnings(catalog: Catalog) -> list[str]:
    """Say how much the batch alone tells of the class, if that is more than chance."""
    if catalog.batch_column is None:
        return []
    rows = catalog.table.dropna(subset=["batch"])
    if rows["batch"].nunique() < 2 or rows["label"].nunique() < 2:
        return []
    groups = None if catalog.group_column is None else rows["group"].to_numpy()
    table = batch_table(
        rows["label"].to_numpy(), rows["batch"].to_numpy(), groups, name=catalog.batch_column
    )
    if table.p > ASSOCIATED:
        return []
    return [
        f"Class and {catalog.batch_column} go together (Cramér's V {table.cramers_v:.2f}, "
        f"p = {table.p:.2g}): naming the commonest class of the {catalog.batch_column} has a "
        f"balanced accuracy of {table.naming_balanced_accuracy:.2f} on groups left out."
    ]
