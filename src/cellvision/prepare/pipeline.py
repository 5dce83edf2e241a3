"""One way to work through many images: in parallel, resumable, with a manifest at the end.

Every result appears under its final name whole or not at all, and a record in the output folder
gets one line for each finished source. The same command given again makes what has no line yet.
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
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io, errors
from cellvision.data.files import is_phantom, read_image

from .provenance import MANIFEST, OWN_COLUMNS, derived_row, read_provenance, to_csv, to_frame
from .sources import RENAME_RECORD, WORK_RECORD, SourceImage, find_images, visible_images
from .warnings import warn

if TYPE_CHECKING:
    import pandas

    from cellvision.interfaces.decoded_image import DecodedImage

Progress = Callable[[int, int], None]
"""Called with the number of finished images and of all images, on the caller's thread."""

LARGE_FILE = 32 * 2**20  # bytes; larger files are decoded one at a time, to bound memory
_one_large_file = threading.Lock()


@dataclass(frozen=True)
class Result:
    """What one source became.

    Attributes
    ----------
    made
        Pairs of file (POSIX path relative to the output folder) and transformation.
    notes
        What a person should know about it.
    """

    made: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


Make = Callable[[SourceImage, str, Path], Result]
"""Makes all results of one image, given its planned output path and the output folder."""


@contextlib.contextmanager
def decoded(image: SourceImage) -> Iterator[DecodedImage]:
    """Decode one image; few large ones are held in memory at the same time."""
    # A link that leads nowhere is for read_image to refuse.
    large = image.path.exists() and image.path.stat().st_size > LARGE_FILE
    with _one_large_file if large else contextlib.nullcontext():
        yield read_image(image.path)


def carry_out(
    verb: str,
    parameters: Mapping[str, object],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    plan: Callable[[Sequence[SourceImage]], Mapping[str, str]],
    make: Make,
    progress: Progress | None,
) -> pandas.DataFrame:
    """Make the results of every image of `source` in `out`, then write the manifest.

    Parameters
    ----------
    verb, parameters
        What is done; a folder begun with anything else is refused.
    plan
        Gives every image (by name) the path below `out` that its results derive from.
    make
        Makes the results of one image; called from several threads.

    Raises
    ------
    cellvision.errors.FolderError
        The output folder lies in the source, is taken, or was begun with other settings;
        or the source changed since.
    cellvision.errors.UnreadableImages
        Some images cannot be decoded; all others are finished, and kept.
    """
    out = Path(out)
    sources = find_images(source)
    _refuse_inside(Path(source), out)
    provenance = read_provenance(sources.root)
    targets = plan(sources.images)
    head = json.loads(json.dumps({"schema": 1, "verb": verb, "parameters": dict(parameters)}))
    record = _Record.begin(out, head)
    record.refuse_changed(sources.images, targets)
    todo = [image for image in sources.images if not record.finished(image.name)]
    if todo:
        (out / MANIFEST).unlink(missing_ok=True)
    _make_all(todo, len(sources.images), targets, make, record, progress)

    rows = [
        derived_row(
            provenance,
            file=file,
            source=image.name,
            field=image.field,
            transformation=transformation,
        )
        for image in sources.images
        for file, transformation in record.results[image.name].made
    ]
    _refuse_strays(out, {row["file"] for row in rows})
    if provenance.rows:
        unlisted = [image.name for image in sources.images if image.name not in provenance.rows]
        if unlisted:
            warn(f"{len(unlisted)} image(s) without a row of provenance, first: {unlisted[0]}")
    _tell_notes(sources.images, record.results)
    columns = (*OWN_COLUMNS, *provenance.further)
    atomic_io.text(out / MANIFEST, to_csv(columns, rows))
    return to_frame(columns, rows)


def _make_all(
    todo: Sequence[SourceImage],
    total: int,
    targets: Mapping[str, str],
    make: Make,
    record: _Record,
    progress: Progress | None,
) -> None:
    workers = min(os.cpu_count() or 1, max(len(todo), 1))
    done = total - len(todo)
    unreadable: list[errors.UnreadableImage] = []
    queue = iter(todo)
    running: deque[tuple[SourceImage, Future[Result]]] = deque()
    if progress:
        progress(done, total)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    try:
        while True:
            # A short queue: memory stays flat, and an interruption is answered at once.
            while len(running) < 2 * workers and (image := next(queue, None)) is not None:
                future = pool.submit(make, image, targets[image.name], record.out)
                running.append((image, future))
            if not running:
                break
            # In the order of the sources, so that the same fault is told every time.
            image, future = running.popleft()
            try:
                record.add(image, targets[image.name], future.result())
            except errors.UnreadableImage as fault:
                unreadable.append(fault)
            except OSError as fault:
                raise errors.CellvisionError(
                    f"{image.name}: its results cannot be made: {fault}",
                    "Remove the cause and give the same command again; it makes the rest.",
                ) from fault
            done += 1
            if progress:
                progress(done, total)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        record.close()
    if unreadable:
        error = errors.UnreadableImages(unreadable)
        error.hint = "Mend or remove them and give the same command again; the rest is finished."
        raise error


