"""Which group (well, donor, ...) each image to predict belongs to, and answers for groups."""

from __future__ import annotations

import csv
import logging
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from itertools import dropwhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.csv_cells import (
    compose_name,
    missing_column,
    most_frequent_delimiter,
    unescape_cell,
)
from cellvision.data.folder_walk import printable
from cellvision.data.groups import NESTED_IN, resolve
from cellvision.data.names import canonical_name, is_missing, normalize_name, quote_list
from cellvision.inference.image_search import ImageFile
from cellvision.plurals import abbreviated, agreed, counted

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.inference.trust import PredictionTrust
    from cellvision.interfaces.dataset import Dataset

_TIE = 1e-9
"""Mean probabilities that differ less are equal."""

_TABLES = ("groups.csv", "manifest.csv")

_log = logging.getLogger(__name__)


def file_groups(
    images: Sequence[ImageFile],
    column: str,
    is_skipped: Callable[[str], bool] = lambda _: False,
) -> dict[str, str]:
    """Look up the group of each image in the provenance tables beside and above it.

    A table ``groups.csv`` or ``manifest.csv`` has a column ``file``, relative to its folder.
    Without such a table, the column ``folder`` means the folder that the image is in. Wells of
    different plates differ: ``well`` becomes ``plate/well`` in a table with a column ``plate``.

    Parameters
    ----------
    images
        The images.
    column
        Name of the column.
    is_skipped
        Whether an image, by its name, is left out and so needs no group. Called for images
        without a group.

    Returns
    -------
    dict
        The group by name of the image.

    Raises
    ------
    errors.CatalogError
        No table has the column, or it lacks images.
    """
    column = compose_name(column)
    tables: dict[Path, dict[str, str]] = {}
    groups = {}
    for image in images:
        group = _look_up(image, column, tables)
        if group is None and column == "folder":
            group = printable(image.path.parent)
        if group is not None:
            groups[image.name] = group
    hint = next(filter(None, (_other_columns(table, column) for table in tables)), "")
    names = [image.name for image in images]
    _raise_if_missing(names, groups, column, is_skipped, hint)
    return groups if column == "folder" else _one_spelling(groups, column)


def dataset_groups(
    dataset: Dataset, column: str, is_skipped: Callable[[str], bool] = lambda _: False
) -> dict[str, str]:
    """Return the group of each image of a data set from a column of its catalog.

    Parameters
    ----------
    dataset
        The data set.
    column
        Name of the column.
    is_skipped
        As for `file_groups`.

    Raises
    ------
    errors.CatalogError
        The catalog has no such column, or it lacks images.
    """
    column = compose_name(column)
    table = dataset.catalog().rename(columns=lambda name: compose_name(str(name)))
    if column not in table.columns or column in ("image", "label", "split"):
        raise errors.CatalogError(
            f"the data set {missing_column(column, [str(name) for name in table.columns])}",
            "Name one of them.",
        )
    names = resolve(table, "group", column).names
    groups = dict(zip(table["image"][names.notna()], names.dropna(), strict=True))
    _raise_if_missing(list(table["image"]), groups, column, is_skipped)
    return _one_spelling(groups, column)


def _raise_if_missing(
    names: Sequence[str],
    groups: Mapping[str, str],
    column: str,
    is_skipped: Callable[[str], bool],
    hint: str = "",
) -> None:
    without = (name for name in names if name not in groups)
    missing = list(dropwhile(is_skipped, without))  # the first one that is used is enough
    if missing:
        raise errors.CatalogError(
            f"{len(missing)} of {counted(len(names), 'image')} {agreed(len(missing), 'has')} no "
            f"{column!r}, such as {missing[0]}",
            hint or f"Add groups.csv with the columns file,{column} to the folder of images.",
        )


def _look_up(image: ImageFile, column: str, tables: dict[Path, dict[str, str]]) -> str | None:
    """Look in the tables of the image's folder and of those above, up to two above the root."""
    path = image.path.absolute()
    outermost = [image.root.absolute(), *image.root.absolute().parents][:3][-1]
    for folder in path.parents:
        for name in _TABLES:
            table = folder / name
            if table not in tables:
                tables[table] = _read(table, column)
            group = tables[table].get(_key(path.relative_to(folder).as_posix()))
            if group:
                return group
        if folder == outermost:
            break
    return None


def _other_columns(table: Path, column: str) -> str:
    """Say that a table lacks `column` or `file`, with the columns that it has; empty if not."""
    if not table.is_file():
        return ""
    with table.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
    names = next(csv.reader([first], delimiter=most_frequent_delimiter(first)), [])
    names = [compose_name(name).strip() for name in names]
    for name in ("file", column):
        if name not in names:
            return f"{table} {missing_column(name, names)}."
    return ""


