"""Collect the facts about training images from which a recipe chooses an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.concurrency import available_processors
from cellvision.data.catalog import Catalog, is_training, is_validation
from cellvision.data.fold_assignment import fold_splits
from cellvision.data.image_stats import decoded_or_fault
from cellvision.data.image_warnings import describe_mixed_channels
from cellvision.data.orientation_tests import SmallImage, orientation_tests
from cellvision.data.paired_masks import remedy_for_different_images
from cellvision.data.threaded_map import in_threads
from cellvision.interfaces.recipe import ImageFacts, OrientationTest

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.data.split import Split
    from cellvision.interfaces.dataset import Dataset

SAMPLE = 400
"""Number of training images to read; more would not change sizes and orientation."""

_GRID = 8
"""Rows and columns to which images are averaged to judge their orientation."""

_LEAST_FOR_ORIENTATION = 40
"""With fewer images, orientation cannot be judged, and any is assumed to be possible."""


@dataclass(frozen=True, eq=False)
class _SampledImage:
    """What the facts need of one decoded image."""

    shape: tuple[int, ...]
    bit_depth: int
    is_grey: bool
    constants: frozenset[tuple[int, float]]
    """Channels without any difference between pixels, and their values."""
    grid: np.ndarray | None
    small: SmallImage


def image_facts(
    dataset: Dataset,
    split: Split,
    *,
    accelerators: bool = False,
    channels_selected: bool = False,
) -> ImageFacts:
    """Collect the facts that a recipe may use, from training images only.

    Parameters
    ----------
    dataset
        Data set. At most `SAMPLE` of its training images are read, always the same ones.
    split
        Split to apply if the data set does not name its splits.
    accelerators
        Whether a GPU is available.
    channels_selected
        Whether the user's settings select channels, so that images may differ in their number.

    Raises
    ------
    errors.InvalidInput
        No training image can be read, they differ in their number of channels, or the data set
        cannot be listed or split.
    """
    catalog = split.apply(Catalog.of(dataset))
    return _facts(
        catalog,
        _SampledImages(dataset, channels_selected=channels_selected),
        accelerators=accelerators,
    )


def fold_facts(
    dataset: Dataset,
    split: Split,
    *,
    accelerators: bool = False,
    channels_selected: bool = False,
) -> tuple[ImageFacts, ...]:
    """Collect the facts of each fold of a splitter, from the fold's training images only.

    Identical images that provenance does not link are not looked for, because that would need
    the pixels of all images.

    Parameters
    ----------
    dataset, split, accelerators, channels_selected
        As for `image_facts`; the split has a splitter.

    Returns
    -------
    tuple of ImageFacts
        One for each fold. Images of several folds are read once.

    Raises
    ------
    errors.InvalidInput
        As for `image_facts`, or the splitter cannot divide the images.
    """
    assert split.splitter is not None
    catalog = Catalog.of(dataset)
    images = _SampledImages(dataset, channels_selected=channels_selected)
    facts = []
    for splits in fold_splits(split.splitter, catalog, {}):
        table = catalog.table.assign(split=np.array(splits, dtype=object))
        facts.append(_facts(replace(catalog, table=table), images, accelerators=accelerators))
    return tuple(facts)


def _facts(catalog: Catalog, images: _SampledImages, *, accelerators: bool) -> ImageFacts:
    table = catalog.table
    training = table[[name is not None and is_training(name) for name in table["split"]]]
    found = images.read(list(_sample(training)["image"]))
    if not found:
        raise images.unreadable()
    sampled = list(found.values())
    groups = class_groups = None
    if catalog.group_column is not None:
        groups = int(training["group"].nunique())
        numbers = training.groupby("label")["group"].nunique()
        class_groups = {str(label): int(number) for label, number in numbers.items()}
    upside_down, mirrored = _orientation([i.grid for i in sampled if i.grid is not None])
    shapes = np.array([image.shape for image in sampled])
    constants = (image.constants for image in sampled)
    return ImageFacts(
        class_counts={str(k): int(v) for k, v in training["label"].value_counts().items()},
        groups=groups,
        has_validation=any(is_validation(name) for name in catalog.splits()),
        heights=_range(shapes[:, 0]),
        widths=_range(shapes[:, 1]),
        channels=int(shapes[:, 2].max()),
        is_grey=all(image.is_grey for image in sampled),
        bit_depth=max(image.bit_depth for image in sampled),
        sampled=len(sampled),
        upside_down=upside_down,
        mirrored=mirrored,
        processors=available_processors(),
        accelerators=accelerators,
        class_groups=class_groups,
        empty_channels=tuple(sorted(n for n, _ in frozenset.intersection(*constants))),
        orientation_tests=_orientation_tests(
            found, training, has_groups=catalog.group_column is not None
        ),
    )


def _sample(training: pd.DataFrame) -> pd.DataFrame:
    if len(training) <= SAMPLE:
        return training
    rows = np.random.default_rng(0).choice(len(training), SAMPLE, replace=False)
    return training.iloc[np.sort(rows)]


class _SampledImages:
    """Reads sampled images, each of them once."""

    def __init__(self, dataset: Dataset, *, channels_selected: bool) -> None:
        self._dataset = dataset
        self._channels_selected = channels_selected
        self._images: dict[str, _SampledImage | None] = {}
        self._fault: errors.UnreadableImage | None = None

    def read(self, names: Sequence[str]) -> dict[str, _SampledImage]:
        """Return the images that can be read, by name; refuse different numbers of channels."""
        missing = [name for name in names if name not in self._images]
        self._images |= dict(zip(missing, in_threads(self._read, missing), strict=True))
        readable = {name: image for name in names if (image := self._images[name]) is not None}
        if not self._channels_selected:
            _require_equal_channels({name: image.shape[2] for name, image in readable.items()})
        return readable

    def unreadable(self) -> errors.CatalogError:
        """Return the error that says why images cannot be read, by one of them."""
        example = "" if self._fault is None else f": {self._fault.what}"
        hint = "Run cellvision audit to see why" if self._fault is None else self._fault.hint
        return errors.CatalogError(f"none of the training images can be read{example}", hint)

    def _read(self, name: str) -> _SampledImage | None:
        image = decoded_or_fault(name, lambda: self._dataset.decode(name))
        if isinstance(image, errors.UnreadableImage):
            self._fault = image
            return None
        pixels = image.pixels
        grid = _grid(pixels) if min(pixels.shape[:2]) >= _GRID else None
        constants = _constant_channels(pixels)
        return _SampledImage(
            pixels.shape,
            image.bit_depth,
            _is_grey(pixels),
            constants,
            grid,
            SmallImage.of(pixels),
        )


def _require_equal_channels(channels: Mapping[str, int]) -> None:
    """Refuse images from whose numbers of channels no recipe can choose."""
    description = describe_mixed_channels(channels)
    if description is not None:
        raise errors.PreprocessingError(
            description,
            remedy_for_different_images(
                list(channels),
                "Select channels that every image has, such as --set preprocessing.channels=[0], "
                "or remove the images that differ (cellvision audit --json lists the shape of "
                "each)",
            ),
        )


def _range(values: np.ndarray) -> tuple[int, int, int]:
    return int(values.min()), int(np.median(values)), int(values.max())


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _constant_channels(pixels: np.ndarray) -> frozenset[tuple[int, float]]:
    first = pixels[0, 0]
    constant = np.flatnonzero((pixels == first).all(axis=(0, 1)))
    return frozenset((int(channel), float(first[channel])) for channel in constant)


def _orientation(grids: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return how accurately a model recognises upside-down and mirrored copies."""
    if len(grids) < _LEAST_FOR_ORIENTATION:
        return 0.5, 0.5
    stack = np.stack(grids)
    return _flip_accuracy(stack, axis=1), _flip_accuracy(stack, axis=2)


