"""The table of images, and the rules it must keep."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cellvision import errors

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.interfaces.dataset import Dataset

TRAINING = frozenset({"train", "training"})
"""Names by which a data set's own training split is known."""

VALIDATION = frozenset({"validation", "valid", "val"})
"""Names by which a data set's own validation split is known."""

_OWN = ("image", "label", "split", "group")

_NESTED_IN = {"well": "plate"}
"""Units whose names begin anew in each larger unit: every plate has a well B06."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """All images of a data set, with what is known of each.

    Attributes
    ----------
    table : pandas.DataFrame
        One row an image, in the order of the data set: ``image``, ``label``, ``split`` and
        ``group`` (None where unknown), then further provenance columns.
    class_names : tuple of str
        The classes, sorted; a class's number is its place here, in every split.
    group_column : str or None
        The provenance that names the independent unit; None where it is unknown.
    warnings : tuple of str
        What a reader of the results should know, a line each.
    left_out : dict
        Images that the data set has and that are not used, each with the reason.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    group_column: str | None
    warnings: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @classmethod
    def of(cls, dataset: Dataset) -> Catalog:
        """Ask a data set for its catalog, apply its settings and check every rule.

        Names of classes, splits and units count as equal where they look equal: blanks around
        them are dropped and letters with accents are composed (Unicode NFC).

        Raises
        ------
        errors.CatalogError
            A rule is broken; the message names the rows.
        errors.PluginContractError
            The data set gives no table of images.
        errors.CellvisionError
            The data set fails; its own error is chained.
        """
        table = _asked(dataset)
        _check_images(table)
        table = table.assign(image=table["image"].astype(str), label=_names(table["label"]))
        _check_labels(table)
        left_out: dict[str, str] = {}
        table = _of_classes(table, dataset.classes, left_out)
        table = table.assign(split=_names(table["split"]) if "split" in table.columns else None)
        table, group_column, warnings = _grouped(table, dataset.group, left_out)
        table = table[[*_OWN, *(name for name in table.columns if name not in _OWN)]]
        class_names = tuple(sorted(set(table["label"])))
        if len(class_names) < 2:
            raise errors.CatalogError(
                f"all {len(table)} images are of one class ({class_names[0]!r})",
                "There must be at least two classes to tell apart",
            )
        _check_splits(table)
        warnings += _alike(class_names)
        table = table.reset_index(drop=True)
        return cls(table, class_names, group_column, tuple(warnings), left_out)

    def take(self, keep: Sequence[bool]) -> Catalog:
        """The same catalog with some of its rows; no class may become empty."""
        table = self.table[list(keep)].reset_index(drop=True)
        gone = sorted(set(self.class_names) - set(table["label"]))
        if gone:
            raise errors.CatalogError(
                f"no image of class {gone[0]!r} is left",
                "Mend its files, or leave the class out (dataset.classes)",
            )
        return replace(self, table=table)

    @property
    def has_splits(self) -> bool:
        """Whether the data set names the splits itself."""
        return bool(self.table["split"].notna().any())

    def splits(self) -> tuple[str, ...]:
        """The splits that have images: training first, then validation, then the test sets."""
        names = [str(name) for name in dict.fromkeys(self.table["split"].dropna())]
        return tuple(sorted(names, key=lambda name: (is_test(name), not is_training(name), name)))

    def counts(self) -> dict[str, dict[str, int]]:
        """How many images each split has of each class; zeros are told."""
        found = self.table.groupby(["split", "label"]).size().to_dict()
        return {
            split: {name: int(found.get((split, name), 0)) for name in self.class_names}
            for split in self.splits()
        }


def is_training(split: str) -> bool:
    """Whether a split of this name is trained on."""
    return split.casefold() in TRAINING


def is_validation(split: str) -> bool:
    """Whether a split of this name is looked at while training."""
    return split.casefold() in VALIDATION


def is_test(split: str) -> bool:
    """Whether a split of this name is a test set: neither training nor validation."""
    return not is_training(split) and not is_validation(split)


def listed(values: Sequence[str], most: int = 5) -> str:
    """A few values, quoted, and how many more there are."""
    shown = ", ".join(repr(value) for value in values[:most])
    return f"{shown} and {len(values) - most} more" if len(values) > most else shown


