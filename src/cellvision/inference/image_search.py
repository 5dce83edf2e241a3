"""Find the images to predict: the files that an audit of the same folder would list."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellvision import errors, remote
from cellvision.data.files import IMAGE_SUFFIXES, is_phantom

Source = str | os.PathLike[str]
"""A file, a folder, or the address of one."""

_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|8BPS|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|BM.{12}[\x0c\x28\x6c\x7c]\0\0\0|P[1-6]\s+(?:#.*\s+)?\d+\s+\d+\s|\0\0\0\x0cjP  "
    rb"|....ftyp(?:avif|hei)|ZISRAWFILE|\xda\xce\xbe\x0a",
    re.DOTALL,
)
"""First bytes of common image formats, for files whose suffix says nothing."""

PROVENANCE_TABLES = frozenset({"groups.csv", "manifest.csv"})
"""Provenance tables: no images, and no reason for a warning."""


@dataclass(frozen=True)
class ImageFile:
    r"""An image to predict.

    Attributes
    ----------
    path : pathlib.Path
        The file on this machine.
    name : str
        Its name in the table of predictions: its path or address. Bytes that are not UTF-8 are
        written as ``\xNN``.
    root : pathlib.Path
        The folder that was searched, or the file's own.
    """

    path: Path
    name: str
    root: Path


@dataclass(frozen=True)
class FoundImages:
    """The images of some sources.

    Attributes
    ----------
    images : tuple of ImageFile
        The images, in the order of the sources and by name within a folder.
    skipped : tuple of str
        Names of other files in the folders, without hidden ones and provenance tables.
    """

    images: tuple[ImageFile, ...]
    skipped: tuple[str, ...]


@contextmanager
def find_images(sources: Source | Sequence[Source]) -> Iterator[FoundImages]:
    """Find the images in files and folders, copying those of addresses to this machine.

    Folders are searched to any depth, linked folders included. Hidden files and folders are
    skipped. A file without a known suffix counts if it begins like an image.

    Parameters
    ----------
    sources
        Files, folders or addresses.

    Raises
    ------
    errors.FolderError
        A source does not exist, or there is no image.
    """
    listed = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    images: list[ImageFile] = []
    skipped: list[str] = []
    with ExitStack() as copies:
        for source in listed:
            if remote.is_address(source):
                _add_remote(source, copies, images, skipped)
            else:
                _add_local(Path(source), images, skipped)
        if not images:
            raise errors.FolderError(
                f"{', '.join(map(str, listed))}: no images here",
                f"File names of images end in {', '.join(sorted(IMAGE_SUFFIXES))}.",
            )
        yield FoundImages(tuple(images), tuple(skipped))


def _add_local(source: Path, images: list[ImageFile], skipped: list[str]) -> None:
    if source.is_dir():
        for path, is_image in _walk(source, frozenset()):
            if is_image:
                images.append(ImageFile(path, printable(path), source))
            else:
                skipped.append(printable(path))
    elif source.exists():
        images.append(ImageFile(source, printable(source), source.parent))
    else:
        raise errors.FolderError(f"{source}: no such file or folder", "Check the name.")


def _add_remote(
    address: str, copies: ExitStack, images: list[ImageFile], skipped: list[str]
) -> None:
    if PurePosixPath(address).suffix.lower() in IMAGE_SUFFIXES:
        path = copies.enter_context(remote.file(address))
        images.append(ImageFile(path, address, path.parent))
        return
    folder = copies.enter_context(remote.folder(address))
    prefix = address.rstrip("/")
    for path, is_image in _walk(folder, frozenset()):
        name = f"{prefix}/{printable(path.relative_to(folder))}"
        if is_image:
            images.append(ImageFile(path, name, folder))
        else:
            skipped.append(name)


def printable(path: Path) -> str:
    """Return a path as text that can be written as UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _walk(folder: Path, ancestors: frozenset[tuple[int, int]]) -> Iterator[tuple[Path, bool]]:
    """Yield the files below a folder, and whether each is an image; hidden ones are left out."""
    try:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in ancestors:  # a link back to a folder above
            return
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise errors.FolderError(
            f"{printable(folder)}: cannot be listed: {error.strerror}", "Change its permissions."
        ) from error
    for path in paths:
        if is_phantom(path) or path.name in PROVENANCE_TABLES:
            continue
        if path.is_dir():
            yield from _walk(path, ancestors | {identity})
        else:
            yield path, _is_image(path)


def _is_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return path.is_file() or path.is_symlink()  # reading a broken link says what is wrong
    if not path.is_file() or any(part.suffix.lower() == ".zarr" for part in path.parents):
        return False  # the thousands of chunks of a Zarr are not opened
    try:
        with path.open("rb") as file:
            return _MAGIC.match(file.read(64)) is not None
    except OSError:
        return False
