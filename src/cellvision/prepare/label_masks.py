"""Label masks: images in which every object has its own number and the background is 0."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.data.paired_masks import without_mask_ending

from .object_tables import Box
from .pipeline import decoded
from .sources import SourceImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HINT = (
    "A label mask holds 0 for background and one number per object: cellvision nuclei makes such "
    "masks."
)


def raise_if_same(source: str | os.PathLike[str], masks: str | os.PathLike[str]) -> None:
    """Refuse a folder of images, or an image, as its own label masks.

    Raises
    ------
    cellvision.errors.InvalidInput
        Both are the same.
    """
    if Path(source).resolve() == Path(masks).resolve():
        of = "folder of images" if Path(source).is_dir() else "image"
        raise errors.InvalidInput(
            f"{masks} is the {of} itself and holds no label masks",
            f"Give a folder of label masks with --masks. {_HINT}",
        )


def match_masks(
    masks: Sequence[SourceImage], images: Sequence[SourceImage]
) -> dict[str, SourceImage]:
    """Find the mask of every image: the same path without suffix, or with an ending like `_masks`.

    Raises
    ------
    cellvision.errors.InvalidInput
        An image has no mask, or two, or is its own mask.
    """
    if len(masks) == len(images) == 1:
        raise_if_same(images[0].path, masks[0].path)
        return {images[0].name: masks[0]}
    by_field: dict[str, list[SourceImage]] = {}
    for mask in masks:
        for field in {mask.field, without_mask_ending(mask.field)}:
            by_field.setdefault(field, []).append(mask)
    pairs = {}
    for image in images:
        candidates = by_field.get(image.field, [])
        if len(candidates) != 1:
            listed = ": " + ", ".join(mask.name for mask in candidates) if candidates else ""
            raise errors.InvalidInput(
                f"{image.name} has {len(candidates)} masks{listed}",
                f"Name its mask {image.field}.tif or {image.field}_masks.tif, one per image.",
            )
        raise_if_same(image.path, candidates[0].path)
        pairs[image.name] = candidates[0]
    return pairs


def read_labels(mask: SourceImage, shape: tuple[int, int]) -> NDArray[Any]:
    """Read a label mask as integers, (H, W).

    A mask that has only 0 and one other value, the largest of its type (a black and white image),
    has no object numbers: its connected areas become objects, diagonals included.

    Parameters
    ----------
    mask
        The file.
    shape
        Height and width of the image that the mask belongs to.

    Raises
    ------
    cellvision.errors.UnreadableImage
        It cannot be decoded.
    cellvision.errors.InvalidInput
        Another size than the image, more than one channel, values that are not whole numbers, or
        values that change from pixel to pixel, as in an image.
    """
    import numpy as np
    from scipy import ndimage

    with decoded(mask) as content:
        pixels = content.pixels
    hint = "Save the mask as a grey image with one whole number per object, such as 16-bit TIFF."
    if pixels.shape[2] != 1:
        raise errors.InvalidInput(f"mask {mask.name} has {pixels.shape[2]} channels", hint)
    labels: NDArray[Any] = pixels[:, :, 0]
    if labels.shape != shape:
        size, expected = ("x".join(map(str, side)) for side in (labels.shape, shape))
        raise errors.InvalidInput(
            f"mask {mask.name} is {size} pixels and its image {expected}",
            "Make the mask from the image at its full size.",
        )
    if labels.dtype.kind == "f":
        if not (np.isfinite(labels).all() and (labels == np.rint(labels)).all()):
            raise errors.InvalidInput(f"mask {mask.name} has values that are not whole", hint)
        labels = labels.astype(np.int64)
    if (labels < 0).any():
        raise errors.InvalidInput(f"mask {mask.name} has negative values", hint)
    top = 1 if labels.dtype == bool else np.iinfo(labels.dtype).max
    if ((labels == 0) | (labels == top)).all():
        labels, _ = ndimage.label(labels, structure=np.ones((3, 3)))
    elif _looks_like_an_image(labels):
        raise errors.InvalidInput(
            f"mask {mask.name} looks like an image: most neighbouring pixels differ in value",
            _HINT,
        )
    return np.asarray(labels)


def _looks_like_an_image(labels: NDArray[Any]) -> bool:
    """Whether values change from pixel to pixel: fewer than a third equal their neighbour.

    Compared are nonzero pixels side by side, and one above the other; both must differ. Where
    objects of K pixels fill a row, a share of (K-1)/K is equal, so that objects of 2x2 pixels and
    lines pass; of microscope images of 16 bits it is less than 0.1. Single pixels pass unless most
    touch: a mask with fewer pairs than nonzero pixels is not refused.
    """
    import numpy as np

    pairs = 0
    for first, second in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        both = (first != 0) & (second != 0)
        count = int(np.count_nonzero(both))
        if 3 * int(np.count_nonzero(both & (first == second))) >= count:
            return False
        pairs += count
    return pairs >= int(np.count_nonzero(labels))


def objects_of(labels: NDArray[Any]) -> list[tuple[int, Box]]:
    """Return the number and the bounding box of every object, by number."""
    import numpy as np
    from scipy import ndimage

    # Numbered without gaps first: find_objects needs memory for the largest number.
    numbers, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape)
    offset = 0 if numbers[0] == 0 else 1
    slices = ndimage.find_objects(dense + offset)
    objects = []
    for number, (rows, columns) in zip((n for n in numbers if n), slices, strict=True):
        objects.append((int(number), Box(rows.start, columns.start, rows.stop, columns.stop)))
    return objects
