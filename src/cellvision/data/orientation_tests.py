"""Test on training images whether their classes differ in direction only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from cellvision.blas_threads import one_blas_thread
from cellvision.data.orientations import ORIENTATIONS, oriented
from cellvision.interfaces.recipe import OrientationTest

ORIENTATION_SETS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "dihedral": tuple(range(ORIENTATIONS)),
        "quarter_turns": (0, 1, 2, 3),
        "flips": (0, 2, 4, 6),
        "left_right": (0, 4),
        "up_down": (0, 6),
        "half_turn": (0, 2),
    }
)
"""Sets of orientations: each holds what follows from turning or mirroring twice."""

SIDE = 32
"""Rows and columns of the small images that the tests compare."""

_CELLS = 8
"""Rows and columns of mean intensities."""

_GRADIENT_CELLS = 4
"""Rows and columns of mean gradients."""

_FOLDS = 5

_PENALTY = 100.0
"""Of the ridge regression, for features of unit variance."""


@dataclass(frozen=True, eq=False)
class SmallImage:
    """What the tests need of an image.

    Attributes
    ----------
    grey : numpy.ndarray
        Mean of the channels, shape (`SIDE`, `SIDE`), float64.
    levels : numpy.ndarray
        Mean of each channel, float64.
    """

    grey: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> SmallImage:
        """Reduce an image of shape (height, width, channels)."""
        from PIL import Image

        grey = Image.fromarray(pixels.mean(axis=2, dtype=np.float32))
        reduced = grey.resize((SIDE, SIDE), Image.Resampling.BOX)
        return cls(np.asarray(reduced, np.float64), pixels.mean(axis=(0, 1), dtype=np.float64))


def orientation_tests(
    images: Sequence[SmallImage],
    labels: Sequence[str],
    groups: Sequence[str] | None,
) -> dict[str, OrientationTest]:
    """Compare a linear model of images with ones that treat some orientations alike.

    Each model is a ridge regression on coarse intensities and gradients, cross-validated by
    groups. One that treats orientations alike gets the mean of the features over them: a linear
    model trained on all turned copies would be the same. It does as well unless classes differ
    in direction, such as cells that move left and right.

    Parameters
    ----------
    images
        The images.
    labels
        The class of each image.
    groups
        The group of each image; None if unknown.

    Returns
    -------
    dict of str to OrientationTest
        By name, from `ORIENTATION_SETS`. Empty without two classes of at least five groups.
    """
    names, units = np.array(labels), _units(groups, len(labels))
    kept = np.isin(names, _common(names, units))
    names, units = names[kept], units[kept]
    if len(set(names)) < 2:
        return {}
    grey = np.stack([image.grey for image in images])[kept]
    levels = np.stack([image.levels for image in images])[kept]
    stack = grey[..., None]
    turned = np.stack([_features(oriented(stack, o)[..., 0]) for o in range(ORIENTATIONS)])
    fixed = _intensities(grey, levels)
    folds = _folds(names, units)
    with one_blas_thread():
        as_found = _right(np.hstack([turned[0], fixed]), names, folds)
        tests = {}
        for name, members in ORIENTATION_SETS.items():
            alike = np.hstack([turned[list(members)].mean(axis=0), fixed])
            right = _right(alike, names, folds)
            tests[name] = OrientationTest(
                accuracy=float(right.mean()),
                as_found=float(as_found.mean()),
                p=_smallest_p(as_found, right, names),
            )
    return tests


def _units(groups: Sequence[str] | None, images: int) -> np.ndarray:
    return np.arange(images) if groups is None else np.unique(groups, return_inverse=True)[1]


def _common(labels: np.ndarray, units: np.ndarray) -> list[str]:
    """Return the classes with enough groups for all folds."""
    classes: list[str] = np.unique(labels).tolist()
    return [name for name in classes if len(set(units[labels == name])) >= _FOLDS]


def _features(grey: np.ndarray) -> np.ndarray:
    """Return features that depend on the orientation, shape (images, features).

    They are mean intensities and the mean structure tensor of parts of the image.
    """
    centred = grey - grey.mean(axis=(1, 2), keepdims=True)
    standardised = centred / (grey.std(axis=(1, 2), keepdims=True) + 1e-12)
    down, right = np.gradient(standardised, axis=(1, 2))
    tensor = (right**2 - down**2, 2 * right * down, right**2 + down**2)
    gradients = [_parts(part, _GRADIENT_CELLS) for part in tensor]
    # Roots, since squares of steep edges would outweigh everything else.
    roots = [np.sign(part) * np.sqrt(np.abs(part)) for part in gradients]
    totals = [part.mean(axis=1, keepdims=True) for part in roots]
    return np.hstack([_parts(standardised, _CELLS), *roots, *totals])


def _parts(values: np.ndarray, number: int) -> np.ndarray:
    size = SIDE // number
    cells: np.ndarray = values.reshape(len(values), number, size, number, size).mean(axis=(2, 4))
    return cells.reshape(len(values), -1)


def _intensities(grey: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return features that are the same in every orientation."""
    flat = grey.reshape(len(grey), -1)
    quantiles = np.percentile(flat, (1, 5, 25, 50, 75, 95, 99), axis=1).T
    features: np.ndarray = np.hstack([quantiles, flat.std(axis=1, keepdims=True), levels])
    return features


def _folds(labels: np.ndarray, units: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    return list(splitter.split(labels, labels, units))


def _right(
    features: np.ndarray, labels: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Say for each image whether a model of the other folds recognises its class."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    right = np.zeros(len(labels), bool)
    for training, held_out in folds:
        model = make_pipeline(
            StandardScaler(), RidgeClassifier(alpha=_PENALTY, class_weight="balanced")
        )
        model.fit(features[training], labels[training])
        right[held_out] = model.predict(features[held_out]) == labels[held_out]
    return right


def _smallest_p(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> float:
    """Return the smallest one-sided p of sign tests for fewer right answers, in all or a class."""
    parts = [np.ones(len(labels), bool), *(labels == name for name in np.unique(labels))]
    return min(_sign_test(before[part], after[part]) for part in parts)


def _sign_test(before: np.ndarray, after: np.ndarray) -> float:
    from scipy.stats import binom

    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return float(binom.sf(lost - 1, lost + won, 0.5))
