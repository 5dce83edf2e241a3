"""One lock per folder, so that two processes never write into the same folder at once.

The lock file lies in the user's state folder (`cellvision.state`), under a name derived from the
folder's resolved path. It cannot lie in the folder itself, because an output folder must be empty
or absent when work begins, nor beside it, because the parent may not exist yet, may be read-only
or may itself be a data set. Jobs of one user on several computers exclude each other where they
share the home folder and its file system supports locks; two users who work in one folder do not.

The operating system releases the lock when its process ends, however it ends: nothing needs
cleaning up after a kill. The lock file (empty) stays, since removing it would race with a process
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
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import atomic_io, errors
from cellvision.state import state_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock


@contextmanager
def folder_lock(folder: str | os.PathLike[str], verb: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of a folder while the block runs.

    Not reentrant: a second lock on the same folder waits or is refused, also in the same
    process or thread.

    Parameters
    ----------
    folder
        The folder to work in. It need not exist.
    verb
        The command that holds the lock, such as ``"prepare number"``; shown to whoever is
        refused.
    wait
        Seconds to wait while another process holds the lock; ``math.inf`` waits for ever. By
        default the lock is refused at once.

    Raises
    ------
    cellvision.errors.FolderError
        Another process still holds the lock; the message names its command, process, computer
        and start.
    cellvision.errors.CellvisionError
        No lock can be taken in the state folder or in the temporary folder.

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
        with contextlib.suppress(OSError):  # without it a refusal only says less
            atomic_io.text(holder, json.dumps(_this_process(resolved, verb)))
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _acquire(resolved: Path, wait: float) -> tuple[Path, BaseFileLock]:
    import filelock  # 0.15 s, and only commands that write need it

    name = hashlib.sha256(os.path.normcase(resolved).encode("utf-8", "surrogateescape")).hexdigest()
    failure: Exception | None = None
    for folder in (state_folder() / "locks", _temporary_folder()):
        path = folder / f"{name[:32]}.lock"
        lock = filelock.FileLock(path)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock.acquire(timeout=-1 if math.isinf(wait) else wait)
        except filelock.Timeout as error:
            raise _in_use(resolved, path.with_suffix(".json")) from error
        except (OSError, NotImplementedError) as error:
            # Read-only, full, or a network file system without locks.
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
    except (OSError, ValueError, LookupError, TypeError):  # it has only just begun, or ends
        by = "by another process"
    return errors.FolderError(
        f"{resolved} is in use {by}",
        "Wait until that command has finished, then run this one again.",
    )
