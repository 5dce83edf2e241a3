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


def paired_mask_warnings(images: Sequence[str]) -> list[str]:
    """Return a line about images that are named like the mask of another image in their folder.

    Masks share the image's objects, so one in another split than its image is a leak.

    Parameters
    ----------
    images
        Names of the images, as paths with forward slashes.
    """
    fields = [_field(PurePosixPath(image)) for image in images]
    known = set(fields)
    masks = []
    for image, field in zip(images, fields, strict=True):
        source = without_mask_ending(field)
        if source != field and source in known:
            masks.append(image)
    if not masks:
        return []
    return [
        f"{counted(len(masks), 'image', 'is')} named like the mask of another image: "
        f"{quote_list(masks, _NAMED)}. Masks in a class folder are trained on like images: "
        "move them to another folder."
    ]


def _field(path: PurePosixPath) -> str:
    """Return a path without suffix, including the two of OME-TIFF."""
    inner = path.with_suffix("")
    return str(inner.with_suffix("") if inner.suffix.lower() == ".ome" else inner)
