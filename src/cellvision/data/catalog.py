"""The table of images: labels, splits, groups and batches, checked against the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cellvision import errors, notebook_html
from cellvision.data import catalog_rules as rules
from cellvision.data import groups
from cellvision.data.names import normalize_names
from cellvision.data.split_names import is_test, is_training, is_validation
from cellvision.plurals import counted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision.interfaces.dataset import Dataset

__all__ = ["Catalog", "is_test", "is_training", "is_validation"]

GROUPS_UNKNOWN = "Groups (field, well, slide, donor) are unknown"
"""Beginning of the warning about images without groups."""

_COLUMNS = ("image", "label", "split", "group", "batch")


@dataclass(frozen=True, eq=False)
class Catalog:
    """All images of a data set and what is known about each.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per image, in the order of the data set: ``image``, ``label``, ``split``,
        ``group`` and ``batch`` (None where unknown), then all further provenance columns.
    class_names : tuple of str
        The classes, sorted; the number of a class is its position here, in every split.
    group_column : str or None
        The provenance column that names the group; None if groups are unknown.
    batch_column : str or None
        The provenance column that names the batch; None if batches are unknown.
    warnings : tuple of str
        What a reader of the results should know, one line each.
    left_out : dict
        Images of the data set that are not used, each with the reason.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    group_column: str | None
    batch_column: str | None = None
    warnings: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        known = {"groups": self.group_column, "batches": self.batch_column}
        columns = "".join(f", {kind} by {name}" for kind, name in known.items() if name)
        return (
            f"<Catalog: {counted(len(self), 'image')} of {len(self.class_names)} classes{columns}>"
        )

    def _repr_html_(self) -> str:
        pairs = (
            ("Images", len(self)),
            ("Classes", ", ".join(self.class_names)),
            ("Groups", self.group_column or "unknown"),
            ("Batches", self.batch_column or "unknown"),
            ("Left out", len(self.left_out) or None),
        )
        shown = self.table.dropna(axis="columns", how="all").head(5)
        return notebook_html.document(
            "Catalog",
            notebook_html.facts(pairs),
            notebook_html.table(list(shown.columns), shown.to_numpy().tolist(), "First images"),
            notebook_html.notes("Warnings", self.warnings),
        )

    @classmethod
    def of(cls, dataset: Dataset, known_classes: tuple[str, ...] | None = None) -> Catalog:
        """Read a data set's catalog, apply its settings and check every rule.

        Names of classes, splits, groups and batches are equal if they look equal: surrounding
        blanks are removed and accented letters composed (Unicode NFC).

        Parameters
        ----------
        dataset
            The data set.
        known_classes
            The classes of a trained network, for images to score it on: some classes may have no
            images, others are an error, and no split needs to be for training. None for images to
            train on.

        Raises
        ------
        errors.CatalogError
            A rule is broken; the message names the rows, and the data set if its table is wrong.
        errors.PluginContractError
            The data set does not return a table of images.
        errors.CellvisionError
            The data set fails; its own error is chained.
        """
        table = rules.read_table(dataset)
        with rules.naming(dataset):
            rules.check_columns(table)
            rules.check_images(table)
            rules.check_label_types(table)
            rules.check_cells(table)
        table = table.assign(
            image=table["image"].astype(str), label=normalize_names(table["label"])
        )
        rules.check_labels(table)
        left_out: dict[str, str] = {}
        table = rules.select_classes(table, dataset.classes, left_out)
        if known_classes is not None:
            rules.check_known_classes(table, known_classes)
        has_split = "split" in table.columns
        table = table.assign(split=normalize_names(table["split"]) if has_split else None)
        group = groups.resolve(table, "group", dataset.group)
        batch = groups.resolve(table, "batch", dataset.batch)
        warnings = [*group.warnings, *batch.warnings]
        table = table.assign(group=group.names, batch=batch.names)
        if group.column is not None:
            table, more = rules.drop_unknown_groups(table, group.column, left_out)
            warnings = [*more, *warnings]
        warnings += _missing_batches(table, batch.column)
        if group.column is None:
            warnings.append(_unknown_groups(table))
        table = table[[*_COLUMNS, *(name for name in table.columns if name not in _COLUMNS)]]
        class_names = known_classes or tuple(sorted(set(table["label"])))
        if known_classes is None:
            rules.check_classes(table, class_names)
            rules.check_splits(table)
        warnings += rules.case_warnings(class_names)
        table = table.reset_index(drop=True)
        return cls(table, class_names, group.column, batch.column, tuple(warnings), left_out)

    def take(self, keep: Sequence[bool]) -> Catalog:
        """Return the catalog with some of its rows; no class may become empty."""
        table = self.table[list(keep)].reset_index(drop=True)
        empty = sorted(set(self.table["label"]) - set(table["label"]))
        if empty:
            raise errors.CatalogError(
                f"no image of class {empty[0]!r} is left",
                "Repair its files, or leave the class out (dataset.classes)",
            )
        return replace(self, table=table)

    def linked_groups(self, digests: Mapping[str, str]) -> np.ndarray:
        """Number what a split must keep together; see `cellvision.Split.linked_groups`."""
        from cellvision.data.split import Split

        return Split.linked_groups(self.table, digests)

    @property
    def has_splits(self) -> bool:
        """Whether the data set names the splits itself."""
        return bool(self.table["split"].notna().any())

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have images: training, then validation, then the test sets."""
        names = [str(name) for name in dict.fromkeys(self.table["split"].dropna())]
        return tuple(sorted(names, key=lambda name: (is_test(name), not is_training(name), name)))

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of images per split and class, zeros included."""
        sizes = self.table.groupby(["split", "label"]).size().to_dict()
        return {
            split: {name: int(sizes.get((split, name), 0)) for name in self.class_names}
            for split in self.splits()
        }

    def group_counts(self) -> dict[str, int]:
        """Return the number of groups per split; of images if groups are unknown."""
        key = "image" if self.group_column is None else "group"
        return {
            split: int(self.table.loc[self.table["split"] == split, key].nunique())
            for split in self.splits()
        }


def _unknown_groups(table: pd.DataFrame) -> str:
    columns = [
        name
        for name in table.columns
        if name not in _COLUMNS and list(table[name]) != list(table["label"])
    ]
    hint = f"; columns that may name it: {', '.join(columns)}" if columns else ""
    return (
        f"{GROUPS_UNKNOWN}: images are treated as independent, so accuracies may be optimistic "
        f"(set dataset.group{hint})."
    )


def _missing_batches(table: pd.DataFrame, column: str | None) -> list[str]:
    """Count the images without a batch, except those that are left out anyway."""
    missing = int(table["batch"].isna().sum())
    if column is None or not missing:
        return []
    return [f"{counted(missing, 'image', 'has')} no batch (column {column!r})."]
