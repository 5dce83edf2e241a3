"""Detect folders in which a preparation is unfinished: images or provenance are missing."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from cellvision import errors

from .provenance import MANIFEST
from .records import NOT_SIGNED, NUMBER_RECORD, WORK_RECORD, WorkHead, foreign, read_text

_LEVELS_ABOVE = 2
"""A class is at most two levels below the numbered folder: split, then class."""


def raise_if_unfinished(folder: str | os.PathLike[str]) -> None:
    """Raise an error if `cellvision prepare` has not finished filling or renaming a folder.

    Data sets that read folders call it for every folder that contains images or a record
    (`.number.json`, `.prepare.jsonl`). The error suggests running the command again only if this
    user started it; otherwise it says that the record is foreign.

    Raises
    ------
    cellvision.errors.FolderError
        A numbering in place was interrupted in `folder` or in one of the two folders above it,
        `folder` is an output folder without a manifest, or a record is invalid or foreign.
    """
    path = Path(folder)
    for above in (path, *path.resolve().parents[:_LEVELS_ABOVE]):
        if os.path.lexists(above / NUMBER_RECORD):
            raise _interrupted_numbering(above)
    record = path / WORK_RECORD
    if os.path.lexists(record) and not (path / MANIFEST).exists():
        raise _interrupted_work(record)


def _interrupted_numbering(folder: Path) -> errors.FolderError:
    from .renames import read_record

    try:
        record = read_record(folder / NUMBER_RECORD)
    except errors.FolderError as error:
        return error
    option = "--undo" if record.is_reversal else "--in-place"
    alternative = "" if record.is_reversal else ", or restore the old names with --undo"
    return errors.FolderError(
        f"{folder}: a numbering in place is running or was interrupted here",
        f"Finish it first: cellvision prepare number {folder} {option}{alternative}.",
    )


def _interrupted_work(path: Path) -> errors.FolderError:
    try:
        head = WorkHead.model_validate_json(read_text(path).split("\n")[0])
    except ValidationError as error:
        return foreign(path, error)
    except errors.FolderError as error:
        return error
    if not head.is_ours:
        return foreign(path, NOT_SIGNED)
    return errors.FolderError(
        f"{path.parent}: the command that fills this folder has not finished",
        f"Run the same 'cellvision prepare {head.verb}' command again to resume.",
    )
