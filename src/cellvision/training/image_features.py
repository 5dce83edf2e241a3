"""Features of an experiment's images, for networks whose frozen layers run once per image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.data.code_digests import source_digest
from cellvision.training.batches import gather
from cellvision.training.frozen_features import feature_key, frozen_features

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData
    from cellvision.training.frozen import FrozenSplit


class PixelDigests:
    """Digests of the images of one array, each computed once.

    Parameters
    ----------
    pixels
        The images.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self._known: dict[int, str] = {}

    def of(self, rows: np.ndarray) -> list[str]:
        """Return the digests of some rows, in hexadecimal digits."""
        for row in rows.tolist():
            if row not in self._known:
                digest = hashlib.sha256(np.ascontiguousarray(self.pixels[row]).data)
                self._known[row] = digest.hexdigest()
        return [self._known[row] for row in rows.tolist()]


def _silent(_done: int, _total: int) -> None:
    """Show no progress."""


class ImageFeatures:
    """Computes features of prepared images, or reads them from the cache.

    Parameters
    ----------
    prepared
        The images.
    split
        The network in two parts, of which the frozen one gives the features.
    digests
        Digests of the images, if they are known; they are used if their pixels are the same.
    """

    def __init__(
        self, prepared: PreparedData, split: FrozenSplit, digests: PixelDigests | None = None
    ) -> None:
        self.prepared = prepared
        self.split = split
        if digests is None or digests.pixels is not prepared.pixels:
            digests = PixelDigests(prepared.pixels)
        self.digests = digests

    def rows_to_compute(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows to compute variants of, and the positions of the given rows among them.

        In a cross-validation, variants of all rows are computed, so that the folds share them.
        """
        if self.prepared.experiment.split.splitter is None:
            return rows, np.arange(len(rows))
        return np.arange(len(self.prepared.pixels)), rows

    def plain(self, progress: Callable[[int, int], None]) -> np.ndarray:
        """Return the features of all images as they are, shape (images, ...)."""
        everything = np.arange(len(self.prepared.pixels))
        features: np.ndarray = self._features(everything, progress, (np.asarray,), [])[0]
        return features

    def varied(
        self,
        rows: np.ndarray,
        variants: Sequence[Callable[[np.ndarray], np.ndarray]],
        description: Any,
        progress: Callable[[int, int], None] = _silent,
    ) -> np.ndarray:
        """Return the features of variants of some images, shape (variants, rows, ...).

        Parameters
        ----------
        rows
            The images.
        variants
            Functions that change a batch of images.
        description
            Says what the variants are, as a JSON value.
        progress
            Called with the number of images done and their total.
        """
        augmenters = source_digest(self.prepared.experiment.augmenters)
        return self._features(rows, progress, variants, [len(variants), description, augmenters])

    def _features(
        self,
        rows: np.ndarray,
        progress: Callable[[int, int], None],
        variants: Sequence[Callable[[np.ndarray], np.ndarray]],
        settings: Sequence[Any],
    ) -> np.ndarray:
        prepared = self.prepared
        all_settings = [
            prepared.experiment.preprocessing.model_dump(mode="json"),
            prepared.zero,
            prepared.one,
            source_digest(prepared.experiment.architecture),
            *settings,
        ]
        key = feature_key(self.split, self.digests.of(rows), all_settings)
        return frozen_features(
            self.split, lambda chunk: gather(prepared, chunk)[0], rows, key, variants, progress
        )
