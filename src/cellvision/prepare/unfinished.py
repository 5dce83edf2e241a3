"""Folders in which a preparation was interrupted: images or their provenance are missing."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from cellvision import errors

from .provenance import MANIFEST
from .records import NOT_SIGNED, NUMBER_RECORD, WORK_RECORD, WorkHead, foreign, read_text

_LEVELS_ABOVE = 2
"""A class lies at most two levels below the folder that was numbered: split, then class."""


def raise_if_unfinished(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder that `cellvision prepare` has begun to fill or rename and not finished.

    For whoever reads images from folders: call it for every folder that holds images or a
    record (`.number.json`, `.prepare.jsonl`). The error suggests running the command again only
    if this user began it; a record from anyone else is called what it is.

    Raises
    ------
    cellvision.errors.FolderError
        A numbering in place was interrupted in `folder` or in one of the two folders above it;
        `folder` is an output folder without a manifest; or a record is not one of ours.
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
    again = "--undo" if record.is_reversal else "--in-place"
    way_back = "" if record.is_reversal else ", or put the old names back with --undo"
    return errors.FolderError(
        f"{folder}: numbering in place is under way or was interrupted here",
        f"Finish it first: cellvision prepare number {folder} {again}{way_back}.",
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
        f"{path.parent}: the command that fills this folder is not finished",
        f"Run the same 'cellvision prepare {head.verb}' command again; it resumes.",
    )
