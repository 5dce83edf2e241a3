"""Indexed series of names: s0.png, s1.png, ..."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import atomic_io, errors

from .pipeline import Progress, Result, Verb, run_verb
from .records import Output
from .rename_plan import new_names, number_step
from .renames import rename_in_place, restore_names
from .sources import SourceImage

if TYPE_CHECKING:
    import pandas


def number_images(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    in_place: bool = False,
    prefix: str = "s",
    start: int = 0,
    trust_record: bool = False,
    progress: Progress | None = None,
) -> pandas.DataFrame:
    """Name the images of every sub-folder `s0`, `s1`, ... in the natural order of their names.

    Files keep their bytes and their suffix. No file is ever overwritten.

    Parameters
    ----------
    source
        An image, or a folder with images in `*`, `<class>/*` or `<split>/<class>/*`.
    out
        A new folder outside of `source`, for copies.
    in_place
        Rename inside `source` instead: first every file to a temporary hidden name, then to its
        new one. A record (`.number.json`) of the whole plan is written first and removed at the
        end. After an interruption the same call finishes and `undo_numbering` puts the old
        names back; until then images may be hidden, but none is lost. File names in
        `groups.csv` follow.
    prefix, start
        The beginning of the names and the first index.
    trust_record
        Also finish a numbering that another user, or you on another computer, began here. Its
        record is checked all the same.
    progress
        Called with the number of finished steps and of all steps.

    Returns
    -------
    pandas.DataFrame
        The manifest, also written to `manifest.csv` in `out` (in place: in `source`). `source`
        is the old name; a tile keeps its source image (`field`) and its transformations.

    Raises
    ------
    cellvision.errors.InvalidInput
        Both or neither of `out` and `in_place`, or a prefix that no file name can begin with.
    cellvision.errors.FolderError
        `source` is missing, empty, in use or partly a link (in place); `out` is taken; a new
        name belongs to another file; or the record is not ours.

    Examples
    --------
    >>> import tempfile, numpy, tifffile
    >>> from pathlib import Path
    >>> from cellvision import prepare
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cell10.tif", "cell9.tif"):
    ...     tifffile.imwrite(folder / name, numpy.zeros((8, 8), "uint8"))
    >>> manifest = prepare.number_images(folder, in_place=True)
    >>> manifest[["source", "file"]].to_dict("tight")["data"]
    [['cell9.tif', 's0.tif'], ['cell10.tif', 's1.tif']]
    """
    if (out is None) != in_place:
        raise errors.InvalidInput(
            "number needs either a new folder or in-place", "Give --out DIR or --in-place."
        )
    if start < 0:
        raise errors.InvalidInput(f"start is {start}", "Give 0 or a positive number.")
    _check_prefix(prefix)
    if out is None:
        return rename_in_place(Path(source), prefix, start, progress, trust_record=trust_record)

    def make(image: SourceImage, target: str, folder: Path) -> Result:
        with atomic_io.path(folder / target) as temporary:
            shutil.copyfile(image.path, temporary)
        return Result((Output(file=target, transformation=number_step(target, prefix)),))

    def plan(images: Sequence[SourceImage]) -> Mapping[str, str]:
        return new_names(images, prefix, start)

    verb = Verb("number", {"prefix": prefix, "start": start}, plan, make)
    return run_verb(verb, source, out, progress)


def undo_numbering(
    source: str | os.PathLike[str],
    *,
    trust_record: bool = False,
    progress: Progress | None = None,
) -> pandas.DataFrame:
    """Put back the names that `number_images(..., in_place=True)` changed last.

    Works after an interruption and after completion, as long as the tables were not edited since.
    `manifest.csv` and `groups.csv` become what they were. An image that was removed in the
    meantime is left out, with a warning. If interrupted, the same call finishes.

    Parameters
    ----------
    source
        The folder that was numbered.
    trust_record
        Also obey the record of another user or computer. It is checked all the same.
    progress
        Called with the number of finished steps and of all steps.

    Returns
    -------
    pandas.DataFrame
        `file` (the name that an image has again) and `numbered` (the name that it had).

    Raises
    ------
    cellvision.errors.FolderError
        There is nothing to undo, the folder is in use, an old name belongs to another file, a
        table was edited, or the record is not ours.

    Examples
    --------
    >>> import tempfile, numpy, tifffile
    >>> from pathlib import Path
    >>> from cellvision import prepare
    >>> folder = Path(tempfile.mkdtemp())
    >>> tifffile.imwrite(folder / "cell.tif", numpy.zeros((8, 8), "uint8"))
    >>> _ = prepare.number_images(folder, in_place=True)
    >>> prepare.undo_numbering(folder).to_dict("records")
    [{'file': 'cell.tif', 'numbered': 's0.tif'}]
    """
    return restore_names(Path(source), progress, trust_record=trust_record)


def _check_prefix(prefix: str) -> None:
    longest = 200  # bytes; file systems allow 255 for a whole name
    # Neither control characters nor bytes that are no UTF-8, which no table holds.
    printable = prefix.isprintable() and not any(sign in '<>:"/\\|?*' for sign in prefix)
    if prefix.startswith(".") or not printable:
        raise errors.InvalidInput(
            f"{prefix!r} cannot begin a file name on every system",
            "Use letters, digits, - and _ in --prefix.",
        )
    if len(prefix.encode("utf-8", "surrogateescape")) > longest:
        raise errors.InvalidInput("the prefix is too long", f"Use at most {longest} bytes.")
