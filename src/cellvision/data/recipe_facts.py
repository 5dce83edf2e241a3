"""Collect the facts about training images from which a recipe chooses an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.concurrency import available_processors
from cellvision.data.catalog import Catalog, is_training, is_validation
from cellvision.data.image_warnings import describe_mixed_channels
from cellvision.data.threaded_map import in_threads
from cellvision.interfaces.recipe import ImageFacts

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.data.split import Split
    from cellvision.interfaces.dataset import Dataset
    from cellvision.interfaces.decoded_image import DecodedImage

SAMPLE = 400
"""Number of training images to read; more would not change sizes and orientation."""

_GRID = 8
"""Rows and columns to which images are averaged to judge their orientation."""

_LEAST_FOR_ORIENTATION = 40
"""With fewer images, orientation cannot be judged, and any is assumed to be possible."""


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
    table = catalog.table
    training = table[[is_training(name) for name in table["split"]]]
    sample = _sample(training)
    images = _readable(dataset, list(sample["image"]))
    if not images:
        raise errors.CatalogError(
            "none of the training images can be read", "Run cellvision audit to see why"
        )
    if not channels_selected:
        _require_equal_channels({image: decoded.pixels.shape[2] for image, decoded in images})
    groups = None if catalog.group_column is None else int(training["group"].nunique())
    upside_down, mirrored = _orientation([image.pixels for _, image in images])
    shapes = np.array([image.pixels.shape for _, image in images])
    return ImageFacts(
        class_counts={str(k): int(v) for k, v in training["label"].value_counts().items()},
        groups=groups,
        has_validation=any(is_validation(name) for name in catalog.splits()),
        heights=_range(shapes[:, 0]),
        widths=_range(shapes[:, 1]),
        channels=int(shapes[:, 2].max()),
        is_grey=all(_is_grey(image.pixels) for _, image in images),
        bit_depth=max(image.bit_depth for _, image in images),
        sampled=len(images),
        upside_down=upside_down,
        mirrored=mirrored,
        processors=available_processors(),
        accelerators=accelerators,
    )


def _sample(training: pd.DataFrame) -> pd.DataFrame:
    if len(training) <= SAMPLE:
        return training
    rows = np.random.default_rng(0).choice(len(training), SAMPLE, replace=False)
    return training.iloc[np.sort(rows)]


def _readable(dataset: Dataset, images: Sequence[str]) -> list[tuple[str, DecodedImage]]:
    def decode(image: str) -> tuple[str, DecodedImage] | None:
        try:
            return image, dataset.decode(image)
        except errors.UnreadableImage:
            return None

    return [pair for pair in in_threads(decode, images) if pair is not None]


def _require_equal_channels(channels: Mapping[str, int]) -> None:
    """Refuse images from whose numbers of channels no recipe can choose."""
    description = describe_mixed_channels(channels)
    if description is not None:
        raise errors.PreprocessingError(
            description,
            "Select channels that every image has, such as --set preprocessing.channels=[0], or "
            "remove the images that differ (cellvision audit --json lists the shape of each)",
        )


def _range(values: np.ndarray) -> tuple[int, int, int]:
    return int(values.min()), int(np.median(values)), int(values.max())


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _orientation(images: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return how accurately a model recognises upside-down and mirrored copies."""
    grids = [_grid(pixels) for pixels in images if min(pixels.shape[:2]) >= _GRID]
    if len(grids) < _LEAST_FOR_ORIENTATION:
        return 0.5, 0.5
    stack = np.stack(grids)
    return _flip_accuracy(stack, axis=1), _flip_accuracy(stack, axis=2)


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
