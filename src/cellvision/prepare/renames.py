"""Number images in place, or undo it, and resume either after an interruption.

Numbering renames every image to a hidden name (phase *hide*), then to its new name (*name*), then
replaces the tables (*tables*). Undoing renames every image from its new name to the hidden name
(*unname*), then to its old name (*restore*). The record is rewritten between phases, because one
image's old name may be another's new name; within a phase, the current names show what remains.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cellvision import atomic_io, errors
from cellvision.locks import folder_lock
from cellvision.plurals import counted

from .provenance import MANIFEST, read_table, to_frame
from .records import NOT_SIGNED, NUMBER_RECORD, WORK_RECORD, foreign, read_text
from .rename_plan import Phase, Rename, RenameRecord, current_text, plan_renames
from .warnings import warn

if TYPE_CHECKING:
    import pandas

UNDO_RECORD = ".numbered.json"
"""Record of the last completed numbering, kept to undo it."""

_EARLIER_WORK = ".prepare-before-number.jsonl"
"""Name of an output folder's work record while its images are renamed.

Under its usual name, `prepare` would create the renamed images again.
"""

Progress = Callable[[int, int], None]


def rename_in_place(
    source: Path, prefix: str, start: int, progress: Progress | None, *, trust_record: bool
) -> pandas.DataFrame:
    """Number a folder in place, or finish an interrupted numbering; see `number_images`."""
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


def restore_names(
    source: Path, progress: Progress | None, *, trust_record: bool
) -> pandas.DataFrame:
    """Undo the last numbering in place; see `undo_numbering`."""
    _raise_if_no_folder(source)
    with folder_lock(source, "prepare number --undo"):
        path = source / NUMBER_RECORD
        if not os.path.lexists(path):
            path = source / UNDO_RECORD
        if not os.path.lexists(path):
            raise errors.FolderError(
                f"{source} has no record of a numbering in place, so there is nothing to undo",
                "Name a folder that was numbered with 'cellvision prepare number --in-place'.",
            )
        record = read_record(path, trust=trust_record)
        _run_backwards(source, record, progress)
    rows = [{"file": rename.before, "numbered": rename.after} for rename in record.renames]
    return to_frame(("file", "numbered"), rows)


def read_record(path: Path, *, trust: bool = False) -> RenameRecord:
    """Read and validate a record; with `trust`, accept one that this user did not sign.

    Raises
    ------
    cellvision.errors.FolderError
        The record does not match the schema, a name in it leads out of the folder, or another
        user wrote it.
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
            "If you trust its author, add --trust-record to finish or undo the numbering. "
            "If not, get a complete copy of the folder.",
        )
    return record


def _plan(source: Path, prefix: str, start: int) -> RenameRecord:
    try:
        return plan_renames(source, prefix, start)
    except FileNotFoundError as error:
        raise _disappeared(error) from error


def _begin(source: Path, record: RenameRecord) -> None:
    """Write the record, then check that the folder still matches the plan."""
    _save(source, record)
    try:
        _raise_if_nested(source, record.renames)
        for rename in record.renames:
            status = os.lstat(source / rename.before)
            if status.st_size != rename.size:
                raise errors.FolderError(
                    f"{source / rename.before} changed while the numbering was planned",
                    "Run the command again when nothing else writes to the folder.",
                )
    except (OSError, errors.FolderError) as error:
        _remove(source / NUMBER_RECORD, record)
        if isinstance(error, FileNotFoundError):
            raise _disappeared(error) from error
        raise


def _disappeared(error: FileNotFoundError) -> errors.FolderError:
    return errors.FolderError(
        f"{error.filename} disappeared while the numbering was planned",
        "Run the command again when nothing else writes to the folder.",
    )


def _raise_if_nested(source: Path, renames: Iterable[Rename]) -> None:
    """Raise an error if a folder above or below is being numbered: it has the same images."""
    below = {source / folder for r in renames for folder in PurePosixPath(r.before).parents}
    for folder in sorted({*below, *source.resolve().parents[:2]} - {source}):
        if os.path.lexists(folder / NUMBER_RECORD):
            raise errors.FolderError(
                f"{folder}: a numbering in place is running or was interrupted here",
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
    finished = record.model_copy(update={"phase": "done"}).signed()
    atomic_io.text(source / UNDO_RECORD, finished.model_dump_json(), durable=True)
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
        warn(
            f"{counted(len(missing), 'image', 'was')} removed since numbering, first: {missing[0]}"
        )


def _raise_if_not_undoable(source: Path, record: RenameRecord) -> None:
    """Check all files before the first rename; raise an error if any was added or changed."""
    numbered = record.phase != "hide"
    for name, change in record.tables.items():
        if current_text(source / name) not in (change.before, change.after):
            raise errors.FolderError(
                f"{source / name} was edited after the numbering, and undoing would lose the edits",
                f"Move {name} to another folder, then run --undo again.",
            )
    occupied = {rename.after for rename in record.renames} if numbered else set()
    for rename in record.renames:
        current = source / (rename.after if numbered else rename.before)
        hidden = source / rename.hidden
        image = hidden if os.path.lexists(hidden) else current
        if os.path.lexists(image) and image.lstat().st_size != rename.size:
            raise errors.FolderError(
                f"{image} is not the image that was numbered: its size differs",
                "Move it out of the folder, then run --undo again.",
            )
        blocked = numbered or image == hidden
        if blocked and rename.before not in occupied and os.path.lexists(source / rename.before):
            raise errors.FolderError(
                f"{source / rename.before} exists, but an image must get this name back",
                "Move it out of the folder, then run --undo again.",
            )


def _restore_tables(source: Path, record: RenameRecord) -> None:
    for name, change in record.tables.items():
        path = source / name
        if change.before is not None:
            atomic_io.text(path, change.before)
        elif current_text(path) == change.after:  # written by us, where there was none before
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
    """Remove a record unless another one has replaced it."""
    try:
        if read_record(path, trust=True).token == record.token:
            path.unlink(missing_ok=True)
    except (FileNotFoundError, errors.FolderError):
        return  # another process removed or replaced it


def _move(before: Path, after: Path) -> None:
    if os.path.lexists(after):
        raise errors.FolderError(
            f"{after} appeared during the numbering, but {before.name} must get this name",
            "Move it out of the folder, then run the same command again to finish.",
        )
    try:
        before.rename(after)
    except OSError as error:
        raise errors.CellvisionError(
            f"{before} cannot be renamed to {after.name}: {error}",
            "Remove the cause and run the same command again to finish, "
            "or restore the old names with --undo.",
        ) from error


def _raise_if_no_folder(source: Path) -> None:
    if source.is_file():
        raise errors.FolderError(
            f"{source} is a file", "Name its folder, or copy the file with --out."
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
            "Finish it with these settings, or restore the old names with --undo.",
        )
