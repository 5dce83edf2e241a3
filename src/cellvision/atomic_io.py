"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `target`, renamed to it when the block ends well.

    The temporary name keeps the suffix, since many writers choose a format by it, and
    starts with a dot, so that nobody takes a half-written file for data.

    Parameters
    ----------
    target
        The final name. Its folder is made where missing.

    Yields
    ------
    pathlib.Path
        Where to write. Removed when the block raises.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.stem[:80]}.{uuid.uuid4().hex[:12]}{target.suffix}"
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def text(target: str | os.PathLike[str], content: str) -> Path:
    """Write `content` as UTF-8 under `target`, whole or not at all, and return the path."""
    with path(target) as temporary:
        temporary.write_text(content, encoding="utf-8", newline="\n")
    return Path(target)
