"""Check a table of images against the rules of catalogs; errors name the rows at fault."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.csv_cells import compose_name
from cellvision.data.names import quote_list, visible_name
from cellvision.data.split_names import is_training, is_validation
from cellvision.plurals import counted

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.interfaces.dataset import Dataset


def read_table(dataset: Dataset) -> pd.DataFrame:
    """Return a data set's catalog; raise an error unless it is a table."""
    import pandas as pd

    def origin() -> str:
        return dataset.registry.origin_of(type(dataset))  # looks at every installed distribution

    try:
        catalog: Any = dataset.catalog()
    except errors.CellvisionError:
        raise
    except OSError as error:
        raise errors.FolderError(
            f"{origin()} cannot list its images: {errors.summarize(error)}",
            "Check the paths in its settings",
        ) from error
    except (Exception, SystemExit) as error:
        raise errors.CellvisionError(
            f"{origin()} cannot list its images: {errors.summarize(error)}",
            "Run again with --debug for the traceback, and report it to the plugin's author "
            "unless a setting or a file explains it",
        ) from error
    if not isinstance(catalog, pd.DataFrame):
        raise errors.PluginContractError(
            f"{origin()}: catalog() returned {type(catalog).__name__}, not a pandas.DataFrame",
            "The plugin's author can check it with cellvision.testing",
        )
    return catalog.reset_index(drop=True).rename(columns=lambda name: compose_name(str(name)))


@contextmanager
def naming(dataset: Dataset) -> Iterator[None]:
    """Name the data set in errors about the table that its ``catalog()`` returned."""
    try:
        yield
    except errors.CatalogError as error:
        origin = dataset.registry.origin_of(type(dataset))
        raise errors.CatalogError(f"{origin}: {error.what}", error.hint) from None


def check_columns(table: pd.DataFrame) -> None:
    """Raise an error unless a catalog has rows, the columns image and label, and none twice."""
    if table.empty:
        raise errors.CatalogError(
            "the data set contains no images",
            "Check the paths in its settings; its author can test it: cellvision check",
        )
    missing = [name for name in ("image", "label") if name not in table.columns]
    repeated = list(table.columns[table.columns.duplicated()])
    if missing or repeated:
        raise errors.CatalogError(
            f"the catalog has no column {missing[0]!r}"
            if missing
            else f"the catalog has the column {repeated[0]!r} more than once",
            "A data set's catalog() must return the columns image and label, and no column twice",
        )


def check_cells(table: pd.DataFrame) -> None:
    """Raise an error if a provenance column holds lists or tables, which no results can record."""
    for name in table.columns:
        if name in ("image", "label") or table[name].dtype != object:
            continue
        kinds = set(map(type, table[name]))
        wrong = [cls for cls in kinds if issubclass(cls, Iterable) and not issubclass(cls, str)]
        for image, value in zip(table["image"], table[name], strict=True) if wrong else ():
            if isinstance(value, tuple(wrong)):
                raise errors.CatalogError(
                    f"the column {name!r} of {str(image)!r} is {value!r:.80}, a "
                    f"{type(value).__name__}",
                    "Return text, numbers or dates in provenance columns",
                )


def check_images(table: pd.DataFrame) -> None:
    """Raise an error unless every image has a unique id."""
    nameless = table["image"].isna() | (table["image"].astype(str) == "")
    if nameless.any():
        raise errors.CatalogError(
            f"{counted(int(nameless.sum()), 'image', 'has')} no id ({_rows(nameless)})",
            "Give each image an id, such as its file's path",
        )
    repeated = table["image"].astype(str).duplicated(keep=False)
    if repeated.any():
        ids = list(dict.fromkeys(table.loc[repeated, "image"].astype(str)))
        raise errors.CatalogError(
            f"{counted(len(ids), 'image id', 'occurs')} more than once: {quote_list(ids)} "
            f"({_rows(repeated)})",
            "List each image once",
        )


def check_label_types(table: pd.DataFrame) -> None:
    """Raise an error unless every label is text, a whole number or a truth value."""
    import numpy as np

    names = (str, int, np.integer, np.bool_)
    for image, label in zip(table["image"], table["label"], strict=True):
        if not (isinstance(label, names) or _is_missing(label)):
            raise errors.CatalogError(
                f"the label of {str(image)!r} is {label!r}, a {type(label).__name__}: no name of "
                "a class",
                "Return text, or whole numbers; an image has one class",
            )


def _is_missing(label: object) -> bool:
    import pandas as pd

    is_nan = isinstance(label, float) and label != label
    return label is None or is_nan or label is pd.NA or label is pd.NaT


def check_labels(table: pd.DataFrame) -> None:
    """Raise an error unless every image has a label."""
    blank = table["label"].isna()
    if blank.any():
        raise errors.CatalogError(
            f"{counted(int(blank.sum()), 'image', 'has')} no label: "
            f"{quote_list(list(table.loc[blank, 'image']))} ({_rows(blank)})",
            "Give each image the name of its class, or leave it out",
        )


def check_classes(table: pd.DataFrame, class_names: Sequence[str]) -> None:
    """Raise an error if there are fewer than two classes."""
    if len(class_names) < 2:
        raise errors.CatalogError(
            f"all {len(table)} images are of class {class_names[0]!r}",
            "A classifier needs at least two classes",
        )


