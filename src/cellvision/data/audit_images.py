"""The images behind an audit, to look at: as acquired, and as the network will see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.catalog import Catalog, is_training
from cellvision.data.intensity import training_range
from cellvision.data.pixel_cache import StoredPixels
from cellvision.data.threaded_map import in_threads
from cellvision.plurals import counted

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.data.preprocessing import Preprocessing
    from cellvision.interfaces.dataset import Dataset


class AuditImages:
    """The images that an audit could read.

    Parameters
    ----------
    dataset
        The data set, which reads them.
    catalog
        The images that could be read, with their splits.
    preprocessing
        How they become the network's input.
    stored
        The prepared pixels; None if these settings cannot prepare the images.
    """

    def __init__(
        self,
        dataset: Dataset,
        catalog: Catalog,
        preprocessing: Preprocessing,
        stored: StoredPixels | None,
    ) -> None:
        self.dataset = dataset
        self.preprocessing = preprocessing
        self._catalog = catalog
        self._stored = stored

    def __repr__(self) -> str:
        return f"<AuditImages: {counted(len(self._catalog), 'image')}>"

    @property
    def table(self) -> pd.DataFrame:
        """One row per image: image, label, split, group, batch and further provenance; a copy."""
        return self._catalog.table.copy()

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have images: training, then validation, then the test sets."""
        return self._catalog.splits()

    def read(self, images: Sequence[str]) -> Iterator[np.ndarray]:
        """Read images as acquired, several at once; each (height, width, channels), native."""
        return in_threads(self.dataset.read, images)

    @cached_property
    def intensity_range(self) -> tuple[float, float] | None:
        """Intensities that the network will see as 0 and 1; None if there is no such range."""
        training = [is_training(split) for split in self._catalog.table["split"]]
        if self._stored is None or not any(training):
            return None
        try:
            return training_range(self.preprocessing, self._stored, training)
        except errors.PreprocessingError:
            return None

    def network_input(self, images: Sequence[str]) -> np.ndarray | None:
        """Return images as the network will see them, before augmentation.

        Returns
        -------
        numpy.ndarray or None
            Shape (n, height, width, channels), float32; 0 to 1 spans the intensity range. None if
            the settings cannot prepare the images; the audit's warnings say why.
        """
        if self._stored is None or self.intensity_range is None:
            return None
        zero, one = self.intensity_range
        positions = {image: number for number, image in enumerate(self._stored.images)}
        pixels = self._stored.pixels[[positions[image] for image in images]]
        scaled = (self.preprocessing.expand_channels(pixels).astype(np.float32) - zero) / (
            one - zero
        )
        return np.asarray(scaled, dtype=np.float32)
