"""Downloads: verified by checksum, resumed after interruptions, complete or absent.

The library pooch verifies too, but starts an interrupted download over: 229 MB for `flowers`.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cellvision import errors

if TYPE_CHECKING:
    from filelock import BaseFileLock
from cellvision.io import file_digest

_BLOCK = 2**18  # bytes
_TIMEOUT = 30  # seconds without a byte
_ATTEMPTS = 3
_RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server, with its checksum and size.

    Attributes
    ----------
    url : str
        Address (http or https).
    sha256 : str
        SHA-256 of its bytes, in hexadecimal.
    size : int
        Size in bytes.
    """

    url: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """File name."""
        return self.url.rpartition("/")[2]


def data_folder() -> Path:
    """Return the folder for downloads: ``CELLVISION_DATA``, else the user's data folder."""
    configured = os.environ.get("CELLVISION_DATA")
    if configured:
        return Path(configured)
    import platformdirs

    return Path(platformdirs.user_data_dir("cellvision"))


def fetch(remote: RemoteFile, folder: Path, offline_hint: str) -> Path:
    """Download a file into a folder, unless it is already there.

    Bytes are collected in ``<name>.part``. An interrupted download resumes if the server supports
    it, even after a kill. The file gets its final name once its checksum is correct.

    Parameters
    ----------
    remote
        The file.
    folder
        Folder to download into; created if needed.
    offline_hint
        One line for the error: what to do without network.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    errors.CellvisionError
        The server cannot be reached, the connection keeps failing, or the checksum is wrong.
    """
    target = folder / remote.name
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{remote.name}.part"
    with _lock(folder / f".{remote.name}.lock"):
        if target.exists():  # another process downloaded it meanwhile
            return target
        with part.open("ab") as file:
            _complete(remote, file, offline_hint)
        digest = file_digest(part)
        if digest != remote.sha256:
            part.unlink()
            raise errors.CellvisionError(
                f"{remote.url}: the download has SHA-256 {digest}, not {remote.sha256}; "
                "it was removed",
                f"Run the command again. If that does not help: {offline_hint}",
            )
        part.replace(target)
    return target


def _complete(remote: RemoteFile, file: BinaryIO, offline_hint: str) -> None:
    """Append the missing bytes, retrying as long as there is progress."""
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
                done = f" after {file.tell()} of {remote.size} bytes" if file.tell() else ""
                raise errors.CellvisionError(
                    f"cannot download {remote.url}{done}: {_reason(fault)}", offline_hint
                ) from fault


def _receive(remote: RemoteFile, file: BinaryIO) -> Iterator[None]:
    """Request the missing bytes and append them block by block."""
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


def _lock(path: Path) -> BaseFileLock:
    """Return a lock that one process holds at a time; the system releases it if that dies."""
    import filelock

    return filelock.FileLock(path)
