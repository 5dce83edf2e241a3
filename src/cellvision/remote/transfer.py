"""Download images and results, upload results: the functions of `cellvision.remote`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cellvision import errors
from cellvision.remote.address import by_root, is_address, normalize
from cellvision.remote.copies import LocalCopies


@contextlib.contextmanager
def folder(location: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a local folder with the current content of a location.

    Errors that the block raises name the address in place of the local copy.

    Parameters
    ----------
    location
        A path, which is yielded unchanged, or an address.

    Raises
    ------
    errors.FolderError
        The address does not exist, or is a file.
    errors.ExperimentError
        fsspec, or its driver for this kind of address, is not installed.
    errors.CellvisionError
        The storage cannot be reached, or denies access.
    """
    if not is_address(location):
        yield Path(location).expanduser()
        return
    copies = LocalCopies(location)
    with copies.address_in_errors():
        if not copies.download():
            raise _missing(location)
        yield copies.files


@contextlib.contextmanager
def file(location: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a local file with the current content of a location; see `folder`."""
    if not is_address(location):
        yield Path(location).expanduser()
        return
    parent, _, name = location.rpartition("/")
    copies = LocalCopies(parent)
    with copies.address_in_errors():
        if not copies.download([name]):
            raise _missing(location)
        yield copies.files / name


def fetch(location: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Download several files below a location in parallel; missing ones are ignored.

    Parameters
    ----------
    location
        An address; with a path there is nothing to do.
    names
        Paths relative to the location. A name may itself be an address.
    """
    for root, relative in by_root(location, names).items():
        if is_address(root):
            copies = LocalCopies(root)
            with copies.address_in_errors():
                copies.download(relative)


def locate(location: str | os.PathLike[str], name: str) -> Path:
    """Return the local file of a name below a location, downloading it if needed.

    Parameters
    ----------
    location
        A path or an address.
    name
        Relative to the location, or itself an address.

    Returns
    -------
    pathlib.Path
        It does not exist if there is no such file.
    """
    ((root, (relative,)),) = by_root(location, [name]).items()
    if not is_address(root):
        return Path(root).expanduser() / relative
    return LocalCopies(root).locate(relative)


@contextlib.contextmanager
def finished(location: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a local folder with the finished results at a location; see `folder`.

    Raises
    ------
    errors.FolderError
        The address does not exist, or holds other files; none of those is downloaded.
    """
    if not is_address(location):
        yield Path(location).expanduser()
        return
    copies = LocalCopies(location)
    with copies.address_in_errors():
        if not copies.download(results=True):
            raise _missing(location)
        yield copies.files


@contextlib.contextmanager
def results(location: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder to write results to; they are uploaded when the block succeeds.

    Results that exist at the address are downloaded first, except those that were changed here
    and not uploaded. If the block raises, its results stay on this machine, and the same command
    (of a training: with ``--resume``) resumes from them.

    Raises
    ------
    errors.FolderError
        The address holds other files.
    errors.CellvisionError
        The results cannot be uploaded; the message names their local folder.
    """
    if not is_address(location):
        yield Path(location)
        return
    copies = LocalCopies(location)
    with copies.address_in_errors():
        copies.download(results=True)
        yield copies.files
    copies.upload()


def was_read(address: str) -> bool:
    """Return whether this user has copies of files at an address, or at one above it."""
    kind, _, rest = normalize(address).partition("://")
    parts = rest.split("/")
    above = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    roots = (f"{kind}://{path}" for path in above)
    return any(LocalCopies.folder_of(root).exists() for root in (*roots, f"{kind}:///"))


def _missing(address: str) -> errors.FolderError:
    return errors.FolderError(f"there is nothing at {address}", "Check the address")
