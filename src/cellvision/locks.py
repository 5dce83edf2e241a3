"""Lock folders, so that two processes never write to the same folder at once.

The lock file is in the user's state folder (`cellvision.user_folders`), under a name derived from
the folder's resolved path. It cannot be in the folder itself, because an output folder must be
empty or absent when a command starts, nor beside it, because the parent may not exist yet, may be
read-only, or may itself be a data set. Jobs of one user on several computers exclude each other if
they share a home folder whose file system supports locks. Two users in one folder do not.

The operating system releases the lock when its process ends, even if the process is killed, so
nothing needs cleaning up. The empty lock file stays, because removing it would race with a process
that has just opened it.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import math
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import atomic_io, errors
from cellvision.user_folders import state_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock


@contextmanager
def folder_lock(folder: str | os.PathLike[str], verb: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of a folder while the block runs.

    The lock is not reentrant: a second lock on the same folder waits or fails, even in the same
    process or thread.

    Parameters
    ----------
    folder
        Folder to lock. It need not exist.
    verb
        Command that holds the lock, such as ``"prepare number"``; named in the error of a process
        that cannot get the lock.
    wait
        Seconds to wait while another process holds the lock; ``math.inf`` waits for ever. By
        default, fail at once.

    Raises
    ------
    cellvision.errors.FolderError
        Another process holds the lock; the message states its command, process id, computer and
        start time.
    cellvision.errors.CellvisionError
        Lock files can be created neither in the state folder nor in the temporary folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, folder_lock(folder, "train"):
    ...     try:
    ...         with folder_lock(folder, "study"):
    ...             pass
    ...     except errors.FolderError as error:
    ...         print("in use by: train" in error.what)
    True
    """
    resolved = Path(folder).resolve()
    path, lock = _acquire(resolved, wait)
    holder = path.with_suffix(".json")
    try:
        with contextlib.suppress(OSError):  # the error of another process then has fewer details
            atomic_io.text(holder, json.dumps(_this_process(resolved, verb)))
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _acquire(resolved: Path, wait: float) -> tuple[Path, BaseFileLock]:
    import filelock  # takes 0.15 s, and only commands that write need it

    name = hashlib.sha256(os.path.normcase(resolved).encode("utf-8", "surrogateescape")).hexdigest()
    failure: Exception | None = None
    temporary = _temporary_folder()
    for folder in (state_folder() / "locks", temporary):
        path = folder / f"{name[:32]}.lock"
        lock = filelock.FileLock(path)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if folder == temporary:
                _raise_if_shared(folder)
            lock.acquire(timeout=-1 if math.isinf(wait) else wait)
        except filelock.Timeout as error:
            raise _in_use(resolved, path.with_suffix(".json")) from error
        except (OSError, NotImplementedError) as error:
            # The folder is read-only or full, or its file system has no locks.
            failure = failure or error
        else:
            return path, lock
    raise errors.CellvisionError(
        f"cannot lock {resolved}: {failure}",
        "Set CELLVISION_STATE to a folder on a local disk that you can write to.",
    ) from failure


def _temporary_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return Path(tempfile.gettempdir()) / f"cellvision-locks-{user}"


def _raise_if_shared(folder: Path) -> None:
    """Refuse a folder of locks in which others can put files.

    Anybody can create the temporary one first. A link in the place of a lock file would make us
    empty the file that it leads to.

    Raises
    ------
    OSError
        The folder is a link, belongs to another user, or can be written to by others.
    """
    if not hasattr(os, "getuid"):
        return
    status = folder.lstat()
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or shared:
        raise PermissionError(f"{folder} is not a private folder of this user")


def _this_process(resolved: Path, verb: str) -> dict[str, str | int]:
    return {
        "folder": os.fsencode(resolved).decode("utf-8", "backslashreplace"),
        "verb": verb,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
    }


def _in_use(resolved: Path, holder: Path) -> errors.FolderError:
    try:
        content = json.loads(holder.read_text(encoding="utf-8"))
        by = (
            f"by: {content['verb']}, process {content['pid']} on {content['host']}, "
            f"since {content['since']}"
        )
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
    ):  # the process has just started, or is ending
        by = "by another process"
    return errors.FolderError(
        f"{resolved} is in use {by}",
        "Wait until that command has finished, then run this one again.",
    )
