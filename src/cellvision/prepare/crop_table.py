"""A table of objects matched to images, and what it says about classes, groups and batches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellvision import errors
from cellvision.csv_cells import compose_name, missing_column
from cellvision.plurals import counted

from .object_tables import ObjectRow, read_objects
from .provenance import FIXED_COLUMNS, Provenance
from .sources import SourceImage, stem_and_suffix
from .warnings import warn


@dataclass(frozen=True)
class ColumnMapping:
    """Which columns of a table hold the class, the group, the batch and anything else of use.

    Attributes
    ----------
    label
        Column of the class, if crops are to be sorted by class.
    group, batch
        Columns that are joined with a slash.
    extra
        Columns that go into the manifest as they are.
    """

    label: str | None = None
    group: tuple[str, ...] = ()
    batch: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        label: str | None,
        group: Sequence[str],
        batch: Sequence[str],
        extra: Sequence[str],
    ) -> ColumnMapping:
        """Return the mapping of names as somebody types them: accents are composed."""
        several = (tuple(compose_name(name) for name in names) for names in (group, batch, extra))
        return cls(None if label is None else compose_name(label), *several)

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Every column that must be in the table."""
        label = () if self.label is None else (self.label,)
        return (*label, *self.group, *self.batch, *self.extra)


@dataclass(frozen=True)
class ObjectTable:
    """The rows of a table of objects.

    Attributes
    ----------
    path
        The file.
    rows
        One per object, in the order of the file.
    mapping
        Which columns mean what; `Metadata_*` columns are added to `extra`.
    folders
        Class to the name of its folder.
    digest
        Digest of the content, to notice a change when work resumes.
    """

    path: Path
    rows: Sequence[ObjectRow]
    mapping: ColumnMapping
    folders: Mapping[str, str]
    digest: str

    @classmethod
    def read(cls, path: Path, mapping: ColumnMapping, pixel_size: float | None) -> ObjectTable:
        """Read and check a table.

        Raises
        ------
        cellvision.errors.InvalidInput
            It cannot be read or lacks a column of `mapping`.
        """
        rows = read_objects(path, pixel_size)
        # Tables with several images may know more of some than of others.
        header = list(dict.fromkeys(column for row in rows for column in row.values))
        for column in mapping.all_columns:
            if column not in header:
                raise errors.InvalidInput(
                    f"{path} {missing_column(column, header)}", "Name one of its columns."
                )
        metadata = [name for name in header if name.casefold().startswith("metadata_")]
        extra = tuple(dict.fromkeys((*mapping.extra, *metadata)))
        roles = {role for role in ("group", "batch") if getattr(mapping, role)}
        if clashing := {*FIXED_COLUMNS, *roles} & set(extra):
            raise errors.InvalidInput(
                f"the manifest has its own column {min(clashing)}", "Leave it out of --columns."
            )
        mapping = ColumnMapping(mapping.label, mapping.group, mapping.batch, extra)
        rows = _with_class(path, rows, mapping.label)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        return cls(path, rows, mapping, _class_folders(path, rows, mapping.label), digest)

    @property
    def manifest_columns(self) -> tuple[str, ...]:
        """The columns that the manifest gets from this table."""
        roles = {"group": self.mapping.group, "batch": self.mapping.batch}
        return (*(role for role, columns in roles.items() if columns), *self.mapping.extra)

    def columns_of(self, row: ObjectRow) -> dict[str, str]:
        """Return a row's values for the manifest."""
        values = {column: row.values.get(column, "") for column in self.mapping.extra}
        for role in ("group", "batch"):
            parts = [row.values.get(column, "") for column in getattr(self.mapping, role)]
            if parts:
                # A group of which a part is unknown is unknown.
                values[role] = "/".join(parts) if all(parts) else ""
        return values

    def folder_of(self, row: ObjectRow) -> str | None:
        """Return the folder of a row's class, if the table tells classes."""
        label = self.mapping.label
        return None if label is None else self.folders[row.values[label]]

    def match(self, images: Sequence[SourceImage]) -> dict[str, list[ObjectRow]]:
        """Return the rows of every image, with numbers that are unique in it.

        Raises
        ------
        cellvision.errors.InvalidInput
            A row's name fits several images, or no row fits any.
        """
        matched: dict[str, list[ObjectRow]] = {image.name: [] for image in images}
        unmatched: dict[tuple[str, ...], int] = {}
        finder = _ImageFinder(self.path, images)
        for row in self.rows:
            image = finder.find(row)
            if image is None:
                unmatched[row.images] = unmatched.get(row.images, 0) + 1
            else:
                matched[image].append(row)
        if not any(matched.values()):
            first = next(iter(unmatched))
            raise errors.InvalidInput(
                f"{self.path}: no row names one of the images; the first names {first[0]}",
                f"The images are {', '.join(list(matched)[:3])} ...",
            )
        if unmatched:
            count, names = sum(unmatched.values()), next(iter(unmatched))
            warn(
                f"{self.path.name}: {counted(count, 'row')} of images that are not here, first: "
                f"{names[0]}"
            )
        empty = [name for name, rows in matched.items() if not rows]
        if empty:
            warn(
                f"{counted(len(empty), 'image')} without a row in {self.path.name}, first: "
                f"{empty[0]}"
            )
        return {name: _numbered(rows) for name, rows in matched.items()}

    def raise_if_contradicting(
        self, matched: Mapping[str, Iterable[ObjectRow]], provenance: Provenance
    ) -> None:
        """Check that the table and the source's own tables agree where both know something."""
        for name, rows in matched.items():
            known = provenance.rows.get(name, {})
            for row in rows:
                for column, value in self.columns_of(row).items():
                    if known.get(column) and value and known[column] != value:
                        raise errors.InvalidInput(
                            f"{name} has {column}={known[column]} in its folder's tables and "
                            f"{column}={value} in {self.path}, line {row.line}",
                            "Correct one of them.",
                        )


