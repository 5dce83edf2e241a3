"""Prepared data: an experiment's images, split, checked and ready for training."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.audit import Audit, build_audit
from cellvision.data.catalog import Catalog, is_test, is_training, is_validation
from cellvision.data.image_stats import ImageStats, digests
from cellvision.data.intensity import intensity_warnings, training_range
from cellvision.data.leaks import raise_if_leaking
from cellvision.data.pixel_cache import StoredPixels, open_pixels
from cellvision.data.preprocessing_warnings import preprocessing_warnings
from cellvision.data.threaded_map import Progress
from cellvision.statistics import digest_of_test_set

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.experiment import Experiment
    from cellvision.interfaces.control import Control
    from cellvision.interfaces.dataset import Dataset


_MOST_COMPARISONS = 10**8
"""Pairs of images that are compared within seconds; ``cellvision audit`` compares all."""

_LISTED_LEAKS = 5
"""Leaks that are listed one by one."""


@dataclass(frozen=True, eq=False)
class PreparedData:
    """The images of an experiment.

    Attributes
    ----------
    experiment : Experiment
        The experiment.
    catalog : Catalog
        The readable images with their splits, in the order of `pixels`.
    audit : Audit
        Its audit.
    pixels : numpy.ndarray
        Shape (images, height, width, channels), native dtype, memory-mapped.
    labels : numpy.ndarray
        The number of each image's class.
    zero, one : float
        The intensities that become 0 and 1 for the network.
    warnings : tuple of str
        What a reader of the results should know, one line each.
    seconds : float
        How long the preparation took.
    control : Control or None
        The control that these images and labels are for; None for the experiment itself.
    caveat : str
        What that control says against itself; see `cellvision.Control.caveat`.
    pixel_digests : mapping
        Identifies each image's pixels as stored in its file, by its id.
    sketches : mapping
        Sketch of each image, by its id, to find near-duplicates; see
        `cellvision.data.near_duplicates`.
    """

    experiment: Experiment
    catalog: Catalog
    audit: Audit
    pixels: np.ndarray
    labels: np.ndarray
    zero: float
    one: float
    warnings: tuple[str, ...]
    seconds: float
    control: Control | None = None
    caveat: str = ""
    pixel_digests: Mapping[str, str] = field(default_factory=dict)
    sketches: Mapping[str, bytes] = field(default_factory=dict)

    def rows(self, split: str) -> np.ndarray:
        """Return the positions of a split's images in `pixels`."""
        return np.flatnonzero((self.catalog.table["split"] == split).to_numpy())

    def digest(self, rows: np.ndarray) -> str | None:
        """Identify images by their pixels and labels, in whatever order; None for no image."""
        if not len(rows) or not self.pixel_digests:
            return None
        table = self.catalog.table.iloc[rows]
        pixels = [self.pixel_digests[image] for image in table["image"]]
        return digest_of_test_set(pixels, table["label"])

    def split_digest(self) -> str:
        """Identify all images by their pixels, labels and splits, in their order."""
        table = self.catalog.table
        pixels = [self.pixel_digests.get(image, image) for image in table["image"]]
        rows = list(zip(pixels, table["label"], table["split"], strict=True))
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @property
    def label_strata(self) -> pd.Series:
        """Rows within which permuted labels are exchanged: those of a split.

        Across all rows with a splitter, because every image is a test image of some fold.
        """
        splits = self.catalog.table["split"]
        return splits if self.experiment.split.splitter is None else splits.map(lambda _: "all")

    @property
    def training_split(self) -> str:
        """The split that is trained on."""
        return next(split for split in self.catalog.splits() if is_training(split))

    @property
    def validation_split(self) -> str | None:
        """The split that is evaluated after every epoch, if there is one."""
        return next((split for split in self.catalog.splits() if is_validation(split)), None)