def _rows(mask: pd.Series) -> str:
    """Row numbers as a reader of a CSV counts them, the header being row 1."""
    return "row(s) " + ", ".join(str(row + 2) for row in mask[mask].index[:10])


def _asked(dataset: Dataset) -> pd.DataFrame:
    """What a data set lists, where that is a table of images with labels."""
    import pandas as pd

    kind = type(dataset).__name__
    try:
        given: Any = dataset.catalog()
    except errors.CellvisionError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise errors.CellvisionError(
            f"data set {kind} cannot list its images: {type(error).__name__}: {first}",
            "--debug shows where; tell its author, unless a setting or a file explains it",
        ) from error
    if not isinstance(given, pd.DataFrame):
        raise errors.PluginContractError(
            f"data set {kind}: catalog() gave {type(given).__name__}, not a pandas.DataFrame",
            "Its author can check it with cellvision.testing",
        )
    if given.empty:
        raise errors.CatalogError(
            "the data set holds no images",
            "Expected FOLDER/<class>/* or FOLDER/<split>/<class>/*",
        )
    table = given.reset_index(drop=True).rename(columns=str)
    missing = [name for name in ("image", "label") if name not in table.columns]
    twice = list(table.columns[table.columns.duplicated()])
    if missing or twice:
        raise errors.CatalogError(
            f"the catalog has no column {missing[0]!r}"
            if missing
            else f"the catalog has the column {twice[0]!r} twice",
            "A data set's catalog() gives the columns image and label, and any others once",
        )
    return table


def _names(column: pd.Series) -> pd.Series:
    """Names as text, one spelling for what looks alike; None where there is none."""

    def name(value: Any) -> str | None:
        return unicodedata.normalize("NFC", str(value)).strip() or None

    known = column.notna()
    # Not astype(str), which would turn what is missing into a word in some versions of pandas.
    return column.astype(object).where(known, "").map(name).astype(object)


def _alike(class_names: Sequence[str]) -> list[str]:
    """Classes that a slip of the shift key may have torn apart."""
    folded: dict[str, list[str]] = {}
    for name in class_names:
        folded.setdefault(name.casefold(), []).append(name)
    return [
        f"Classes {listed(names)} differ in capital letters only: are they one class?"
        for names in folded.values()
        if len(names) > 1
    ]


def _check_images(table: pd.DataFrame) -> None:
    nameless = table["image"].isna() | (table["image"].astype(str) == "")
    if nameless.any():
        raise errors.CatalogError(
            f"{int(nameless.sum())} image(s) have no id ({_rows(nameless)})",
            "Give each image an id, such as its file's path",
        )
    repeated = table["image"].astype(str).duplicated(keep=False)
    if repeated.any():
        ids = list(dict.fromkeys(table.loc[repeated, "image"].astype(str)))
        raise errors.CatalogError(
            f"{len(ids)} image id(s) occur more than once: {listed(ids)} ({_rows(repeated)})",
            "List each image once",
        )


def _check_labels(table: pd.DataFrame) -> None:
    blank = table["label"].isna()
    if blank.any():
        raise errors.CatalogError(
            f"{int(blank.sum())} image(s) have no label: "
            f"{listed(list(table.loc[blank, 'image']))} ({_rows(blank)})",
            "Give each image the name of its class, or leave it out",
        )


def _of_classes(
    table: pd.DataFrame, classes: tuple[str, ...] | None, left_out: dict[str, str]
) -> pd.DataFrame:
    if classes is None:
        return table
    if not classes:
        raise errors.CatalogError(
            "dataset.classes names no class", f"Classes: {', '.join(sorted(set(table['label'])))}"
        )
    classes = tuple(unicodedata.normalize("NFC", name).strip() for name in classes)
    there = set(table["label"])
    empty = [name for name in classes if name not in there]
    if empty:
        raise errors.CatalogError(
            f"dataset.classes names {listed(empty)}, of which there is no image",
            f"Classes: {', '.join(sorted(set(table['label'])))}",
        )
    wanted = table["label"].isin(classes)
    for image, label in zip(table["image"][~wanted], table["label"][~wanted], strict=True):
        left_out[image] = f"class {label!r} is not among dataset.classes"
    return table[wanted]


