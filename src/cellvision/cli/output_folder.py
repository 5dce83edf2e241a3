"""Folders that a command creates for its output."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def removed_if_empty(out: str | os.PathLike[str]) -> Iterator[None]:
    """Remove the folders that the block created for its output if it fails and wrote nothing."""
    from cellvision.remote import is_address

    if is_address(os.fspath(out)):
        yield
        return
    path = Path(out).absolute()
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        if created:
            _remove_empty(path, created)
        raise


@contextlib.contextmanager
def shown_without_reports(show: Callable[[Any, str], None], out: str) -> Iterator[None]:
    """Show the results of a command also if their reports cannot be written; the error remains.

    Parameters
    ----------
    show
        Prints a run or study.
    out
        Its folder or address, as the user named it.
    """
    from cellvision import errors

    try:
        yield
    except errors.ReportError as error:
        if error.finished is not None:
            show(error.finished, out)
        raise


def _remove_empty(path: Path, created: list[Path]) -> None:
    from cellvision.results.claimed_folder import MARK, PLAN

    with contextlib.suppress(OSError):  # a folder that is not empty stays
        for folder, _, files in os.walk(path, topdown=False):
            if set(files) <= {MARK, PLAN}:  # claimed, and nothing written since
                for name in files:
                    (Path(folder) / name).unlink()
            Path(folder).rmdir()
        for folder_above in created[1:]:
            folder_above.rmdir()
