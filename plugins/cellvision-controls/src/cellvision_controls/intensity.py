"""Control ``intensity``: logistic regression on intensity summaries of whole images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cellvision import Control

if TYPE_CHECKING:
    from cellvision import ControlData
    from cellvision.statistics import ControlMeaning

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
"""Percentiles of the intensities of each channel."""


class Intensity(Control):
    """Logistic regression on mean, SD and percentiles of each channel of the whole image.

    The lowest rung: if brightness does as well as the network, that may be the biology (DNA
    content, mitosis); if it does better, the network is not trained enough.
    """

    label: ClassVar[str] = "intensity alone"
    order: ClassVar[int] = 300
    depends_on_seed: ClassVar[bool] = False

    def meaning(self) -> ControlMeaning:
        """Say what brightness may mean; see `cellvision.Control.meaning`."""
        from cellvision.statistics import ControlMeaning

        biology = (
            "learned, and brightness does as well (DNA content, mitosis: it may be the biology)"
        )
        return ControlMeaning("lower rung", "brightness", {"no more": biology})

    def predict(self, data: ControlData, seed: int) -> np.ndarray:  # noqa: ARG002
        """Fit and predict; see `cellvision.Control.predict`."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        features = intensity_summaries(data.pixels)
        rows = data.training_rows
        model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
        model.fit(features[rows], data.labels[rows])
        return np.asarray(model.predict_proba(features))


def intensity_summaries(pixels: np.ndarray) -> np.ndarray:
    """Return mean, SD and percentiles of each channel of each image.

    Parameters
    ----------
    pixels
        Shape (images, height, width, channels), native type.

    Returns
    -------
    numpy.ndarray
        Shape (images, 9 * channels), float64.
    """
    rows = []
    for image in pixels:
        # One row per channel: NumPy reduces contiguous values up to ten times as fast.
        native = np.ascontiguousarray(np.moveaxis(image, -1, 0)).reshape(image.shape[-1], -1)
        values = native.astype(np.float64)
        # Partitioning small integers is faster, too; floats are interpolated in 64 bits.
        sortable = values if native.dtype.kind in "bf" else native
        percentiles = np.percentile(sortable, PERCENTILES, axis=1)
        rows.append(np.concatenate([values.mean(axis=1), values.std(axis=1), percentiles.ravel()]))
    return np.stack(rows)