def prepare_data(experiment: Experiment, progress: Progress | None = None) -> PreparedData:
    """Prepare an experiment's images: catalog, pixels, split, leak check, intensity range.

    Parameters
    ----------
    experiment
        The experiment.
    progress
        Called with the number of decoded images and the number of all.

    Raises
    ------
    errors.UnreadableImages
        Files cannot be read and the preprocessing does not say to skip them.
    errors.LeakError
        Splits share a group or an image and the split does not allow it.
    errors.InvalidInput
        Anything else prevents training.
    """
    start = time.perf_counter()
    preprocessing = experiment.preprocessing
    catalog, stored = readable_catalog(experiment, progress)
    catalog = experiment.split.apply(catalog, digests(stored.stats))
    changes = preprocessing_warnings(preprocessing, stored.stats)
    audit = build_audit(experiment.dataset, catalog, stored.stats, changes, _MOST_COMPARISONS)
    if not experiment.split.allow_leak:
        raise_if_leaking(audit.leaks)
    _require_all_classes(catalog)
    training = [is_training(split) for split in catalog.table["split"]]
    zero, one = training_range(preprocessing, stored, training)
    warnings = [*audit.warnings, *_leak_warnings(audit)]
    warnings += intensity_warnings(preprocessing, stored, training, zero, one)
    if not any(map(is_test, catalog.splits())):
        warnings.append("There is no test set: accuracies are of images seen during training.")
    numbers = {name: number for number, name in enumerate(catalog.class_names)}
    labels = catalog.table["label"].map(numbers).to_numpy(dtype=np.int64)
    return PreparedData(
        experiment,
        catalog,
        audit,
        stored.pixels,
        labels,
        zero,
        one,
        tuple(warnings),
        time.perf_counter() - start,
        pixel_digests=digests(stored.stats),
        sketches={stat.image: stat.sketch for stat in stored.stats if stat.sketch},
    )


def readable_catalog(
    experiment: Experiment, progress: Progress | None = None
) -> tuple[Catalog, StoredPixels]:
    """Read an experiment's images; return those that can be read, not yet split, and their pixels.

    Parameters
    ----------
    experiment, progress
        As for `prepare_data`, which also documents what is raised.
    """
    preprocessing = experiment.preprocessing
    catalog = Catalog.of(experiment.dataset)
    stored = open_pixels(experiment.dataset, list(catalog.table["image"]), preprocessing, progress)
    if preprocessing.on_unreadable == "error":
        _raise_if_unreadable(experiment.dataset, stored.stats)
    return catalog.take([stat.status == "read" for stat in stored.stats]), stored


def _raise_if_unreadable(dataset: Dataset, stats: Sequence[ImageStats]) -> None:
    """Refuse images that cannot be read; if none can, the data set may be to blame."""
    faults = [
        errors.UnreadableImage(stat.image, stat.reason) for stat in stats if stat.status != "read"
    ]
    if not faults:
        return
    hint = ""
    if len(faults) == len(stats):
        origin = dataset.registry.origin_of(type(dataset))
        hint = f"Repair them, or check the settings of {origin}: it can read no image."
    raise errors.UnreadableImages(faults, hint)


def _require_all_classes(catalog: Catalog) -> None:
    """Refuse a class that the training split lacks."""
    training = next(split for split in catalog.splits() if is_training(split))
    missing = [name for name, count in catalog.counts()[training].items() if count == 0]
    if missing:
        raise errors.SplitError(
            f"split {training!r} has no image of class {missing[0]!r}",
            "Add images of that class, or leave it out (dataset.classes)",
        )


def _leak_warnings(audit: Audit) -> list[str]:
    warnings = [f"LEAK: {leak}." for leak in audit.leaks[:_LISTED_LEAKS]]
    if len(audit.leaks) > _LISTED_LEAKS:
        warnings.append(f"LEAK: {len(audit.leaks) - _LISTED_LEAKS} more are listed in the audit.")
    return warnings
