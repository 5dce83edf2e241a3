"""Files that appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `target`, and rename it to `target` when the block succeeds.

    The temporary name keeps the suffix, since many writers choose a format by it, and starts
    with a dot, so that no one mistakes a half-written file for data.

    Parameters
    ----------
    target
        The final name. Its folder is created if missing.

    Yields
    ------
    pathlib.Path
        Where to write. Removed if the block raises.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.stem[:80]}.{uuid.uuid4().hex[:12]}{target.suffix}"
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


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
