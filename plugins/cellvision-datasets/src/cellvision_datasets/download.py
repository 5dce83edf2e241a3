"""Files from the network: checked, resumed where they broke off, there whole or not at all."""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cellvision import errors
from cellvision.io import file_digest

_BLOCK = 2**18  # bytes
_TIMEOUT = 30  # seconds without a byte
_ATTEMPTS = 3
_RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True)
class RemoteFile:
    """A file in the network, with what it must be.

    Attributes
    ----------
    url : str
        Where it is (http or https).
    sha256 : str
        The SHA-256 of its bytes, in hexadecimal.
    size : int
        Its size in bytes.
    """

    url: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """Its file name."""
        return self.url.rpartition("/")[2]


def data_folder() -> Path:
    """Where downloads are kept: ``CELLVISION_DATA``, else the user's data folder."""
    named = os.environ.get("CELLVISION_DATA")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_data_dir("cellvision"))


def fetch(remote: RemoteFile, folder: Path, offline_hint: str) -> Path:
    """Download a file into a folder, unless it is there.

    Bytes are collected in ``<name>.part``. A download that was interrupted, even by a kill, goes
    on where it stopped, if the server can do that. The file gets its name when its checksum is
    right.

    Parameters
    ----------
    remote
        What to fetch.
    folder
        Where to put it; made where missing.
    offline_hint
        One line for the error: how to do without the network.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    errors.CellvisionError
        The server cannot be reached or broke off repeatedly, or the checksum is wrong.
    """
    target = folder / remote.name
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{remote.name}.part"
    with _alone(folder / f".{remote.name}.lock"):
        if target.exists():  # another process was quicker
            return target
        with part.open("ab") as file:
            _complete(remote, file, offline_hint)
        digest = file_digest(part)
        if digest != remote.sha256:
            part.unlink()
            raise errors.CellvisionError(
                f"{remote.url}: what arrived has SHA-256 {digest}, not {remote.sha256}; "
                "it was removed",
                f"Give the same command again; if that does not help: {offline_hint}",
            )
        part.replace(target)
    return target


def _complete(remote: RemoteFile, file: BinaryIO, offline_hint: str) -> None:
    """Append what is missing, going on after breaks as long as there is progress."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Speed())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(remote.name, total=remote.size)
        attempts = 0
        while True:
            before = file.tell()
            try:
                for _ in _receive(remote, file):
                    progress.update(bar, completed=file.tell())
                if file.tell() >= remote.size:
                    return
                fault: Exception = http.client.IncompleteRead(b"", remote.size - file.tell())
            except (OSError, http.client.HTTPException) as error:
                fault = error
            attempts = 0 if file.tell() > before else attempts + 1
            final = isinstance(fault, urllib.error.HTTPError) or attempts >= _ATTEMPTS
            if final:
                got = f" after {file.tell()} of {remote.size} bytes" if file.tell() else ""
                raise errors.CellvisionError(
                    f"{remote.url} cannot be fetched{got}: {_reason(fault)}", offline_hint
                ) from fault


def _receive(remote: RemoteFile, file: BinaryIO) -> Iterator[None]:
    """Ask for what is missing and append it, block by block."""
    if file.tell() >= remote.size:
        return
    request = urllib.request.Request(remote.url)  # noqa: S310 - addresses are constants, not input
    if file.tell():
        request.add_header("Range", f"bytes={file.tell()}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {file.tell()}-")
        if not (response.status == http.client.PARTIAL_CONTENT and resumed):
            file.seek(0)
            file.truncate()  # the server sends the whole file
        while block := response.read(_BLOCK):
            file.write(block)
            file.flush()
            yield


def _reason(fault: Exception) -> str:
    reason = getattr(fault, "reason", None) or fault
    text = str(reason) or type(fault).__name__
    if isinstance(fault, urllib.error.HTTPError):
        return f"the server answers {fault.code} {text}"
    return " ".join(text.split())


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process holds this lock; a killed one lets go of it by itself."""
    try:
        import fcntl
    except ImportError:  # Windows: two at once spoil the file, and the checksum tells
        yield
        return
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
