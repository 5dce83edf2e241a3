"""Warnings about the images: what a network could learn in place of the biology, and damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cellvision.data.catalog import Catalog
from cellvision.data.class_differences import class_difference_warnings
from cellvision.data.image_stats import ImageStats, plane_axes
from cellvision.data.names import quote_list
from cellvision.data.paired_masks import paired_mask_warnings
from cellvision.plurals import counted

_SATURATED = 0.001
"""Fraction of saturated samples from which an image is reported."""

_NAMED = 3
"""Images, or sets of identical ones, that a warning names."""

_MOST = 5
"""Groups of identical images that are listed one by one."""


def image_warnings(catalog: Catalog, stats: Sequence[ImageStats]) -> list[str]:
    """Return what a reader should know about the images and their splits, one line each."""
    read = [stat for stat in stats if stat.status == "read"]
    return [
        *_unreadable([stat.image for stat in stats if stat.status != "read"]),
        *_missing_classes(catalog),
        *paired_mask_warnings([stat.image for stat in read]),
        *_mixed_dtypes(read),
        *_mixed_channels(read),
        *_mixed_planes(read),
        *class_difference_warnings(catalog, read),
        *_extreme_intensities(read),
        *_repeated(catalog, read),
    ]


def _unreadable(images: Sequence[str]) -> list[str]:
    if not images:
        return []
    return [f"{counted(len(images), 'image')} cannot be read: {quote_list(images, _NAMED)}."]


def _missing_classes(catalog: Catalog) -> list[str]:
    warnings = []
    for split, counts in catalog.counts().items():
        absent = [name for name, count in counts.items() if count == 0]
        if absent:
            warnings.append(f"Split {split!r} has no image of class {quote_list(absent)}.")
    return warnings


def _mixed_dtypes(read: Sequence[ImageStats]) -> list[str]:
    # Black and white images are converted to uint8, so they are compatible with that.
    dtypes = Counter("uint8" if stat.dtype == "bool" else stat.dtype for stat in read)
    if len(dtypes) < 2:
        return []
    mixed = ", ".join(f"{count} {dtype}" for dtype, count in dtypes.most_common())
    return [f"Images differ in pixel type ({mixed}): no single factor can scale them."]


def _mixed_channels(read: Sequence[ImageStats]) -> list[str]:
    description = describe_mixed_channels({stat.image: (stat.shape or (0,))[-1] for stat in read})
    return [] if description is None else [f"{description[0].upper()}{description[1:]}."]


def describe_mixed_channels(channels: Mapping[str, int]) -> str | None:
    """Describe images that differ in their number of channels; None if they can be combined.

    Grey and colour images, of one and of three channels, can be combined.

    Parameters
    ----------
    channels
        Number of channels by image.
    """
    counts = Counter(channels.values())
    if len(counts) < 2 or set(counts) <= {1, 3}:
        return None
    first: dict[int, str] = {}
    for image, count in channels.items():
        first.setdefault(count, image)
    listed = [
        f"{number} with {count} (such as {first[count]!r})"
        for count, number in counts.most_common(_MOST)
    ]
    rest = "" if len(counts) <= _MOST else f" and {len(counts) - _MOST} more kinds"
    return f"images differ in their number of channels: {', '.join(listed)}{rest}"


def _mixed_planes(read: Sequence[ImageStats]) -> list[str]:
    """Warn of images with equally many channels that mean different things."""
    examples: dict[int, dict[str, list[str]]] = {}
    for stat in read:
        axes = plane_axes(stat.notes) or "channels only"
        by_axes = examples.setdefault((stat.shape or (0,))[-1], {})
        by_axes.setdefault(axes, []).append(stat.image)
    warnings = []
    for channels, by_axes in examples.items():
        if len(by_axes) < 2:
            continue
        kinds = sorted(by_axes.items(), key=lambda kind: -len(kind[1]))
        listed = [f"{len(images)} {axes} (such as {images[0]!r})" for axes, images in kinds]
        warnings.append(
            f"Images with {counted(channels, 'channel')} differ in the axes that these come from: "
            f"{', '.join(listed[:_MOST])}. The same channel has different meanings: write all "
            "images with the same axes."
        )
    return warnings


def _extreme_intensities(read: Sequence[ImageStats]) -> list[str]:
    warnings = []
    saturated = [stat.image for stat in read if (stat.saturated_fraction or 0) > _SATURATED]
    if saturated:
        warnings.append(
            f"In {counted(len(saturated), 'image')}, more than {_SATURATED:.1%} of samples are "
            f"saturated: {quote_list(saturated, _NAMED)}."
        )
    flat = [stat.image for stat in read if stat.low == stat.high]
    if flat:
        warnings.append(
            f"{counted(len(flat), 'image', 'has')} a single intensity: {quote_list(flat, _NAMED)}."
        )
    return warnings


def _repeated(catalog: Catalog, read: Sequence[ImageStats]) -> list[str]:
    """Report identical images, above all those with different labels."""
    same: dict[str, list[str]] = {}
    for stat in read:
        same.setdefault(stat.digest, []).append(stat.image)
    repeated = [images for images in same.values() if len(images) > 1]
    if not repeated:
        return []
    label = dict(zip(catalog.table["image"], catalog.table["label"], strict=True))
    contradictory = [
        images
        for images in repeated
        if len({label[image] for image in images if image in label}) > 1
    ]
    warnings = [
        f"{counted(len(read) - len(same), 'image', 'is')} identical to another one: "
        f"{_listed_sets(repeated)}."
    ]
    if contradictory:
        warnings.append(
            f"{counted(len(contradictory), 'set')} of identical images with different labels: "
            f"{_listed_sets(contradictory)}. Remove those with the wrong label, or all of them."
        )
    return warnings


def _listed_sets(sets: Sequence[Sequence[str]]) -> str:
    """Return sets of equal images as text, the first ones by name."""
    listed = [
        " = ".join(map(repr, images[:_NAMED])) + (" = ..." if len(images) > _NAMED else "")
        for images in sets[:_NAMED]
    ]
    rest = f" and {len(sets) - _NAMED} more sets" if len(sets) > _NAMED else ""
    return ", ".join(listed) + rest
