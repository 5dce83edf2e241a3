"""Errors about folders that hold no finished results."""

from __future__ import annotations

from pathlib import Path

from cellvision import errors
from cellvision.data.missing_path import why_missing
from cellvision.data.unusable_path import nearest
from cellvision.results.claimed_folder import EVALUATION, MARK, PLAN, RESUME


def no_folder(folder: Path) -> errors.FolderError:
    """Return the error for results whose folder does not exist; it suggests the nearest name."""
    near = nearest(folder)
    return errors.FolderError(
        f"{folder}: {why_missing(folder, 'there is no such folder')}",
        f"Did you mean {near}?" if near else "Name the folder given to --out.",
    )


def no_run(folder: Path) -> errors.FolderError:
    """Return the error for a folder without a finished run."""
    if not folder.exists():
        return no_folder(folder)
    if (folder / "study.json").is_file():
        return errors.FolderError(
            f"{folder}: this is a study; its runs are in {folder / 'runs'}",
            f"Name one of its runs, such as {_first_run(folder)}, or open it with load_study.",
        )
    if (folder / EVALUATION).is_file():
        return errors.FolderError(
            f"{folder}: this is an evaluation, which has no network",
            f"Name the run or study that {EVALUATION} names, or open it with load_evaluation.",
        )
    if (folder / PLAN).is_file():
        return errors.FolderError(
            f"{folder}: a study that is not finished; its runs are in {folder / 'runs'}",
            "The command that started it continues it. Or name one of its runs.",
        )
    if (folder / RESUME).is_file():
        return errors.FolderError(
            f"{folder}: a training that failed before its results were written",
            "Give the command that started it with --resume.",
        )
    if (folder / MARK).is_file():
        return errors.FolderError(
            f"{folder}: a training or an evaluation that is not finished",
            "Wait for it. If it was killed, give the command that started it again.",
        )
    return errors.FolderError(
        f"{folder}: no finished run here (it has no run.json)",
        "Name the folder given to cellvision train --out.",
    )


def _first_run(study: Path) -> Path:
    """Return the folder of a run of a study; the runs of controls have longer names."""
    runs = [path.parent for path in study.glob("runs/*/run.json")]
    return min(runs, key=lambda run: (len(run.name), run.name), default=study / "runs" / "000")
