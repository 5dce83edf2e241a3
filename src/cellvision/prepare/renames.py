"""Numbering in place, forwards and backwards, from wherever it was interrupted.

Forwards, every image goes from its old name to a hidden one (phase *hide*), then from there to its
new name (*name*), then the tables are replaced (*tables*). Backwards, every image goes from its new
name to the hidden one (*unname*), then to its old name (*restore*). The record is rewritten
between phases, because an old name may be another image's new name; within a phase, where an image
is tells what is left to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cellvision import atomic_io, errors
from cellvision.locks import folder_lock

from .provenance import MANIFEST, read_table, to_frame
from .records import NOT_SIGNED, NUMBER_RECORD, WORK_RECORD, foreign, read_text
from .rename_plan import Phase, Rename, RenameRecord, current_text, plan_renames
from .warnings import warn

if TYPE_CHECKING:
    import pandas

UNDO_RECORD = ".numbered.json"
"""The record of the last numbering that was completed, kept for undoing it."""

_EARLIER_WORK = ".prepare-before-number.jsonl"
"""The output folder's record while its images have other names; it would make them again."""

Progress = Callable[[int, int], None]


def rename_in_place(
    source: Path, prefix: str, start: int, trust_record: bool, progress: Progress | None
) -> pandas.DataFrame:
    """Number a folder in place, or finish a numbering; see `number_images`."""
    _raise_if_no_folder(source)
    with folder_lock(source, "prepare number"):
        path = source / NUMBER_RECORD
        if os.path.lexists(path):
            record = read_record(path, trust=trust_record)
            _raise_if_different(source, record, prefix, start)
        else:
            record = _plan(source, prefix, start)
            if record.renames or record.tables:
                _begin(source, record)
        if record.renames or record.tables:
            _run_forwards(source, record, progress)
    manifest = read_table(source / MANIFEST)
    columns = ("file", *manifest.columns)
    return to_frame(columns, ({"file": file, **row} for file, row in manifest.rows.items()))


def restore_names(source: Path, trust_record: bool, progress: Progress | None) -> pandas.DataFrame:
    """Undo the last numbering in place; see `undo_numbering`."""
    _raise_if_no_folder(source)
    with folder_lock(source, "prepare number --undo"):
        path = source / NUMBER_RECORD
        if not os.path.lexists(path):
            path = source / UNDO_RECORD
        if not os.path.lexists(path):
            raise errors.FolderError(
                f"{source} has no record of a numbering in place, so there is nothing to undo",
                "Name the folder that 'cellvision prepare number --in-place' was given.",
            )
        record = read_record(path, trust=trust_record)
        _run_backwards(source, record, progress)
    rows = [{"file": rename.before, "numbered": rename.after} for rename in record.renames]
    return to_frame(("file", "numbered"), rows)


def read_record(path: Path, *, trust: bool = False) -> RenameRecord:
    """Read and check a record; with `trust`, it need not be signed by this user.

    Raises
    ------
    cellvision.errors.FolderError
        It does not match the schema, a name in it leads out of the folder, or someone else
        wrote it.
    """
    try:
        record = RenameRecord.model_validate_json(read_text(path))
    except ValidationError as error:
        raise foreign(path, error) from error
    root = path.parent.resolve()
    for folder in {PurePosixPath(rename.before).parent for rename in record.renames}:
        if (root / folder).resolve() != root / folder:
            raise foreign(path, f"{folder} is a link")
    if not (trust or record.is_ours):
        raise errors.FolderError(
            f"{path}: {NOT_SIGNED}",
            "If you know who began this numbering, add --trust-record to finish or undo it. "
            "If not, ask whoever gave you the folder for a complete copy.",
        )
    return record


def _plan(source: Path, prefix: str, start: int) -> RenameRecord:
    try:
        return plan_renames(source, prefix, start)
    except FileNotFoundError as error:
        raise _disappeared(error) from error


def _begin(source: Path, record: RenameRecord) -> None:
    """Write the record, then look again: only then is the plan carried out."""
    _save(source, record)
    try:
        _raise_if_nested(source, record.renames)
        for rename in record.renames:
            status = os.lstat(source / rename.before)
            if status.st_size != rename.size:
                raise errors.FolderError(
                    f"{source / rename.before} changed while numbering was planned",
                    "Run the command again when nothing else writes into the folder.",
                )
    except (OSError, errors.FolderError) as error:
        _remove(source / NUMBER_RECORD, record)
        if isinstance(error, FileNotFoundError):
            raise _disappeared(error) from error
        raise


def _disappeared(error: FileNotFoundError) -> errors.FolderError:
    return errors.FolderError(
        f"{error.filename} disappeared while numbering was planned",
        "Run the command again when nothing else writes into the folder.",
    )


def _raise_if_nested(source: Path, renames: Iterable[Rename]) -> None:
    """A numbering of a folder above or below would rename the same images."""
    below = {source / folder for r in renames for folder in PurePosixPath(r.before).parents}
    for folder in sorted({*below, *source.resolve().parents[:2]} - {source}):
        if os.path.lexists(folder / NUMBER_RECORD):
            raise errors.FolderError(
                f"{folder}: numbering in place is under way or was interrupted here",
                f"Wait for it, or finish it: cellvision prepare number {folder} --in-place.",
            )