def _read(table: Path, column: str) -> dict[str, str]:
    """Read one column of a provenance table by file; empty if it has no such column."""
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = most_frequent_delimiter(first)
            rows = csv.DictReader(file, delimiter=delimiter, strict=True)
            rows.fieldnames = [compose_name(name).strip() for name in rows.fieldnames or ()]
            if not {"file", column} <= set(rows.fieldnames or ()):
                return {}
            parent = NESTED_IN.get(column)
            nested = parent is not None and parent in (rows.fieldnames or ())
            return {
                _key(unescape_cell(str(row["file"]))): _name(
                    row[column], row[parent] if nested else None
                )
                for row in rows
            }
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise errors.CatalogError(
            f"{table}: cannot be read: {error}", "Correct the table."
        ) from error


def _key(file: str) -> str:
    """Normalise a path as the data sets do: forward slashes, composed accents, no leading './'."""
    slashed = unicodedata.normalize("NFC", file.strip().replace("\\", "/"))
    return PurePosixPath(slashed).as_posix()


def _name(value: str | None, parent: str | None) -> str:
    """Return the name of a group, within its parent if there is one; empty if it is missing."""
    name = normalize_name(unescape_cell(value or ""))
    if name is None or is_missing(name):
        return ""
    above = normalize_name(unescape_cell(parent or ""))
    return name if above is None or is_missing(above) else f"{above}/{name}"


def _one_spelling(groups: Mapping[str, str], column: str) -> dict[str, str]:
    """Give all images of a group the spelling that comes first, and warn of others."""
    first: dict[str, str] = {}
    others: dict[str, set[str]] = {}
    for group in groups.values():
        name = first.setdefault(canonical_name(group), group)
        if name != group:
            others.setdefault(name, set()).add(group)
    for name, spellings in others.items():
        _log.warning(
            "column %r contains %s, which look like spellings of one name: they are averaged as "
            "one group. If they are not one, correct the table.",
            column,
            quote_list([name, *sorted(spellings)]),
        )
    return {image: first[canonical_name(group)] for image, group in groups.items()}


class GroupAnswers:
    """Averages the probabilities of the images of each group.

    Parameters
    ----------
    column
        Name of the column with the groups.
    groups
        The group of each image.
    class_names
        The classes, in the order of the probabilities.
    trust
        Adds its columns; None adds none.
    """

    def __init__(
        self,
        column: str,
        groups: Mapping[str, str],
        class_names: Sequence[str],
        trust: PredictionTrust | None = None,
    ) -> None:
        self.column = column
        self.groups = groups
        self._class_names = np.array(class_names, dtype=object)
        self._sums: dict[str, np.ndarray] = {}
        self._counts: dict[str, int] = {}
        self._trust = trust
        self._distances: dict[str, list[float]] = {}
        self._first: dict[tuple[str, str], str] = {}
        self._copies: list[str] = []

    def add(
        self,
        image: str,
        probabilities: np.ndarray,
        distance: float | None = None,
        digest: str | None = None,
    ) -> None:
        """Add an image.

        Parameters
        ----------
        image
            Its name.
        probabilities
            Of the classes.
        distance
            From the training images, if it is known.
        digest
            Of its pixels, by which copies are found; None if they are not looked for.
        """
        group = self.groups[image]
        if digest is not None:
            original = self._first.setdefault((group, digest), image)
            if original != image:
                self._copies.append(f"{original} = {image}")
        self._sums[group] = self._sums.get(group, 0.0) + probabilities.astype(np.float64)
        self._counts[group] = self._counts.get(group, 0) + 1
        if distance is not None:
            self._distances.setdefault(group, []).append(distance)

    def warnings(self) -> list[str]:
        """Return a line about identical images within groups, if there are any."""
        if not self._copies:
            return []
        return [
            f"{counted(len(self._copies), 'image', 'is')} identical to another one of "
            f"{'its' if len(self._copies) == 1 else 'their'} {self.column!r}, and counted again "
            f"in its mean: {abbreviated(self._copies)}. Remove copies."
        ]

    def table(self) -> pd.DataFrame:
        """Return one row per group: group, images, predicted, p_<class>...

        ``predicted`` is None if the two best classes tie.
        """
        import pandas as pd

        names = list(self._sums)
        means = np.stack([self._sums[name] / self._counts[name] for name in names])
        table = pd.DataFrame({self.column: names, "images": [self._counts[n] for n in names]})
        tied = (means >= means.max(axis=1, keepdims=True) - _TIE).sum(axis=1) > 1
        answers = self._class_names[means.argmax(axis=1)]
        answers[tied] = None
        table["predicted"] = answers
        for number, name in enumerate(self._class_names):
            table[f"p_{name}"] = means[:, number]
        if self._trust is not None and self._distances:
            distances = [self._distances[name] for name in names]
            table = table.assign(**self._trust.group_columns(distances))
        return table
