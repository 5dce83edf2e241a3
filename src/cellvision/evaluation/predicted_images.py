"""Predict labelled images, and measure them on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.audit import Audit, build_audit
from cellvision.data.catalog import Catalog
from cellvision.data.image_stats import ImageStats
from cellvision.evaluation.labelled_images import LabelledImages
from cellvision.inference.image_search import ImageFile
from cellvision.inference.prediction_job import PredictionJob, PredictionSummary
from cellvision.inference.prediction_options import PredictionOptions
from cellvision.inference.shared_engine import SharedEngine
from cellvision.interfaces.decoded_image import DecodedImage

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.results.run import Run

_MOST_COMPARISONS = 10**8
"""Pairs of images of different test sets that are compared to find near-duplicates."""


@dataclass(frozen=True, eq=False)
class PredictedImages:
    """The predictions of labelled images.

    Attributes
    ----------
    catalog : Catalog
        The images that could be read.
    probabilities : numpy.ndarray
        Shape (images, classes), in the order of the catalog.
    audit : Audit
        What is known about the images.
    summary : PredictionSummary
        How the predictions were made.
    """

    catalog: Catalog
    probabilities: np.ndarray
    audit: Audit
    summary: PredictionSummary


def predict_labelled(
    runs: Sequence[Run],
    labelled: LabelledImages,
    options: PredictionOptions,
    engine: SharedEngine | None = None,
) -> PredictedImages:
    """Predict labelled images as `predict` does; every image is decoded once.

    Parameters
    ----------
    runs
        The runs whose networks are averaged.
    labelled
        The images.
    options
        How to predict.
    engine
        Engine that several evaluations share; None starts one.
    """
    import pandas as pd

    names = list(labelled.catalog.table["image"])
    images = [ImageFile(Path(name), name, Path()) for name in names]
    measured: dict[str, ImageStats] = {}

    def measure(name: str, decoded: DecodedImage | errors.UnreadableImage) -> ImageStats:
        if name not in measured:
            measured[name] = _stats(name, decoded)
        return measured[name]

    blocks: list[pd.DataFrame] = []
    job = PredictionJob(runs, images, labelled.dataset, options, on_decoded=measure, engine=engine)
    summary = job.run(None, blocks.append)
    table = pd.concat(blocks, ignore_index=True).set_index("image")
    catalog = labelled.catalog.take([name in table.index for name in names])
    columns = [f"p_{name}" for name in catalog.class_names]
    audit = build_audit(
        labelled.dataset,
        catalog,
        [measured[name] for name in names],
        most_comparisons=_MOST_COMPARISONS,
    )
    probabilities = table.loc[catalog.table["image"], columns].to_numpy()
    return PredictedImages(catalog, probabilities, audit, summary)


def _stats(name: str, decoded: DecodedImage | errors.UnreadableImage) -> ImageStats:
    if isinstance(decoded, errors.UnreadableImage):
        return ImageStats.refused(name, decoded)
    return ImageStats.of(name, decoded)
