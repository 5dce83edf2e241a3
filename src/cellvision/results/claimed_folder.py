"""The folder of a run in the making: claiming it, marking it, clearing what a crash left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cellvision import atomic_io, errors
from cellvision.remote import is_address

PLAN = ".plan.json"
"""File of a study that says what was requested, from before its first run on."""

MARK = ".cellvision.json"
"""File that is written into a run's folder first and removed last: it says that the other files
are ours. A folder with this mark and without ``run.json`` is an unfinished training."""

RESUME = ".resume.npz"
"""State of an interrupted training, from which it can resume."""

EVALUATION = "evaluation.json"
"""Record of an evaluation; written last, so a folder that has it is a finished one."""

_RECORDS = ("run.json", "study.json", EVALUATION)
"""Records of finished results."""

_RUN_FILES = frozenset(
    {
        "history.csv",
        "checkpoints",
        "plugins",
        "reports",
        "model.keras",
        "predictions.csv",
        "provenance.csv",
        "groups.csv",
        "audit.json",
        "sketches.npy",
    }
)
"""What a training or an evaluation writes before its record."""

_TABLES = frozenset(
    {"history.csv", "predictions.csv", "provenance.csv", "groups.csv", "runs.csv", "images.csv"}
)
"""Tables of runs, studies and evaluations."""


def is_table_of_results(path: Path) -> bool:
    """Whether a file is a table of a run, study or evaluation."""
    folder = path.resolve().parent
    is_results = any((folder / name).is_file() for name in _RECORDS)
    return is_results and path.name in _TABLES


_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}(\.[a-z]+)?")
"""Temporary names of `cellvision.atomic_io`."""


def claim_folder(folder: Path) -> Path:
    """Create or clear a run's folder, and mark it as ours before anything else is written.

    Removes what an interrupted training left there, and nothing else. Hidden files of other
    origin may stay.

    Parameters
    ----------
    folder
        A new or empty folder, or that of an unfinished training.

    Raises
    ------
    errors.FolderError
        The folder holds a finished run or study or other files, or cannot be written to.
    """
    clear_folder(folder)
    try:
        atomic_io.text(folder / MARK, json.dumps({"unfinished": "run"}) + "\n")
    except OSError as error:
        raise _not_writable(folder, error) from error
    return folder


@contextlib.contextmanager
def cleared_if_unfinished(folder: Path) -> Iterator[None]:
    """Remove what a block wrote to a claimed folder if it ends without a record.

    For work that takes seconds and cannot resume: nothing of it is worth keeping.
    """
    try:
        yield
    except BaseException:
        if not any((folder / name).exists() for name in _RECORDS):
            with contextlib.suppress(OSError):
                clear_folder(folder)
        raise


def release_folder(folder: Path) -> None:
    """Remove the mark of a run that is finished."""
    (folder / MARK).unlink(missing_ok=True)


def clear_folder(folder: Path) -> Path:
    """Create a folder, or remove what an interrupted training left in it.

    Parameters
    ----------
    folder
        As for `claim_folder`.

    Raises
    ------
    errors.FolderError
        The folder holds a finished run or study or other files, or cannot be written to.
    """
    try:
        for path in _removable(folder):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
    except errors.CellvisionError:  # has its own message; a FolderError is an OSError, too
        raise
    except OSError as error:
        raise _not_writable(folder, error) from error
    return folder


def raise_if_in_use(out: str | os.PathLike[str]) -> None:
    """Refuse a place for new results before the images are read; `clear_folder` decides later.

    Parameters
    ----------
    out
        A folder; an address is not looked at.

    Raises
    ------
    errors.FolderError
        It is a file, or holds finished results or other files.
    """
    if not is_address(out):
        _removable(Path(out))


def _removable(folder: Path) -> list[Path]:
    """Return what an interrupted training left in a folder that is free but for that."""
    if folder.exists() and not folder.is_dir():
        raise errors.FolderError(f"{folder}: this is a file", "Name another folder.")
    _raise_if_finished(folder)
    entries = sorted(folder.iterdir()) if folder.exists() else []
    leftovers = _leftovers(folder, entries)
    _raise_if_foreign(folder, [path for path in entries if path not in leftovers])
    return list(leftovers)


def remove_temporaries(folder: Path) -> None:
    """Remove files in a folder that a killed process was still writing.

    Raises
    ------
    errors.FolderError
        The folder cannot be written to.
    """
    try:
        for path in list(folder.iterdir()):
            if _TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                path.unlink()
    except OSError as error:
        raise _not_writable(folder, error) from error


def _leftovers(folder: Path, entries: Sequence[Path]) -> list[Path]:
    """List what is ours; the mark comes last, so that an interrupted clearing can resume."""
    leftovers = [path for path in entries if _TEMPORARY.fullmatch(path.name)]
    if (folder / MARK).is_file():
        leftovers += [path for path in entries if path.name in _RUN_FILES or path.name == RESUME]
        leftovers.append(folder / MARK)
    return leftovers


def _raise_if_finished(folder: Path) -> None:
    if (folder / RESUME).is_file():
        raise errors.FolderError(
            f"{folder}: this folder holds an interrupted run",
            "Resume it (--resume, or resume=True in Python), or name another folder.",
        )
    kinds = {"run.json": "run or study", "study.json": "run or study", EVALUATION: "evaluation"}
    record = next((name for name in _RECORDS if (folder / name).exists()), None)
    if record is not None:
        reports = "To make its reports again"
        if record != "study.json":
            # A process that was killed between the two left the mark of an unfinished run.
            with contextlib.suppress(OSError):
                release_folder(folder)
            if not (folder / "reports").exists():
                reports = "Its reports are missing; to make them"
        raise errors.FolderError(
            f"{folder}: this folder holds a finished {kinds[record]}",
            f"Name another folder. {reports}: cellvision report {folder}",
        )


def _raise_if_foreign(folder: Path, others: Sequence[Path]) -> None:
    visible = [path for path in others if not path.name.startswith(".")]
    if visible:
        raise errors.FolderError(
            f"{folder}: this folder holds other files, such as {visible[0].name!r}",
            "Name a new or an empty folder.",
        )


def raise_if_unwritable(target: Path) -> None:
    """Check that a file or folder can be written, before the work whose result it will hold.

    Raises
    ------
    errors.FolderError
        Nothing can be created in it, or in the nearest folder above it that exists.
    """
    absolute = target.absolute()
    folder = next(path for path in (absolute, *absolute.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _not_writable(target, error) from error


def _not_writable(folder: Path, error: OSError) -> errors.FolderError:
    return errors.FolderError(
        f"{folder}: cannot be written to: {error.strerror or error}",
        "Check its permissions and the free disk space, or name another folder.",
    )


@contextlib.contextmanager
def naming_folder(folder: Path) -> Iterator[None]:
    """Make an error of the operating system name the folder in which work failed.

    Parameters
    ----------
    folder
        The folder that the block writes to.

    Raises
    ------
    errors.CellvisionError
        The block raised an `OSError`, such as one for a full disk; it is chained.
    """
    try:
        yield
    except errors.CellvisionError:  # has its own message; some, such as FolderError, are OSErrors
        raise
    except OSError as error:
        # A file is written under a temporary name and then replaces the one that was meant.
        named = error.filename2 or error.filename
        path = os.fsdecode(named) if named else str(folder)
        raise errors.CellvisionError(
            f"{path}: cannot be written: {error.strerror or error}",
            f"Check the permissions of {folder} and the free disk space, then run this again.",
        ) from error