def _run_forwards(source: Path, record: RenameRecord, progress: Progress | None) -> None:
    total = 2 * len(record.renames)
    if record.phase == "hide":
        for index, rename in enumerate(record.renames, start=1):
            if not os.path.lexists(source / rename.hidden):
                _move(source / rename.before, source / rename.hidden)
            if progress:
                progress(index, total)
        record = _enter(source, record, "name")
    if record.phase == "name":
        for index, rename in enumerate(record.renames, start=1 + len(record.renames)):
            hidden, after = source / rename.hidden, source / rename.after
            if os.path.lexists(hidden) or not os.path.lexists(after):
                _move(hidden, after)
            if progress:
                progress(index, total)
        record = _enter(source, record, "tables")
    for name, change in record.tables.items():
        atomic_io.text(source / name, change.after)
    if record.had_work_record and os.path.lexists(source / WORK_RECORD):
        os.replace(source / WORK_RECORD, source / _EARLIER_WORK)
    done = record.model_copy(update={"phase": "done"}).signed()
    atomic_io.text(source / UNDO_RECORD, done.model_dump_json(), durable=True)
    _remove(source / NUMBER_RECORD, record)


def _run_backwards(source: Path, record: RenameRecord, progress: Progress | None) -> None:
    total = 2 * len(record.renames)
    if not record.is_reversal:
        _raise_if_not_undoable(source, record)
        record = _enter(source, record, "restore" if record.phase == "hide" else "unname")
    missing: list[str] = []
    if record.phase == "unname":
        for index, rename in enumerate(record.renames, start=1):
            hidden, after = source / rename.hidden, source / rename.after
            if os.path.lexists(after) and not os.path.lexists(hidden):
                _move(after, hidden)
            if progress:
                progress(index, total)
        record = _enter(source, record, "restore")
    for index, rename in enumerate(record.renames, start=1 + len(record.renames)):
        if os.path.lexists(source / rename.hidden):
            _move(source / rename.hidden, source / rename.before)
        elif not os.path.lexists(source / rename.before):
            missing.append(rename.before)
        if progress:
            progress(index, total)
    _restore_tables(source, record)
    for path in (source / UNDO_RECORD, source / NUMBER_RECORD):
        _remove(path, record)
    if missing:
        warn(f"{len(missing)} image(s) were removed since numbering, first: {missing[0]}")


def _raise_if_not_undoable(source: Path, record: RenameRecord) -> None:
    """Look at everything before the first rename: files that appeared, changed or were edited."""
    numbered = record.phase != "hide"
    for name, change in record.tables.items():
        if current_text(source / name) not in (change.before, change.after):
            raise errors.FolderError(
                f"{source / name} was edited since the numbering, and undoing it would lose that",
                f"Move {name} to another folder, then run --undo again.",
            )
    occupied = {rename.after for rename in record.renames} if numbered else set()
    for rename in record.renames:
        current = source / (rename.after if numbered else rename.before)
        hidden = source / rename.hidden
        image = hidden if os.path.lexists(hidden) else current
        if os.path.lexists(image) and image.lstat().st_size != rename.size:
            raise errors.FolderError(
                f"{image} is not the image that was numbered; its size differs",
                "Move it out of the folder, then run --undo again.",
            )
        blocked = numbered or image == hidden
        if blocked and rename.before not in occupied and os.path.lexists(source / rename.before):
            raise errors.FolderError(
                f"{source / rename.before} exists, and an image is to get this name back",
                "Move it out of the folder, then run --undo again.",
            )


def _restore_tables(source: Path, record: RenameRecord) -> None:
    for name, change in record.tables.items():
        path = source / name
        if change.before is not None:
            atomic_io.text(path, change.before)
        elif current_text(path) == change.after:  # ours, and there was none before
            path.unlink(missing_ok=True)
    earlier = source / _EARLIER_WORK
    if record.had_work_record and earlier.exists() and not os.path.lexists(source / WORK_RECORD):
        os.replace(earlier, source / WORK_RECORD)


def _enter(source: Path, record: RenameRecord, phase: Phase) -> RenameRecord:
    record = record.model_copy(update={"phase": phase})
    _save(source, record)
    return record


def _save(source: Path, record: RenameRecord) -> None:
    atomic_io.text(source / NUMBER_RECORD, record.signed().model_dump_json(), durable=True)


def _remove(path: Path, record: RenameRecord) -> None:
    """Remove a record if it is still this one."""
    try:
        if read_record(path, trust=True).token == record.token:
            path.unlink(missing_ok=True)
    except (FileNotFoundError, errors.FolderError):
        return  # removed or replaced by someone else


def _move(before: Path, after: Path) -> None:
    if os.path.lexists(after):
        raise errors.FolderError(
            f"{after} appeared while numbering, and {before.name} is to get this name",
            "Move it out of the folder and run the same command again; it finishes.",
        )
    try:
        before.rename(after)
    except OSError as error:
        raise errors.CellvisionError(
            f"{before} cannot be renamed to {after.name}: {error}",
            "Remove the cause and run the same command again, which finishes, "
            "or put the old names back with --undo.",
        ) from error


def _raise_if_no_folder(source: Path) -> None:
    if source.is_file():
        raise errors.FolderError(
            f"{source} is a file", "Name its folder, or copy the one file with --out."
        )
    if not source.is_dir():
        raise errors.FolderError(f"{source} does not exist", "Name a folder of images.")


def _raise_if_different(source: Path, record: RenameRecord, prefix: str, start: int) -> None:
    if record.is_reversal:
        raise errors.FolderError(
            f"{source}: undoing a numbering was interrupted here",
            f"Finish it first: cellvision prepare number {source} --undo.",
        )
    if (record.prefix, record.start) != (prefix, start):
        raise errors.FolderError(
            f"{source}: numbering with prefix {record.prefix!r} and start {record.start} "
            "was interrupted here",
            "Finish it with these settings, or put the old names back with --undo.",
        )
