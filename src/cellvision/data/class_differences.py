"""Warn of properties by which a class differs from the others: a network would learn those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from cellvision.data.catalog import Catalog
from cellvision.data.names import quote_list

if TYPE_CHECKING:
    from cellvision.data.image_stats import ImageStats

_MOST = 0.95
"""Fraction of a class from which a property of its images characterises it."""

_FEW = 0.05
"""Fraction of every other class up to which others may share that property."""

_SEPARATED = 0.95
"""A number separates a class if it orders an image of it and one of another class in the same
way in this fraction of pairs."""

_FEWEST = 8
"""Images in a class, and in all others, from which numbers are compared: with fewer, chance
separates them now and then."""

_LISTED = 3

MASK_NAMES = frozenset(
    {
        "annotation",
        "annotations",
        "ground_truth",
        "groundtruth",
        "label",
        "labels",
        "label_masks",
        "mask",
        "masks",
        "outline",
        "outlines",
        "seg",
        "segmentation",
        "segmentations",
        "segmented",
    }
)


def class_difference_warnings(catalog: Catalog, read: Sequence[ImageStats]) -> list[str]:
    """Return one line for each property by which classes can be told apart.

    Compared are size, channels, bit depth, pixel type, file format and compression, and the mean
    intensity of each channel.

    Parameters
    ----------
    catalog
        The images with their classes.
    read
        Statistics of the images that could be read.
    """
    label = dict(zip(catalog.table["image"], catalog.table["label"], strict=True))
    by_class: dict[str, list[ImageStats]] = {}
    for stat in read:
        if stat.image in label:
            by_class.setdefault(label[stat.image], []).append(stat)
    if len(by_class) < 2:
        return []
    return [*_masks(by_class), *_properties(by_class), *_intensities(by_class)]


def _masks(by_class: Mapping[str, Sequence[ImageStats]]) -> list[str]:
    """Name classes whose folder is called like one of label masks."""
    names = [name for name in sorted(by_class) if name.casefold() in MASK_NAMES]
    others = [name for name in sorted(by_class) if name not in names]
    if not names or len(others) < 2:
        return []
    return [
        f"{quote_list(names)} counts as a class, but is named like a folder of masks. If it holds "
        f"masks, move it away or choose the classes: --set dataset.classes=[{','.join(others)}]"
    ]


def _properties(by_class: Mapping[str, Sequence[ImageStats]]) -> Iterator[str]:
    values_of: tuple[tuple[str, Callable[[ImageStats], str]], ...] = (
        ("image size", lambda stat: " × ".join(map(str, (stat.shape or ())[:2]))),
        ("number of channels", lambda stat: str((stat.shape or (0,))[-1])),
        ("bit depth", lambda stat: str(stat.bit_depth)),
        ("file format", lambda stat: PurePosixPath(stat.image).suffix.lower() or "no suffix"),
        ("compression", lambda stat: stat.compression or "unknown"),
    )
    for what, value_of in values_of:
        counts = {
            name: Counter(value_of(stat) for stat in stats) for name, stats in by_class.items()
        }
        if what == "compression" and _one_to_one(by_class, value_of):
            continue  # the file format says the same
        revealed = _revealed(what, counts)
        yield from revealed
        if what == "image size" and not revealed:
            areas = {
                name: np.array([np.prod((stat.shape or (0,))[:2]) for stat in stats], np.float64)
                for name, stats in by_class.items()
            }
            yield from _separated("size", areas, "larger", "smaller")


def _one_to_one(
    by_class: Mapping[str, Sequence[ImageStats]], value_of: Callable[[ImageStats], str]
) -> bool:
    """Whether file formats and compressions go together, one to one."""
    pairs = {
        (PurePosixPath(stat.image).suffix.lower(), value_of(stat))
        for stats in by_class.values()
        for stat in stats
    }
    return len(pairs) == len({suffix for suffix, _ in pairs}) == len({value for _, value in pairs})


def _revealed(what: str, counts: Mapping[str, Counter[str]]) -> list[str]:
    """Name the classes that values of a property reveal."""
    shares = {
        name: {value: count / values.total() for value, count in values.items()}
        for name, values in counts.items()
    }
    typical = {name: _typical(name, shares) for name in sorted(shares)}
    revealed = {
        name: values
        for name, values in typical.items()
        if values and not _all_different(counts[name])
    }
    if not revealed:
        return []
    exact = all(set(typical[name]) == set(shares[name]) for name in shares)
    if len(revealed) == len(counts) and exact:
        return [f"The {what} alone reveals the class: no two classes share a value."]
    return [_sentence(what, name, values, shares) for name, values in revealed.items()]


def _typical(name: str, shares: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the values that nearly all images of a class have and hardly any other; or none."""
    others = [values for other, values in shares.items() if other != name]
    own = [
        value
        for value, share in shares[name].items()
        if all(share > values.get(value, 0.0) for values in others)
    ]
    covered = sum(shares[name][value] for value in own)
    shared = max(sum(values.get(value, 0.0) for value in own) for values in others)
    return own if covered >= _MOST and shared <= _FEW else []