def _orientation_tests(
    found: Mapping[str, _SampledImage], training: pd.DataFrame, *, has_groups: bool
) -> dict[str, OrientationTest]:
    """Test whether classes differ in direction, if all images have the same channels."""
    levels = {len(image.small.levels) for image in found.values()}
    if len(found) < _LEAST_FOR_ORIENTATION or len(levels) > 1:
        return {}
    rows = training.set_index("image").loc[list(found)]
    groups = list(rows["group"]) if has_groups else None
    return orientation_tests([image.small for image in found.values()], list(rows["label"]), groups)


def _grid(pixels: np.ndarray) -> np.ndarray:
    """Average an image to `_GRID` rows and columns of grey, with mean 0 and SD 1."""
    grey = pixels.mean(axis=2, dtype=np.float64)
    height, width = (size // _GRID for size in grey.shape)
    grid = grey[: height * _GRID, : width * _GRID]
    grid = grid.reshape(_GRID, height, _GRID, width).mean(axis=(1, 3))
    standardised: np.ndarray = (grid - grid.mean()) / (grid.std() + 1e-12)
    return standardised


def _flip_accuracy(grids: np.ndarray, axis: int) -> float:
    """Return the cross-validated accuracy of a linear model at recognising flipped copies."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    difference = grids - np.flip(grids, axis=axis)
    half = np.take(difference, np.arange(_GRID // 2), axis=axis).reshape(len(grids), -1)
    signs = np.random.default_rng(0).choice([-1, 1], len(grids))
    model = LogisticRegression(fit_intercept=False, C=0.1)
    scores = cross_val_score(model, half * signs[:, None], signs, cv=5)
    return max(float(scores.mean()), 0.5)
