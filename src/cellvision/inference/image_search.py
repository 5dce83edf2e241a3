"""Find the images to predict: the files that an audit of the same folder would list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellvision import errors, remote
from cellvision.data.file_search import walk_files
from cellvision.data.files import IMAGE_SUFFIXES
from cellvision.data.folder_walk import printable
from cellvision.data.missing_path import why_missing
from cellvision.interfaces.dataset import Dataset

Source = str | os.PathLike[str]
"""A file, a folder, or the address of one."""


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
        No source is given, one does not exist, or there is no image.
    """
    listed = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if not listed:
        raise errors.FolderError(
            "no images were given", "Give at least one file, folder or address of images."
        )
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
        for path, is_image in walk_files(source):
            if is_image:
                images.append(ImageFile(path, printable(path), source))
            else:
                skipped.append(printable(path))
    elif source.exists():
        images.append(ImageFile(source, printable(source), source.parent))
    else:
        raise errors.FolderError(f"{printable(source)}: {why_missing(source)}", "Check the name.")


def _add_remote(
    address: str, copies: ExitStack, images: list[ImageFile], skipped: list[str]
) -> None:
    if PurePosixPath(address).suffix.lower() in IMAGE_SUFFIXES:
        path = copies.enter_context(remote.file(address))
        images.append(ImageFile(path, address, path.parent))
        return
    folder = copies.enter_context(remote.folder(address))
    prefix = address.rstrip("/")
    for path, is_image in walk_files(folder):
        name = f"{prefix}/{printable(path.relative_to(folder))}"
        if is_image:
            images.append(ImageFile(path, name, folder))
        else:
            skipped.append(name)


def raise_if_among_images(output: Path, sources: Source | Sequence[Source] | Dataset) -> None:
    """Refuse an output in a folder of images, where the next command would take it for one.

    Parameters
    ----------
    output
        A folder or an image to write.
    sources
        Files, folders or addresses of images, or their data set.

    Raises
    ------
    errors.FolderError
        It lies in one of the folders.
    """
    if isinstance(sources, Dataset):
        sources = [path] if isinstance(path := getattr(sources, "path", None), Path) else []
    target = output.absolute().resolve()
    for source in [sources] if isinstance(sources, str | os.PathLike) else sources:
        folder = Path(source)
        if folder.is_dir() and folder.resolve() in (target, *target.parents):
            raise errors.FolderError(
                f"{output} lies in the folder of images {folder}",
                "Name a place outside of it: the next command would take it for an image.",
            )