def _all_different(values: Counter[str]) -> bool:
    """Whether most images differ in their value, as crops of the size of each cell do."""
    return values.total() > 2 and len(values) > values.total() / 2


def _sentence(
    what: str,
    name: str,
    values: Sequence[str],
    shares: Mapping[str, Mapping[str, float]],
) -> str:
    listed = ", ".join(sorted(values)[:_LISTED])
    covered = sum(shares[name][value] for value in values)
    others = [of for other, of in shares.items() if other != name]
    shared = max(sum(of.get(value, 0.0) for value in values) for of in others)
    if covered > 1 - 1e-9 and shared == 0:
        return f"The {what} reveals class {name!r}: only its images have {listed}."
    return (
        f"The {what} nearly reveals class {name!r}: {covered:.0%} of its images have {listed}, and "
        f"at most {shared:.0%} of any other class."
    )


def _intensities(by_class: Mapping[str, Sequence[ImageStats]]) -> Iterator[str]:
    """Compare the mean intensity of each channel; classes differ in scale if types are mixed."""
    read = [stat for stats in by_class.values() for stat in stats]
    if len({len(stat.means) for stat in read}) != 1 or len({stat.dtype for stat in read}) != 1:
        return
    channels = len(read[0].means)
    for channel in range(channels):
        means = {
            name: np.array([stat.means[channel] for stat in stats], np.float64)
            for name, stats in by_class.items()
        }
        of = f" of channel {channel}" if channels > 1 else ""
        yield from _separated(f"mean intensity{of}", means, "brighter", "darker")


def _separated(what: str, numbers: Mapping[str, np.ndarray], more: str, less: str) -> Iterator[str]:
    """Name the classes that a number separates from all others."""
    for name in sorted(numbers):
        own = numbers[name]
        rest = np.concatenate([values for other, values in numbers.items() if other != name])
        if min(len(own), len(rest)) < _FEWEST:
            continue
        larger = _fraction_larger(own, rest)
        fraction, word = (larger, more) if larger >= 0.5 else (1 - larger, less)
        if fraction < _SEPARATED:
            continue
        others = "the others"
        if len(numbers) == 2:
            others = repr(next(other for other in numbers if other != name))
        yield (
            f"The {what} alone tells class {name!r} from {others}: in {fraction:.0%} of pairs, "
            f"its image is the {word} one (median {np.median(own):.4g} against "
            f"{np.median(rest):.4g}). A network may learn this and nothing else."
        )
        if len(numbers) == 2:
            return


def _fraction_larger(own: np.ndarray, rest: np.ndarray) -> float:
    """Return the fraction of pairs in which the first is larger; ties count half."""
    ordered = np.sort(rest)
    below = np.searchsorted(ordered, own, "left")
    not_above = np.searchsorted(ordered, own, "right")
    return float((below + not_above).mean() / (2 * len(rest)))