def _grouped(
    table: pd.DataFrame, group: str | tuple[str, ...] | None, left_out: dict[str, str]
) -> tuple[pd.DataFrame, str | None, list[str]]:
    """Fill the column ``group`` from the provenance that names the unit."""
    if group is None:
        if "group" in table.columns and _names(table["group"]).notna().any():
            table, warnings = _known(table, ["group"], left_out)
            return table, "group", warnings
        spare = [name for name in table.columns if name not in _OWN]
        hint = f"; columns that may tell: {', '.join(spare)}" if spare else ""
        warning = (
            "The unit that each image came from (field, well, slide, donor) is unknown: images "
            f"are taken as independent and accuracies may flatter (set dataset.group{hint})."
        )
        return table.assign(group=None), None, [warning]
    columns = [group] if isinstance(group, str) else list(group)
    if not columns:
        raise errors.CatalogError("dataset.group names no column", "Name one, or leave it out")
    # A class or a split is no unit, whatever the table's column says.
    missing = [name for name in columns if name not in table.columns or name in ("label", "split")]
    if missing:
        known = [name for name in table.columns if name not in ("image", "label", "split")]
        raise errors.CatalogError(
            f"dataset.group names {missing[0]!r}, which is no provenance column",
            f"Provenance columns: {', '.join(known)}"
            if known
            else "There are none: put a groups.csv with a column 'file' beside the classes",
        )
    outer = _NESTED_IN.get(columns[-1])
    if outer in table.columns and outer not in columns:
        columns.insert(len(columns) - 1, str(outer))
    table, warnings = _known(table, columns, left_out)
    joined = table[columns[0]]
    for name in columns[1:]:
        joined = joined + "/" + table[name]
    name = group if isinstance(group, str) else "+".join(group)
    return table.assign(group=joined), name, warnings


def _known(
    table: pd.DataFrame, columns: Sequence[str], left_out: dict[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """Leave out images whose unit is not known: they might be of a unit in another split."""
    table = table.assign(**{name: _names(table[name]) for name in columns})
    known = table[list(columns)].notna().all(axis=1)
    if known.all():
        return table, []
    name = "+".join(columns)
    images = list(table["image"][~known])
    gone = sorted(set(table["label"]) - set(table["label"][known]))
    if gone:
        raise errors.CatalogError(
            f"no image of class {gone[0]!r} has a {name!r}: {listed(images)} ({_rows(~known)})",
            f"Complete the column {name!r}, or leave the class out (dataset.classes)",
        )
    left_out.update(dict.fromkeys(images, f"its {name} is not known"))
    warning = (
        f"{len(images)} image(s) are left out, for their {name} is not known and might be in "
        f"two splits: {listed(images, 2)}."
    )
    return table[known], [warning]


def _check_splits(table: pd.DataFrame) -> None:
    named = table["split"].notna()
    if not named.any():
        return
    if not named.all():
        raise errors.CatalogError(
            f"{int((~named).sum())} image(s) have no split while others do: "
            f"{listed(list(table.loc[~named, 'image']))} ({_rows(~named)})",
            "Name the split of every image, or of none",
        )
    names = sorted(set(table["split"].astype(str)))
    training = [name for name in names if is_training(name)]
    if len(training) != 1:
        raise errors.CatalogError(
            f"the splits are {', '.join(names)}: "
            + ("two of them are for training" if training else "none of them is called 'train'"),
            "Call one 'train' and, if you like, one 'validation'; the others are test sets",
        )
    if sum(is_validation(name) for name in names) > 1:
        raise errors.CatalogError(
            f"the splits are {', '.join(names)}: two of them are for validation",
            "Call one 'validation'; the others are test sets",
        )
    taught = set(table.loc[table["split"] == training[0], "label"])
    for name in names:
        here = table[table["split"] == name]
        unknown = sorted(set(here["label"]) - taught)
        if unknown:
            images = list(here.loc[here["label"].isin(unknown), "image"])
            raise errors.CatalogError(
                f"split {name!r} has class {listed(unknown)}, which {training[0]!r} has not "
                f"({listed(images)})",
                "Classes are matched by name: spell them alike in every split",
            )
