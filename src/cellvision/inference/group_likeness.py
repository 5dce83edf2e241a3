"""Flag groups of images that are unlike the training images in brightness, contrast or texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellvision.statistics import UnlikeGroups, fit_unlike_groups

if TYPE_CHECKING:
    from cellvision.results.run import Run

_PERCENTILES = (1, 50, 99)

_SHIFTS = (1, 2, 4)
"""Distances in pixels at which neighbours are compared."""

_AT_ONCE = 256
"""Images held in memory at once."""


def image_features(pixels: np.ndarray) -> np.ndarray:
    """Summarise each image: intensity and texture of each channel.

    Parameters
    ----------
    pixels
        Shape (n, height, width, channels), any intensities.

    Returns
    -------
    numpy.ndarray
        Shape (n, 8 · channels), float64: mean, standard deviation, three percentiles, and the mean
        absolute difference of neighbours at three distances.
    """
    values = pixels.astype(np.float64)
    flat = values.reshape(len(values), -1, values.shape[-1])
    columns = [flat.mean(axis=1), flat.std(axis=1), *np.percentile(flat, _PERCENTILES, axis=1)]
    for shift in _SHIFTS:
        differences = [
            np.abs(np.diff(values[:, ::shift, ::shift], axis=axis)).mean(axis=(1, 2))
            for axis in (1, 2)
        ]
        columns.append(np.mean(differences, axis=0))
    return np.concatenate(columns, axis=1)


def features_of(run: Run, images: Sequence[str]) -> np.ndarray:
    """Return the features of a run's images, read again from its data set."""
    parts = [
        image_features(run.model_input(images[start : start + _AT_ONCE]))
        for start in range(0, len(images), _AT_ONCE)
    ]
    return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class GroupLikeness:
    """Distances of new images from the training images, and the flag for groups.

    Attributes
    ----------
    mean, scale : numpy.ndarray
        (features,) mean and standard deviation over the training images.
    flag : UnlikeGroups
        Fitted on distances of groups that were left out of mean and scale.
    """

    mean: np.ndarray
    scale: np.ndarray
    flag: UnlikeGroups

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Return the distance of each image, (n,)."""
        return _distances(features, self.mean, self.scale)


def fit_group_likeness(features: np.ndarray, groups: np.ndarray) -> GroupLikeness:
    """Fit the flag on the groups of a study, each compared with the images of all others.

    Parameters
    ----------
    features
        (n, features) of the images of all groups.
    groups
        (n,) group of each image.

    Raises
    ------
    errors.InvalidInput
        There are fewer than 19 groups.
    """
    names, index = np.unique(groups.astype(str), return_inverse=True)
    distances = np.empty(len(features))
    for number in range(len(names)):
        own = index == number
        if not own.all():
            distances[own] = _distances(features[own], *_moments(features[~own]))
    # A single group has no others; fit_unlike_groups refuses it.
    flag = fit_unlike_groups(np.zeros(len(groups)) if len(names) == 1 else distances, index)
    return GroupLikeness(*_moments(features), flag)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = features.std(axis=0)
    return features.mean(axis=0), np.where(scale > 0, scale, 1.0)


def _distances(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    distances: np.ndarray = np.sqrt((((features - mean) / scale) ** 2).mean(axis=1))
    return distances
