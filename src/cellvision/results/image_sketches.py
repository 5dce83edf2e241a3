"""The sketches of a run's images, by which near-duplicates of them are found later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import atomic_io, errors
from cellvision.data.block_sums import SIDE

if TYPE_CHECKING:
    from cellvision.data.audit import Audit
    from cellvision.results.run import Run

SKETCHES = "sketches.npy"
"""Array of int8, shape (images, 10, 10): one sketch for each image that ``audit.json`` lists as
read, in its order. Zeros stand for an image that has none."""


def write_sketches(folder: Path, audit: Audit, sketches: Mapping[str, bytes]) -> None:
    """Write the sketches of a run's images.

    Parameters
    ----------
    folder
        Folder of the run.
    audit
        The run's audit.
    sketches
        Sketches by image; see `cellvision.data.near_duplicates.sketch`.
    """
    empty = bytes(SIDE * SIDE)
    rows = [sketches.get(file.file) or empty for file in audit.files if file.status == "read"]
    array = np.frombuffer(b"".join(rows), np.int8).reshape(-1, SIDE, SIDE)
    with atomic_io.path(folder / SKETCHES) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def recorded_sketches(run: Run) -> dict[str, bytes] | None:
    """Return the sketches of a run's images by their names; None if the run recorded none.

    Raises
    ------
    errors.FolderError
        The file cannot be read, or belongs to another audit.
    """
    path = run.folder / SKETCHES
    audit = run.audit
    if audit is None or not path.is_file():
        return None
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, f"cannot be read: {errors.first_line(error)}") from None
    names = [file.file for file in audit.files if file.status == "read"]
    if array.dtype != np.int8 or array.shape != (len(names), SIDE, SIDE):
        raise _damaged(path, f"does not belong to the {len(names)} images of audit.json")
    rows = zip(names, array, array.any(axis=(1, 2)), strict=True)
    return {name: row.tobytes() for name, row, is_known in rows if is_known}


def _damaged(path: Path, what: str) -> errors.FolderError:
    hint = "Restore it, or delete it to go without a search for near-duplicates."
    return errors.FolderError(f"{path}: {what}", hint)
