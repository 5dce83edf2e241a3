"""Files and folders that appear whole or not at all: written beside the target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STEM_BYTES, _SUFFIX_BYTES = 80, 40

_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""What `numpy.save` says of a full disk, in an error without a number."""


def temporary_path(target: Path) -> Path:
    """Return an unused name beside `target`: hidden, and with its suffix.

    The suffix stays because many writers choose a format by it; the leading dot keeps readers
    from taking unfinished files for data. The name stays far below the limits of file systems,
    which count bytes: 255, or 143 if names are encrypted.
    """
    stem = os.fsencode(target.stem)[:_STEM_BYTES].decode("utf-8", "ignore")
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _SUFFIX_BYTES else ""
    return target.parent / f".{stem or '_'}.{uuid.uuid4().hex[:12]}{suffix}"


@contextmanager
def path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` if the block succeeds.

    Parameters
    ----------
    target
        The final file. Its folder is created if needed; an existing file is replaced.

    Yields
    ------
    pathlib.Path
        Where to write. Removed if the block raises.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(target)
    try:
        with _named(target):
            yield temporary
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _named(target: Path) -> Iterator[None]:
    """Let an error of the operating system name the target if it names nothing: a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is None and _SHORT_WRITE.search(str(error)):
            full = errno.ENOSPC
            raise OSError(full, os.strerror(full), os.fspath(target)) from error
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(target)
        raise


@contextmanager
def workspace(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder beside `target`, for files that the block renames itself.

    Parameters
    ----------
    target
        A file or folder; its parent is created if needed.

    Yields
    ------
    pathlib.Path
        Where to write. Removed with whatever is left in it when the block ends.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(target)
    temporary.mkdir()
    try:
        with _named(target):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def folder(target: str | os.PathLike[str], *, exist_ok: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `target`; rename it to `target` if the block succeeds.

    Parameters
    ----------
    target
        The final folder; its parent is created if needed. An empty folder there is replaced.
    exist_ok
        Accept that `target` exists when the block ends, such as when another process made the
        same folder first: that one stays and this one is removed.

    Yields
    ------
    pathlib.Path
        Where to write. Removed with its content if the block raises.

    Raises
    ------
    OSError
        `target` exists and is not an empty folder, or the disk cannot be written.
    """
    target = Path(target)
    with workspace(target) as temporary:
        yield temporary
        with contextlib.suppress(OSError):
            target.rmdir()  # Windows does not rename onto an empty folder
        try:
            temporary.rename(target)
        except OSError:
            if not (exist_ok and target.is_dir()):
                raise


def text(target: str | os.PathLike[str], content: str, *, durable: bool = False) -> Path:
    """Write `content` as UTF-8 to `target`, whole or not at all, and return the path.

    Line ends are written as they are. With `durable` the file is on disk before the function
    returns, so that it also survives a power failure.
    """
    target = Path(target)
    with path(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    if durable:
        _sync_folder(target.parent)
    return target


def _sync_folder(folder: Path) -> None:
    """Write a folder's entries to disk; Windows and some network file systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
