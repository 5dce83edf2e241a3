"""The record of an output folder: which command fills it and which sources are finished."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from cellvision import atomic_io, errors
from cellvision.data.files import is_phantom

from .records import (
    NOT_SIGNED,
    NUMBER_RECORD,
    WORK_RECORD,
    Output,
    WorkHead,
    WorkLine,
    below,
    foreign,
    read_text,
)
from .sources import SourceImage, visible_images


class WorkRecord:
    """`.prepare.jsonl`: a signed head, then one line per finished source.

    Parameters
    ----------
    out
        The output folder; its lock is held.
    head
        The command that fills it.
    lines
        What an earlier, interrupted call of the same command finished.
    """

    def __init__(self, out: Path, head: WorkHead, lines: Sequence[WorkLine] = ()) -> None:
        self.out = out
        self.head = head.signed()
        self.lines = {line.source: line for line in lines}
        # Rewritten, so that a line that a crash cut short does not swallow the next one.
        models = (self.head, *self.lines.values())
        text = "".join(model.model_dump_json() + "\n" for model in models)
        self._file = atomic_io.text(out / WORK_RECORD, text).open("a", encoding="utf-8", newline="")

    @classmethod
    def begin(cls, out: Path, head: WorkHead) -> WorkRecord:
        """Take an empty folder, or resume in one that was begun with the same settings.

        Raises
        ------
        cellvision.errors.FolderError
            The folder is not empty, was begun with other settings, or has a foreign record.
        """
        _create_folder(out)
        if os.path.lexists(out / NUMBER_RECORD):
            raise errors.FolderError(
                f"{out}: numbering in place was interrupted here", "Name a new folder with --out."
            )
        if not os.path.lexists(out / WORK_RECORD):
            if any(not is_phantom(path) for path in out.iterdir()):
                raise errors.FolderError(
                    f"{out} is not empty and was not begun by this command",
                    "Name a new folder with --out.",
                )
            return cls(out, head)
        earlier, lines = _read(out / WORK_RECORD)
        if earlier.same_command(head):
            _remove_partial_files(out)
            return cls(out, head, lines)
        if lines or visible_images(out):
            raise errors.FolderError(
                f"{out} was begun with {earlier}, not with {head}",
                "Name a new folder with --out, or remove this one.",
            )
        return cls(out, head)

    def raise_if_changed(self, images: Sequence[SourceImage], targets: Mapping[str, str]) -> None:
        """Refuse to mix outputs of sources as they were with outputs of sources as they are."""
        current = {
            image.name: (targets[image.name], *_fingerprint(image))
            for image in images
            if image.name in self.lines
        }
        for name, line in self.lines.items():
            if current.get(name) != (line.target, line.size, line.mtime_ns):
                self.close()
                raise errors.FolderError(
                    f"{name} changed, moved or was renamed since {self.out} was begun",
                    "Name a new folder with --out, or remove this one.",
                )

    def is_finished(self, name: str) -> bool:
        """Whether every output of a source exists."""
        line = self.lines.get(name)
        return line is not None and all((self.out / o.file).is_file() for o in line.outputs)

    def add(
        self, image: SourceImage, target: str, outputs: Sequence[Output], notes: Sequence[str]
    ) -> None:
        """Note that all outputs of one source are written."""
        size, mtime_ns = _fingerprint(image)
        line = WorkLine(
            source=image.name,
            target=target,
            size=size,
            mtime_ns=mtime_ns,
            outputs=list(outputs),
            notes=list(notes),
        )
        self._file.write(line.model_dump_json() + "\n")
        self._file.flush()
        self.lines[image.name] = line

    def raise_if_replaced(self) -> None:
        """Check that the folder still has this record, and not one of another command."""
        try:
            text = read_text(self.out / WORK_RECORD)
            if WorkHead.model_validate_json(text.split("\n")[0]).token == self.head.token:
                return
        except (OSError, ValidationError, errors.FolderError):
            pass
        raise errors.FolderError(
            f"{self.out}: its record {WORK_RECORD} was removed or replaced while this command ran",
            "Remove the folder, or name a new one with --out, and run the command again.",
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _create_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise errors.FolderError(f"{out} is a file", "Name a new folder with --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.FolderError(
            f"{out} cannot be created: {error}", "Name a folder that you can write to."
        ) from error


def _read(path: Path) -> tuple[WorkHead, list[WorkLine]]:
    """Read and check a record.

    Raises
    ------
    cellvision.errors.FolderError
        It is not one that this user's `prepare` wrote, or a name in it leads elsewhere.
    """
    # Not splitlines: a name may hold U+2028 and others that count as line breaks there.
    text = read_text(path).split("\n")
    try:
        head = WorkHead.model_validate_json(text[0])
        if not head.is_ours:
            raise foreign(path, NOT_SIGNED)
        # The last line is empty, or a crash cut it short: that source is made again.
        lines = [WorkLine.model_validate_json(line) for line in text[1:-1]]
    except ValidationError as error:
        raise foreign(path, error) from error
    for line in lines:
        if not line.is_consistent:
            raise foreign(path, f"an output of {line.source} has another name than it would get")
        for output in line.outputs:
            below(path.parent, output.file)
    return head, lines


def _fingerprint(image: SourceImage) -> tuple[int, int]:
    status = image.path.stat()
    return status.st_size, status.st_mtime_ns


def _remove_partial_files(out: Path) -> None:
    """Remove half-written files of a killed process; nobody else writes while we hold the lock."""
    for path in out.rglob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{12}\.\w+", path.name) and path.is_file():
            path.unlink(missing_ok=True)
