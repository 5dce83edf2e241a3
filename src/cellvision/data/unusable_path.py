"""Why a path is neither a folder of images nor an experiment, and what to give instead."""

from __future__ import annotations

import difflib
from pathlib import Path

from cellvision import errors
from cellvision.data.missing_path import why_missing
from cellvision.known_plugins import MICROSCOPE_FORMATS, how_to_read

EXPERIMENT_SUFFIXES = (".toml", ".yaml", ".yml", ".json")
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")


def unusable(path: Path) -> errors.CellvisionError | None:
    """Return the error about a path that is no folder; None if it may be an experiment file."""
    suffix = path.suffix.lower()
    if not path.exists():
        if suffix in EXPERIMENT_SUFFIXES and path.parent.is_dir() and nearest(path) is None:
            return None  # reading it gives the error
        near = nearest(path)
        return errors.FolderError(
            f"{path}: {why_missing(path)}",
            f"Did you mean {near}?" if near else "Give a folder of images or an experiment file.",
        )
    if suffix in EXPERIMENT_SUFFIXES:
        return None
    if suffix in _ARCHIVES:
        return errors.FolderError(
            f"{path}: this is an archive, not a folder",
            "Unpack it (such as by unzip), then give the folder.",
        )
    if suffix in MICROSCOPE_FORMATS:
        return errors.FolderError(
            f"{path}: the plugin bioio reads {suffix} files, from folders of classes",
            how_to_read(suffix),
        )
    if suffix in (".csv", ".tsv"):
        return errors.FolderError(
            f"{path}: this is no table of images: it lacks the columns file and label",
            "Name the columns file (paths from the table's folder) and label, or say what they are "
            "called: --set dataset.type=table --set dataset.file=NAME --set dataset.label=NAME",
        )
    if suffix in _WORKBOOKS:
        return errors.FolderError(
            f"{path}: this is a spreadsheet, which cellvision does not read",
            "Save the sheet as CSV, with the columns file (paths from the table's folder) and "
            "label, and give that file.",
        )
    return errors.FolderError(
        f"{path}: this is neither a folder nor an experiment file (.toml, .yaml, .json)",
        "Give the folder that contains the class folders.",
    )


def nearest(path: Path) -> Path | None:
    """Return the existing path whose name is closest to that of a missing one."""
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    try:
        entries = [entry.name for entry in missing.parent.iterdir()]
    except OSError:
        return None
    # An entry of the same name is a link that leads nowhere.
    names = {name.casefold(): name for name in entries if name != missing.name}
    near = difflib.get_close_matches(missing.name.casefold(), names, n=1, cutoff=0.7)
    if not near:
        return None
    candidate = missing.parent / names[near[0]] / path.relative_to(missing)
    return candidate if candidate.exists() else missing.parent / names[near[0]]
