"""The plan of a numbering in place: every rename and every table, decided and checked first.

The plan is written to a record before the first rename, so that finishing and undoing need no
further decision.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cellvision import errors
from cellvision.data.files import IMAGE_SUFFIXES
from cellvision.plurals import counted

from .provenance import (
    FIXED_COLUMNS,
    GROUPS,
    MANIFEST,
    Provenance,
    derived_row,
    read_provenance,
    read_table,
    to_csv,
)
from .records import WORK_RECORD, RelativeName, Signed
from .sources import SourceImage, Sources, find_images, stem_and_suffix

TableName = Literal["manifest.csv", "groups.csv"]

Phase = Literal["hide", "name", "tables", "done", "unname", "restore"]
"""What is being done. Forwards: hide, name, tables, done. Backwards: unname, restore."""


class Rename(BaseModel):
    """One image: its old name, the hidden name in between, its new name and its size in bytes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    before: RelativeName
    hidden: RelativeName
    after: RelativeName
    size: int


class TableChange(BaseModel):
    """The text of a table before (None: there was no such table) and after."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    before: str | None
    after: str


class RenameRecord(Signed):
    """`.number.json`: a numbering in place, and how far it is."""

    version: Annotated[int, Field(ge=2, le=2)] = 2
    prefix: str
    start: Annotated[int, Field(ge=0)]
    phase: Phase = "hide"
    renames: list[Rename]
    tables: dict[TableName, TableChange]
    had_work_record: bool

    @property
    def is_reversal(self) -> bool:
        """Whether the old names are being put back."""
        return self.phase in ("unname", "restore")

    @model_validator(mode="after")
    def _names_are_as_we_write_them(self) -> Self:
        for index, rename in enumerate(self.renames):
            before, after = PurePosixPath(rename.before), PurePosixPath(rename.after)
            suffix = stem_and_suffix(before.name)[1]
            number = after.name.removeprefix(self.prefix).removesuffix(suffix)
            expected = before.with_name(f"{self.prefix}{number}{suffix}").as_posix()
            if (
                rename.hidden != hidden_name(rename.before, self.token, index)
                or before.name.startswith(".")
                or after.name.startswith(".")
                or before.suffix.lower() not in IMAGE_SUFFIXES
                or not (number.isascii() and number.isdigit())
                or rename.after != expected
            ):
                raise ValueError(f"{rename.before} would not be renamed in this way")
        for names in ([r.before for r in self.renames], [r.after for r in self.renames]):
            if len(set(names)) < len(names):
                raise ValueError("two images have the same name")
        return self


def hidden_name(name: str, token: str, index: int) -> str:
    """Return the name that an image has between its old and its new one."""
    return PurePosixPath(name).with_name(f".number-{token[:8]}-{index}").as_posix()


def new_names(images: Sequence[SourceImage], prefix: str, start: int) -> dict[str, str]:
    """Map old to new names, counting anew in every sub-folder."""
    next_index: dict[PurePosixPath, int] = {}
    names = {}
    for image in images:
        index = next_index.get(image.folder, start)
        next_index[image.folder] = index + 1
        names[image.name] = (image.folder / f"{prefix}{index}{image.suffix}").as_posix()
    return names


def number_step(name: str, prefix: str) -> str:
    """Describe the numbering for the manifest."""
    index = PurePosixPath(name).name.removeprefix(prefix).split(".")[0]
    return f"number {index}"


def plan_renames(source: Path, prefix: str, start: int) -> RenameRecord:
    """Decide everything that numbering `source` in place will do; nothing is changed.

    Raises
    ------
    cellvision.errors.FolderError
        An image is reached through a link, or a new name belongs to another file.
    cellvision.errors.InvalidInput
        A table has rows without an image.
    """
    sources = find_images(source)
    _raise_if_linked(sources)
    provenance = read_provenance(source)
    names = new_names(sources.images, prefix, start)
    _raise_if_images_are_missing(source, provenance, names)
    _raise_if_taken(source, names)
    record = RenameRecord(
        prefix=prefix,
        start=start,
        renames=[],
        tables={},
        had_work_record=os.path.lexists(source / WORK_RECORD),
    )
    record.renames += [
        Rename(
            before=image.name,
            hidden=hidden_name(image.name, record.token, index),
            after=names[image.name],
            size=image.path.lstat().st_size,
        )
        for index, image in enumerate(
            image for image in sources.images if names[image.name] != image.name
        )
    ]
    if record.renames or set(names) != set(read_table(source / MANIFEST).rows):
        record.tables.update(_tables(sources, provenance, names, prefix))
    return record


def _tables(
    sources: Sources, provenance: Provenance, names: Mapping[str, str], prefix: str
) -> dict[TableName, TableChange]:
    root = sources.root
    manifest = _manifest(sources, provenance, names, prefix)
    tables: dict[TableName, TableChange] = {
        MANIFEST: TableChange(before=current_text(root / MANIFEST), after=manifest)
    }
    if (root / GROUPS).exists():
        groups = read_table(root / GROUPS)
        rows = [{"file": names[file], **row} for file, row in groups.rows.items()]
        text = to_csv(("file", *groups.columns), rows)
        tables[GROUPS] = TableChange(before=current_text(root / GROUPS), after=text)
    return tables


def current_text(path: Path) -> str | None:
    """Return a table's text with its line ends as they are, or None if there is no such file."""
    if not os.path.lexists(path):
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def _manifest(
    sources: Sources, provenance: Provenance, names: Mapping[str, str], prefix: str
) -> str:
    rows = []
    for image in sources.images:
        after = names[image.name]
        known = provenance.rows.get(image.name, {})
        if image.name == after and known.get("field") and known.get("source"):
            rows.append({"file": after, **known})
            continue
        rows.append(
            derived_row(
                provenance,
                file=after,
                source=image.name,
                field=image.field,
                transformation=number_step(after, prefix),
            )
        )
    return to_csv((*FIXED_COLUMNS, *provenance.carried_over), rows)


