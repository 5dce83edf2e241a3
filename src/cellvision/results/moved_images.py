"""The images of a run that were moved since its training, and the images that are missing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cellvision import errors
from cellvision.data.missing_path import why_missing
from cellvision.data.threaded_map import in_threads
from cellvision.interfaces.dataset import Dataset
from cellvision.plurals import counted
from cellvision.remote import is_address

if TYPE_CHECKING:
    from cellvision.results.run import Run

Place: TypeAlias = str | os.PathLike[str] | None
"""Path or address of images or results; None if it is not known or not needed."""

IF_MOVED = (
    "Restore them, or say where they are now: --run-images FOLDER (images=FOLDER for "
    "load_run or load_study in Python)"
)
"""What to do if images of a run are missing."""


def absolute_place(run: Run, images: str | os.PathLike[str]) -> str | Path:
    """Return where the images of a run are now: an address, or an absolute path that exists.

    Raises
    ------
    errors.FolderError
        There is nothing at this place.
    """
    if is_address(images):
        return images
    place = Path(images).expanduser().absolute()
    if not place.exists():
        reason = why_missing(place, "there is no such folder")
        raise errors.FolderError(
            f"{place}: {reason}, so the images of {run.folder} are not there",
            "Name the folder that contains them now: --run-images FOLDER (images= in Python)",
        )
    return place


def with_all_images(run: Run) -> Run:
    """Return a run whose images were moved, once all of them are known to be there.

    Raises
    ------
    errors.FolderError
        Images are missing; see `raise_if_absent`.
    """
    assert run.dataset is not None  # creating it checks the images
    return run


def raise_if_absent(run: Run, dataset: Dataset, images: str | os.PathLike[str]) -> None:
    """Check that all images that a run evaluated are where they are said to be.

    Their pixels are compared with those of the training when they are read (`Run.read_image`).

    Parameters
    ----------
    run
        The run.
    dataset
        Its data set, with the images where they are now.
    images
        That place, for the error.

    Raises
    ------
    errors.FolderError
        Images are missing; the first is named.
    """
    names = list(run.predictions["image"])
    absent = _absent(dataset, names)
    if absent:
        raise errors.FolderError(
            f"{images}: {len(absent)} of the {counted(len(names), 'image')} of {run.folder} "
            f"{'is' if len(absent) == 1 else 'are'} missing, first: {absent[0]}",
            "Name the folder in which they have the same names as at the training",
        )


def _absent(dataset: Dataset, names: Sequence[str]) -> list[str]:
    """Return the images that a data set does not have, by their files or by its catalog."""
    if hasattr(dataset, "locate") and not is_address(getattr(dataset, "path", None)):
        gone = in_threads(lambda name: is_missing(dataset, name), names)
        return [name for name, missing in zip(names, gone, strict=True) if missing]
    listed = set(dataset.catalog()["image"])
    return [name for name in names if name not in listed]


def is_missing(dataset: Dataset, image: str) -> bool:
    """Whether the file of an image, or what its data set reads, is not there.

    Parameters
    ----------
    dataset
        The data set.
    image
        Id of the image.
    """
    path = getattr(dataset, "path", None)
    locate = getattr(dataset, "locate", None)
    if locate is not None:
        return not Path(locate(image)).exists()
    return isinstance(path, Path) and not path.exists()