class _ImageFinder:
    """Finds images by the names that a table uses: a path, a file name or a name without suffix."""

    def __init__(self, table: Path, images: Sequence[SourceImage]) -> None:
        self._table = table
        self._images = images
        self._by_file: dict[str, list[SourceImage]] = {}
        self._by_stem: dict[str, list[SourceImage]] = {}
        for image in images:
            self._by_file.setdefault(image.path.name, []).append(image)
            self._by_stem.setdefault(image.stem, []).append(image)

    def find(self, row: ObjectRow) -> str | None:
        """Return the name of a row's image, or None if it is not here."""
        if not row.images:
            if len(self._images) > 1:
                raise errors.InvalidInput(
                    f"{self._table} does not say which image an object lies in",
                    "Add a column with the image's name, or crop one image at a time.",
                )
            return self._images[0].name
        for name in row.images:
            parts = name.strip().replace("\\", "/").split("/")
            stem = stem_and_suffix(parts[-1])[0]
            candidates = self._by_file.get(parts[-1]) or self._by_stem.get(stem, [])
            fitting = [image for image in candidates if _same_end(image.name, parts)]
            if len(fitting) > 1:
                raise errors.InvalidInput(
                    f"{self._table}, line {row.line}: {name} may be {fitting[0].name} or "
                    f"{fitting[1].name}",
                    "Write the image's path below the source folder.",
                )
            if fitting:
                return fitting[0].name
        return None


def _same_end(image: str, parts: Sequence[str]) -> bool:
    """Compare the folders of both names, as far as both have any, from the end."""
    folders, others = image.split("/")[-2::-1], list(parts)[-2::-1]
    return all(a == b for a, b in zip(folders, others, strict=False))


def _numbered(rows: Sequence[ObjectRow]) -> list[ObjectRow]:
    """Count the objects of an image anew if the table uses a number twice."""
    if len({row.number for row in rows}) == len(rows):
        return list(rows)
    return [
        ObjectRow(row.line, row.images, number, row.centre, row.box, row.values)
        for number, row in enumerate(rows, start=1)
    ]


def _with_class(path: Path, rows: Sequence[ObjectRow], column: str | None) -> list[ObjectRow]:
    """Leave out objects without a class, with a warning."""
    if column is None:
        return list(rows)
    classified = [row for row in rows if row.values.get(column, "").strip()]
    if len(classified) < len(rows):
        count = len(rows) - len(classified)
        warn(f"{path.name}: left out {counted(count, 'object')} without {column}")
    return classified


def _class_folders(path: Path, rows: Iterable[ObjectRow], column: str | None) -> dict[str, str]:
    if column is None:
        return {}
    folders: dict[str, str] = {}
    owners: dict[str, str] = {}
    for row in rows:
        label = row.values[column]
        # What no system forbids: QuPath's "Tumor: Positive" becomes "Tumor_ Positive".
        folder = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", label.strip()).rstrip(". ")
        if not folder or folder.startswith("."):
            raise errors.InvalidInput(
                f"{path}, line {row.line}: {label!r} cannot be the name of a class",
                "Rename the class in the table.",
            )
        owner = owners.setdefault(folder.casefold(), label.strip())
        if owner != label.strip():
            raise errors.InvalidInput(
                f"{path}: the classes {owner!r} and {label!r} would share a folder",
                "Rename one of them in the table.",
            )
        folders[label] = folder
    return folders