def _raise_if_images_are_missing(
    source: Path, provenance: Provenance, names: Mapping[str, str]
) -> None:
    missing = [file for file in provenance.rows if file not in names]
    if missing:
        raise errors.InvalidInput(
            f"{source}: its tables have {counted(len(missing), 'row')} without an image, "
            f"first: {missing[0]}",
            "Correct the tables first, or number into a new folder with --out.",
        )


def _raise_if_linked(sources: Sources) -> None:
    """Refuse images that have two paths: renaming one path would take the other's file away."""
    hint = "Replace the link by a folder or file, or number into a new folder with --out."
    root = sources.root.resolve()
    folders: dict[tuple[int, int], Path] = {}
    for folder in dict.fromkeys(image.path.parent for image in sources.images):
        relative = folder.relative_to(sources.root)
        status = folder.stat()
        other = folders.setdefault((status.st_dev, status.st_ino), folder)
        if folder.resolve() != root / relative or (status.st_ino and other != folder):
            raise errors.FolderError(
                f"{folder} is a link to another folder, so renaming in place is not safe", hint
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise errors.FolderError(
                f"{folder} is read-only, so its files cannot be renamed",
                "Change its permissions, or number into a new folder with --out.",
            )
    for image in sources.images:
        if image.path.is_symlink() and image.path.resolve().is_relative_to(root):
            raise errors.FolderError(
                f"{image.path} is a link to a file that may be renamed as well", hint
            )


def _raise_if_taken(source: Path, names: Mapping[str, str]) -> None:
    by_case = {name.casefold(): name for name in names}
    for before, after in names.items():
        # Where case does not count, cell.PNG is found under the name cell.png too.
        other = after if after in names else by_case.get(after.casefold())
        if os.path.lexists(source / after) and not _same_entry(source, after, other):
            raise errors.FolderError(
                f"{source / after} exists and is not one of the images",
                "Move it away, or choose another --prefix.",
            )
        if len(PurePosixPath(after).name.encode()) > 255:
            raise errors.FolderError(
                f"{source / before}: its new name would be too long", "Choose a shorter --prefix."
            )


def _same_entry(source: Path, name: str, other: str | None) -> bool:
    if name == other:
        return True
    return other is not None and os.path.samestat((source / name).lstat(), (source / other).lstat())
