"""Indexed series of names: s0.png, s1.png, ..."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io, errors

from .pipeline import Progress, Result, carry_out
from .provenance import (
    GROUPS,
    MANIFEST,
    OWN_COLUMNS,
    Provenance,
    derived_row,
    read_provenance,
    read_table,
    to_csv,
    to_frame,
)
from .sources import RENAME_RECORD, WORK_RECORD, SourceImage, Sources, find_images

if TYPE_CHECKING:
    import pandas


def number_images(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    in_place: bool = False,
    prefix: str = "s",
    start: int = 0,
    progress: Progress | None = None,
) -> pandas.DataFrame:
    """Name the images of every sub-folder `s0`, `s1`, ... in the natural order of their names.

    Files keep their bytes and their suffix. No file is ever overwritten.

    Parameters
    ----------
    source
        An image, or a folder: `*`, `<class>/*` or `<split>/<class>/*` below it.
    out
        A new folder outside of `source`, for copies.
    in_place
        Rename inside `source` instead: first every file to a temporary hidden name, then to its
        new one, by a record (`.number.json`) that is written before and removed at the end. After
        an interruption the same call finishes; until then images may be hidden, but none is lost.
        File names in `groups.csv` follow.
    prefix, start
        The name's beginning and the first index.
    progress
        Called with the number of finished steps and of all steps.

    Returns
    -------
    pandas.DataFrame
        The manifest, which is also `manifest.csv` in `out` (in place: in `source`): `source` is
        the old name, and a tile keeps its field and transformation.

    Raises
    ------
    cellvision.errors.InvalidInput
        Both or none of `out` and `in_place`, or a prefix that no file name can begin with.
    cellvision.errors.FolderError
        `source` is missing or empty, `out` is taken, or a new name belongs to another file.

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
    if prefix.startswith(".") or any(sign in '<>:"/\\|?*' or sign < " " for sign in prefix):
        raise errors.InvalidInput(
            f"no file name can begin with {prefix!r} everywhere",
            "Use letters, digits, - and _ in --prefix.",
        )
    if out is None:
        return _number_in_place(Path(source), prefix, start, progress)

    def make(image: SourceImage, target: str, folder: Path) -> Result:
        with atomic_io.path(folder / target) as temporary:
            shutil.copyfile(image.path, temporary)
        return Result(((target, _transformation(target, prefix)),))

    def plan(images: Sequence[SourceImage]) -> Mapping[str, str]:
        return _new_names(images, prefix, start)

    parameters = {"prefix": prefix, "start": start}
    return carry_out("number", parameters, source, out, plan, make, progress)


def _new_names(images: Sequence[SourceImage], prefix: str, start: int) -> dict[str, str]:
    """Old to new name, counting anew in every sub-folder."""
    following: dict[PurePosixPath, int] = {}
    names = {}
    for image in images:
        index = following.get(image.folder, start)
        following[image.folder] = index + 1
        names[image.name] = (image.folder / f"{prefix}{index}{image.suffix}").as_posix()
    return names


def _transformation(name: str, prefix: str) -> str:
    index = PurePosixPath(name).name.removeprefix(prefix).split(".")[0]
    return f"number {index}"


def _number_in_place(
    source: Path, prefix: str, start: int, progress: Progress | None
) -> pandas.DataFrame:
    if source.is_file():
        raise errors.FolderError(
            f"{source} is a file", "Name its folder, or copy the one file with --out."
        )
    parameters = {"prefix": prefix, "start": start}
    path = source / RENAME_RECORD
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["parameters"] != parameters:
            raise errors.FolderError(
                f"{source}: numbering with {record['parameters']} was interrupted here",
                "Finish it first, with that prefix and start.",
            )
    else:
        record = {"schema": 1, "parameters": parameters, **_plan_in_place(source, prefix, start)}
        if record["renames"] or record["tables"]:
            atomic_io.text(path, json.dumps(record))
    if path.exists():
        _rename(source, record, progress)
    manifest = read_table(source / MANIFEST)
    columns = ("file", *manifest.columns)
    return to_frame(columns, ({"file": file, **row} for file, row in manifest.rows.items()))


def _plan_in_place(source: Path, prefix: str, start: int) -> dict[str, Any]:
    """Everything that will be done, so that finishing needs no further decision."""
    sources = find_images(source)
    provenance = read_provenance(source)
    names = _new_names(sources.images, prefix, start)
    _refuse_absent(source, provenance, names)
    token = uuid.uuid4().hex[:8]
    renames = []
    old = {name.casefold() for name in names}
    for index, (before, after) in enumerate(names.items()):
        if os.path.lexists(source / after) and after.casefold() not in old:
            raise errors.FolderError(
                f"{source / after} exists and is not one of the images",
                "Move it away, or choose another --prefix.",
            )
        if before != after:
            hidden = PurePosixPath(before).with_name(f".number-{token}-{index}").as_posix()
            renames.append((before, hidden, after))
    if not renames and set(names) == set(read_table(source / MANIFEST).rows):
        return {"phase": 1, "renames": [], "tables": {}}
    tables = {MANIFEST: _manifest(sources, provenance, names, prefix)}
    if (source / GROUPS).exists():
        groups = read_table(source / GROUPS)
        rows = [{"file": names[file], **row} for file, row in groups.rows.items()]
        tables[GROUPS] = to_csv(("file", *groups.columns), rows)
    return {"phase": 1, "renames": renames, "tables": tables}


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
                transformation=_transformation(after, prefix),
            )
        )
    return to_csv((*OWN_COLUMNS, *provenance.further), rows)


def _refuse_absent(source: Path, provenance: Provenance, names: Mapping[str, str]) -> None:
    absent = [file for file in provenance.rows if file not in names]
    if absent:
        raise errors.InvalidInput(
            f"{source}: its tables have {len(absent)} row(s) without an image, first: {absent[0]}",
            "Correct the tables first, or number into a new folder with --out.",
        )


def _rename(source: Path, record: dict[str, Any], progress: Progress | None) -> None:
    """Carry out a record from wherever it was interrupted."""
    renames, tables = record["renames"], record["tables"]
    total = 2 * len(renames)
    if record["phase"] == 1:
        # The record of tiling would make tiles again whose names are gone.
        (source / WORK_RECORD).unlink(missing_ok=True)
        for done, (before, hidden, _) in enumerate(renames, start=1):
            if not os.path.lexists(source / hidden):
                _move(source / before, source / hidden)
            if progress:
                progress(done, total)
        # From here on an old name may be the new name of another file, hence the mark.
        record["phase"] = 2
        atomic_io.text(source / RENAME_RECORD, json.dumps(record))
    for done, (_, hidden, after) in enumerate(renames, start=1 + len(renames)):
        if os.path.lexists(source / hidden) or not os.path.lexists(source / after):
            _move(source / hidden, source / after)
        if progress:
            progress(done, total)
    for name, text in tables.items():
        atomic_io.text(source / name, text)
    (source / RENAME_RECORD).unlink()


def _move(before: Path, after: Path) -> None:
    if os.path.lexists(after):
        raise errors.FolderError(
            f"{after} appeared while numbering; {before.name} was to get this name",
            "Move it away and give the same command again; it finishes.",
        )
    try:
        before.rename(after)
    except OSError as fault:
        raise errors.CellvisionError(
            f"{before} cannot be renamed to {after.name}: {fault}",
            "Remove the cause and give the same command again; it finishes.",
        ) from fault
