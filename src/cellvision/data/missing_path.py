"""Why there is no file or folder at a path: links that lead nowhere are named."""

from __future__ import annotations

import os
from pathlib import Path

from cellvision.data.folder_walk import printable

_MISSING = "no such file or folder"


def why_missing(path: str | os.PathLike[str], otherwise: str = _MISSING) -> str:
    """Return in one clause why there is nothing at a path.

    Parameters
    ----------
    path
        A path that does not exist.
    otherwise
        What to say if neither the path nor a folder above it is a broken link.

    Returns
    -------
    str
        Such as ``it is a broken link to /data/cells``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     why_missing(Path(folder, "cells"))
    'no such file or folder'
    """
    missing = Path(path)
    for link in (missing, *missing.parents):
        if link.exists():
            return otherwise if link.is_dir() or link == missing else f"{printable(link)} is a file"
        if link.is_symlink():
            subject = "it" if link == missing else printable(link)
            return f"{subject} is {_broken(link)}"
    return otherwise


def _broken(link: Path) -> str:
    # strict=False follows a chain of links to the missing end; it never ends for a loop.
    target = Path(os.path.realpath(link))
    if target.is_symlink():
        return "a link that leads back to itself"
    return f"a broken link to {printable(target)}"
