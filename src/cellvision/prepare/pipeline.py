"""The pipeline that all verbs share: in parallel, resumable, with a manifest at the end.

Every output appears under its final name whole or not at all, and a record in the output folder
gets one line per finished source. The same command run again makes what has no line yet.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import atomic_io, errors
from cellvision.concurrency import available_processors
from cellvision.data.files import read_image
from cellvision.locks import folder_lock
from cellvision.plurals import counted

from .provenance import (
    FIXED_COLUMNS,
    MANIFEST,
    Provenance,
    derived_row,
    read_provenance,
    similar_spellings,
    to_csv,
    to_frame,
)
from .records import Output, WorkHead, WorkLine, below
from .sources import SourceImage, Sources, find_images, visible_images
from .warnings import warn
from .work_record import WorkRecord

if TYPE_CHECKING:
    import pandas

    from cellvision.interfaces.decoded_image import DecodedImage

Progress = Callable[[int, int], None]
"""Called with the number of finished images and of all images, on the caller's thread."""

LARGE_FILE = 32 * 2**20  # bytes; larger files are decoded one at a time, to bound memory
_one_large_file = threading.Lock()

_LOST = re.compile("left out ([0-9]+) objects?")
"""Start of a note on objects of an image that got no crop."""


@dataclass(frozen=True)
class Result:
    """The outputs of one source, and notes about them for the user."""

    outputs: tuple[Output, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verb:
    """What one command does.

    Attributes
    ----------
    name, parameters
        The command and its settings; a folder begun with others is refused.
    plan
        Gives every image (by name) the path below the output folder that its outputs derive from.
    make
        Makes all outputs of one image, given its planned path and the output folder; called from
        several threads.
    columns
        Columns that outputs add to the manifest.
    """

    name: str
    parameters: Mapping[str, object]
    plan: Callable[[Sequence[SourceImage]], Mapping[str, str]]
    make: Callable[[SourceImage, str, Path], Result]
    columns: tuple[str, ...] = ()


@contextlib.contextmanager
def decoded(image: SourceImage) -> Iterator[DecodedImage]:
    """Decode one image; large ones are decoded one at a time, to bound memory."""
    # A link that leads nowhere is for read_image to refuse.
    large = image.path.exists() and image.path.stat().st_size > LARGE_FILE
    with _one_large_file if large else contextlib.nullcontext():
        yield read_image(image.path)


def run_verb(
    verb: Verb,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    progress: Progress | None,
) -> pandas.DataFrame:
    """Make the outputs of every image of `source` in `out`, then write the manifest.

    Raises
    ------
    cellvision.errors.FolderError
        The output folder lies in the source, is in use, holds anything else, or was begun with
        other settings; or the source changed since.
    cellvision.errors.UnreadableImages
        Some images cannot be decoded; all others are finished, and kept.
    """
    out = Path(out)
    sources = find_images(source)
    _raise_if_inside(Path(source), out)
    provenance = read_provenance(sources.root)
    targets = verb.plan(sources.images)
    with folder_lock(out, f"prepare {verb.name}"):
        parameters = json.loads(json.dumps(dict(verb.parameters)))
        record = WorkRecord.begin(out, WorkHead(verb=verb.name, parameters=parameters))
        record.raise_if_changed(sources.images, targets)
        for target in targets.values():
            below(out, target)
        _make_outputs(verb, sources.images, targets, record, progress)
        return _finish(verb, sources, provenance, record)


def _make_outputs(
    verb: Verb,
    images: Sequence[SourceImage],
    targets: Mapping[str, str],
    record: WorkRecord,
    progress: Progress | None,
) -> None:
    pending = [image for image in images if not record.is_finished(image.name)]
    if pending:
        (record.out / MANIFEST).unlink(missing_ok=True)
    completed = len(images) - len(pending)
    unreadable: list[errors.UnreadableImage] = []
    if progress:
        progress(completed, len(images))
    with contextlib.closing(record):
        for image, future in _in_threads(verb, pending, targets, record.out):
            try:
                result = future.result()
                record.add(image, targets[image.name], result.outputs, result.notes)
            except errors.UnreadableImage as error:
                unreadable.append(error)
            except OSError as error:
                raise errors.CellvisionError(
                    f"{image.name}: cannot write its outputs: {error}",
                    "Remove the cause and run the same command again; it resumes.",
                ) from error
            completed += 1
            if progress:
                progress(completed, len(images))
    if unreadable:
        failure = errors.UnreadableImages(unreadable)
        failure.hint = "Repair or remove them and run the same command again; the rest is done."
        raise failure


def _in_threads(
    verb: Verb, images: Sequence[SourceImage], targets: Mapping[str, str], out: Path
) -> Iterator[tuple[SourceImage, Future[Result]]]:
    """Make outputs in parallel; yield in the order of the sources, so that errors are stable."""
    workers = min(available_processors(), max(len(images), 1))
    queue = iter(images)
    running: deque[tuple[SourceImage, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    try:
        while True:
            # A short queue keeps memory flat and answers an interruption at once.
            while len(running) < 2 * workers and (image := next(queue, None)) is not None:
                running.append((image, pool.submit(verb.make, image, targets[image.name], out)))
            if not running:
                return
            yield running.popleft()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finish(
    verb: Verb, sources: Sources, provenance: Provenance, record: WorkRecord
) -> pandas.DataFrame:
    """Check the folder, warn of what the user should know, and write the manifest."""
    lines = [record.lines[image.name] for image in sources.images]
    added = tuple(column for column in verb.columns if column not in provenance.carried_over)
    columns = (*FIXED_COLUMNS, *provenance.carried_over, *added)
    rows = [
        derived_row(
            provenance,
            file=output.file,
            source=image.name,
            field=image.field,
            transformation=output.transformation,
        )
        | output.columns
        for image, line in zip(sources.images, lines, strict=True)
        for output in line.outputs
    ]
    _raise_if_strays(record.out, {row["file"] for row in rows})
    if provenance.rows:
        unlisted = [image.name for image in sources.images if image.name not in provenance.rows]
        if unlisted:
            warn(
                f"{counted(len(unlisted), 'image')} without a row of provenance, first: "
                f"{unlisted[0]}"
            )
    _warn_of_spellings(columns[len(FIXED_COLUMNS) :], rows)
    _warn_of_notes(lines)
    record.raise_if_replaced()
    atomic_io.text(record.out / MANIFEST, to_csv(columns, rows))
    return to_frame(columns, rows)


def _raise_if_inside(source: Path, out: Path) -> None:
    source, out = source.resolve(), out.resolve()
    if source.is_dir() and (out == source or source in out.parents):
        raise errors.FolderError(
            f"{out} lies in the source folder {source}",
            "Name a folder outside of it with --out: sources are never changed.",
        )


def _raise_if_strays(out: Path, listed: set[str]) -> None:
    strays = sorted(visible_images(out) - listed)
    if strays:
        raise errors.FolderError(
            f"{out} holds {counted(len(strays), 'image')} that this command did not make, "
            f"first: {strays[0]}",
            "Remove them and run the same command again, or name a new folder with --out.",
        )


def _warn_of_spellings(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    """One group in two spellings would lie on both sides of a split."""
    for column in columns:
        for spellings in similar_spellings({row.get(column, "") for row in rows}):
            quoted = " and ".join(repr(spelling) for spelling in spellings)
            warn(f"column {column}: {quoted} look like one group; if so, spell it one way")


def _warn_of_notes(lines: Sequence[WorkLine]) -> None:
    """Warn once per note, with the first image and the number of others.

    Notes that differ only in how many objects an image lost are one note, with their total.
    """
    names: dict[str, list[str]] = {}
    totals: dict[str, int] = {}
    for line in lines:
        for note in line.notes:
            lost = _LOST.match(note)
            kind = note if lost is None else note[lost.end() :]
            names.setdefault(kind, []).append(line.source)
            if lost is not None:
                totals[kind] = totals.get(kind, 0) + int(lost[1])
    for kind, images in names.items():
        others = f" and {counted(len(images) - 1, 'other')}" if len(images) > 1 else ""
        lost_objects = f"left out {counted(totals[kind], 'object')}" if kind in totals else ""
        warn(f"{images[0]}{others}: {lost_objects}{kind}")
