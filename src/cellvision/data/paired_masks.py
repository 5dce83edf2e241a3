"""Warn of masks that lie beside their images and so count as images of the class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from cellvision.data.names import quote_list
from cellvision.plurals import counted

MASK_ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label", "_seg")
"""What programs append to an image's name for its mask; the longest first."""

_NAMED = 3


def without_mask_ending(stem: str) -> str:
    """Return a name without the ending of a mask; the name itself if it has none."""
    for ending in MASK_ENDINGS:
        if stem.casefold().endswith(ending):
            return stem[: -len(ending)]
    return stem


def paired_masks(images: Sequence[str]) -> list[str]:
    """Return the images that are named like the mask of another image in their folder.

    Parameters
    ----------
    images
        Names of the images, as paths with forward slashes.

    Examples
    --------
    >>> paired_masks(["a/s1.tif", "a/s1_mask.tif", "a/s2_mask.tif"])
    ['a/s1_mask.tif']
    """
    fields = [_field(PurePosixPath(image)) for image in images]
    known = set(fields)
    masks = []
    for image, field in zip(images, fields, strict=True):
        source = without_mask_ending(field)
        if source != field and source in known:
            masks.append(image)
    return masks


def paired_mask_warnings(images: Sequence[str]) -> list[str]:
    """Return a line about images that are named like masks, if there are any.

    Masks share the image's objects, so one in another split than its image is a leak.

    Parameters
    ----------
    images
        Names of the images, as paths with forward slashes.
    """
    masks = paired_masks(images)
    if not masks:
        return []
    return [
        f"{counted(len(masks), 'image', 'is')} named like the mask of another image: "
        f"{quote_list(masks, _NAMED)}. Masks in a class folder are trained on like images: "
        "move them to another folder."
    ]


def remedy_for_different_images(images: Sequence[str], otherwise: str) -> str:
    """Return what to do about images that differ: move masks away, if there are any.

    Parameters
    ----------
    images
        Names of the images, or of a sample, as paths with forward slashes.
    otherwise
        The remedy if none is named like a mask.
    """
    masks = paired_masks(images)
    if not masks:
        return otherwise
    return f"Move masks to another folder: {masks[0]!r} is named like that of another image"


def _field(path: PurePosixPath) -> str:
    """Return a path without suffix, including the two of OME-TIFF."""
    inner = path.with_suffix("")
    return str(inner.with_suffix("") if inner.suffix.lower() == ".ome" else inner)