class _Record:
    """What was begun in an output folder and which sources are finished, line by line."""

    def __init__(self, out: Path, head: object, lines: Sequence[dict[str, Any]]) -> None:
        self.out = out
        self.lines = {str(line["source"]): line for line in lines}
        self.results = {name: _result(line) for name, line in self.lines.items()}
        # Written anew: a line that a crash cut short must not swallow the next one.
        text = "".join(json.dumps(line) + "\n" for line in (head, *self.lines.values()))
        self._file = atomic_io.text(out / WORK_RECORD, text).open("a", encoding="utf-8")

    @classmethod
    def begin(cls, out: Path, head: dict[str, Any]) -> _Record:
        """Take an empty folder, or go on in one that was begun with the same settings."""
        if out.exists() and not out.is_dir():
            raise errors.FolderError(f"{out} is a file", "Name a new folder with --out.")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise errors.FolderError(
                f"{out} cannot be made: {fault}", "Name a folder that can be written."
            ) from fault
        if (out / RENAME_RECORD).exists():
            raise errors.FolderError(
                f"{out}: numbering in place was interrupted here", "Name a new folder with --out."
            )
        lines = _read_lines(out / WORK_RECORD)
        if lines:
            if lines[0] == head:
                _sweep(out)
                return cls(out, head, lines[1:])
            if len(lines) > 1 or visible_images(out):
                raise errors.FolderError(
                    f"{out} was begun with {_describe(lines[0])}, not with {_describe(head)}",
                    "Name a new folder with --out, or remove this one.",
                )
        elif any(not is_phantom(path) for path in out.iterdir()):
            raise errors.FolderError(
                f"{out} is not empty, and not the work of this command",
                "Name a new folder with --out.",
            )
        return cls(out, head, [])

    def refuse_changed(self, images: Sequence[SourceImage], targets: Mapping[str, str]) -> None:
        """Refuse to mix results of sources as they were with sources as they are."""
        now = {
            image.name: [targets[image.name], *_fingerprint(image)]
            for image in images
            if image.name in self.lines
        }
        for name, line in self.lines.items():
            if now.get(name) != [line["target"], line["size"], line["mtime_ns"]]:
                self.close()
                raise errors.FolderError(
                    f"{name} changed, moved or was renamed since {self.out} was begun",
                    "Name a new folder with --out, or remove this one.",
                )

    def finished(self, name: str) -> bool:
        """Whether every result of a source is there."""
        result = self.results.get(name)
        return result is not None and all((self.out / file).exists() for file, _ in result.made)

    def add(self, image: SourceImage, target: str, result: Result) -> None:
        """Note that all results of one source are there."""
        size, mtime_ns = _fingerprint(image)
        line = {
            "source": image.name,
            "target": target,
            "size": size,
            "mtime_ns": mtime_ns,
            "made": result.made,
            "notes": result.notes,
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        self.results[image.name] = result

    def close(self) -> None:
        self._file.close()


def _fingerprint(image: SourceImage) -> tuple[int, int]:
    status = image.path.stat()
    return status.st_size, status.st_mtime_ns


def _read_lines(path: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break  # cut short by a crash: that source is made again
    return lines


def _result(line: dict[str, Any]) -> Result:
    made = tuple((file, transformation) for file, transformation in line["made"])
    return Result(made, tuple(line["notes"]))


def _describe(head: dict[str, Any]) -> str:
    given = [f"{key}={value}" for key, value in head["parameters"].items() if value is not None]
    return f"{head['verb']} {' '.join(given)}"


def _sweep(out: Path) -> None:
    """Remove half-written files that a killed process left beside their place."""
    for path in out.rglob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{12}\.\w+", path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _refuse_inside(source: Path, out: Path) -> None:
    source, out = source.resolve(), out.resolve()
    if source.is_dir() and (out == source or source in out.parents):
        raise errors.FolderError(
            f"{out} lies in the source folder {source}",
            "Name a folder outside of it with --out: sources are never changed.",
        )


def _refuse_strays(out: Path, listed: set[str]) -> None:
    strays = sorted(visible_images(out) - listed)
    if strays:
        raise errors.FolderError(
            f"{out} holds {len(strays)} image(s) that no source accounts for, first: {strays[0]}",
            "Remove them and give the same command again, or name a new folder with --out.",
        )


def _tell_notes(images: Sequence[SourceImage], results: Mapping[str, Result]) -> None:
    names: dict[str, list[str]] = {}
    for image in images:
        for note in results[image.name].notes:
            names.setdefault(note, []).append(image.name)
    for note, with_note in names.items():
        warn(f"{with_note[0]}{_others(len(with_note) - 1)}: {note}")


def _others(count: int) -> str:
    return f" and {count} other(s)" if count else ""