def check_known_classes(table: pd.DataFrame, known: Sequence[str]) -> None:
    """Raise an error if images are of a class that a network does not know."""
    unknown = table["label"][~table["label"].isin(known)]
    if len(unknown):
        names = list(dict.fromkeys(unknown))
        classes = "class" if len(names) == 1 else "classes"
        raise errors.CatalogError(
            f"the network does not know the {classes} {quote_list(names)} "
            f"({counted(len(unknown), 'image')}); it knows {quote_list(known)}",
            "Name the classes as in the training, and leave out images of others",
        )


def select_classes(
    table: pd.DataFrame, classes: tuple[str, ...] | None, left_out: dict[str, str]
) -> pd.DataFrame:
    """Keep the classes in ``dataset.classes``; add the images of others to `left_out`."""
    if classes is None:
        return table
    available = ", ".join(sorted(set(table["label"])))
    if not classes:
        raise errors.CatalogError("dataset.classes names no class", f"Classes: {available}")
    classes = tuple(unicodedata.normalize("NFC", name).strip() for name in classes)
    empty = [name for name in classes if name not in set(table["label"])]
    if empty:
        raise errors.CatalogError(
            f"dataset.classes names {quote_list(empty)}, which has no images",
            f"Classes: {available}",
        )
    selected = table["label"].isin(classes)
    for image, label in zip(table["image"][~selected], table["label"][~selected], strict=True):
        left_out[image] = f"class {label!r} is not in dataset.classes"
    return table[selected]


def case_warnings(class_names: Sequence[str]) -> list[str]:
    """Warn of classes whose names differ only in case, or in characters that nobody sees."""
    by_case: dict[str, list[str]] = {}
    by_look: dict[str, set[str]] = {}
    for name in class_names:
        by_case.setdefault(name.casefold(), []).append(name)
        by_look.setdefault(visible_name(name), set()).add(name.casefold())
    warnings = [
        f"Classes {quote_list(names)} differ only in upper and lower case: are they one class?"
        for names in by_case.values()
        if len(names) > 1
    ]
    warnings += [
        f"Classes {quote_list(sorted(names))} look alike: are they one class?"
        for names in by_look.values()
        if len(names) > 1
    ]
    return warnings


def drop_unknown_groups(
    table: pd.DataFrame, name: str, left_out: dict[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """Leave out images without a group, which could belong to a group of another split."""
    known = table["group"].notna()
    if known.all():
        return table, []
    images = list(table["image"][~known])
    empty = sorted(set(table["label"]) - set(table["label"][known]))
    if empty:
        raise errors.CatalogError(
            f"no image of class {empty[0]!r} has a {name!r}: "
            f"{quote_list(images)} ({_rows(~known)})",
            f"Complete the column {name!r}, or leave the class out (dataset.classes)",
        )
    left_out.update(dict.fromkeys(images, f"its {name} is unknown"))
    warning = (
        f"{counted(len(images), 'image', 'is')} left out because the {name} is unknown, so that a "
        f"group could be in two splits: {quote_list(images, 2)}."
    )
    return table[known], [warning]


def check_splits(table: pd.DataFrame) -> None:
    """Raise an error unless all images or none have a split, with one for training."""
    named = table["split"].notna()
    if not named.any():
        return
    if not named.all():
        raise errors.CatalogError(
            f"{counted(int((~named).sum()), 'image', 'has')} no split while others do: "
            f"{quote_list(list(table.loc[~named, 'image']))} ({_rows(~named)})",
            "Give every image a split, or none",
        )
    names = sorted(set(table["split"].astype(str)))
    training = [name for name in names if is_training(name)]
    if len(training) != 1:
        raise errors.CatalogError(
            f"the splits are {', '.join(names)}: "
            + ("two of them are for training" if training else "none is called 'train'"),
            "Call one 'train' and optionally one 'validation'; the others are test sets",
        )
    if sum(is_validation(name) for name in names) > 1:
        raise errors.CatalogError(
            f"the splits are {', '.join(names)}: two of them are for validation",
            "Call one 'validation'; the others are test sets",
        )
    _check_split_classes(table, names, training[0])


def _check_split_classes(table: pd.DataFrame, splits: Sequence[str], training: str) -> None:
    """Raise an error if a split has a class that the training split lacks."""
    trained = set(table.loc[table["split"] == training, "label"])
    spelling = {name.casefold(): name for name in trained}
    for split in splits:
        rows = table[table["split"] == split]
        unknown = sorted(set(rows["label"]) - trained)
        if unknown:
            images = list(rows.loc[rows["label"].isin(unknown), "image"])
            raise errors.CatalogError(
                f"split {split!r} has class {quote_list(unknown)}, which {training!r} lacks "
                f"({quote_list(images)})",
                f"Classes are matched by name, and those of {training!r} are "
                f"{quote_list(sorted(trained))}: {_respelling(unknown, spelling)}",
            )


def _respelling(unknown: Sequence[str], spelling: Mapping[str, str]) -> str:
    """Say which classes to rename; `spelling` maps names without capitals to those trained on."""
    renamed = [
        f"{name!r} to {spelling[name.casefold()]!r}"
        for name in unknown
        if name.casefold() in spelling
    ]
    return f"rename {', '.join(renamed)}" if renamed else "spell them alike in every split"


def _rows(mask: pd.Series) -> str:
    """Format row numbers as in a CSV file, whose header is row 1."""
    rows = [str(row + 2) for row in mask[mask].index[:10]]
    return f"row{'s' if len(rows) != 1 else ''} {', '.join(rows)}"
