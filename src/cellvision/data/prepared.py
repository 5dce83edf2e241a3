"""All that a training needs of its images: split, checked, and ready to be gathered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.data.audit import Audit, build_audit
from cellvision.data.catalog import Catalog, is_test, is_training, is_validation
from cellvision.data.image_stats import ImageStats, Progress, digests
from cellvision.data.leaks import raise_if_leaking
from cellvision.data.pixel_cache import open_pixels

if TYPE_CHECKING:
    from cellvision.experiment import Experiment


_MOST_COMPARISONS = 10**8
"""So many pairs of images are compared within seconds; ``cellvision audit`` compares more."""


@dataclass(frozen=True, eq=False)
class PreparedData:
    """The images of an experiment.

    Attributes
    ----------
    experiment : Experiment
        What was asked.
    catalog : Catalog
        The readable images with their splits, in the order of `pixels`.
    audit : Audit
        What was found out about them.
    pixels : numpy.ndarray
        Shape (images, height, width, channels), native dtype, memory-mapped.
    labels : numpy.ndarray
        The number of each image's class.
    zero, one : float
        The intensities that become 0 and 1 for the network.
    warnings : tuple of str
        What a reader of the results should know.
    seconds : float
        How long all this took.
    control : str or None
        The control whose images or labels these are; None for the experiment's own.
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
    control: str | None = None

    def rows(self, split: str) -> np.ndarray:
        """The places of a split's images in `pixels`."""
        return np.flatnonzero((self.catalog.table["split"] == split).to_numpy())

    @property
    def training_split(self) -> str:
        """The split that is trained on."""
        return next(split for split in self.catalog.splits() if is_training(split))

    @property
    def validation_split(self) -> str | None:
        """The split that is looked at after every epoch, if there is one."""
        return next((split for split in self.catalog.splits() if is_validation(split)), None)


def prepare_data(experiment: Experiment, progress: Progress | None = None) -> PreparedData:
    """Follow the one way of the data: catalog, split, pixels, leak check, intensity.

    Parameters
    ----------
    experiment
        What is asked.
    progress
        Told how many images are decoded, of how many.

    Raises
    ------
    errors.UnreadableImages
        Files cannot be read and the preprocessing does not say to skip them.
    errors.LeakError
        Splits share a unit or an image and the split does not allow it.
    errors.InvalidInput
        Anything else that cannot be trained on.
    """
    start = time.perf_counter()
    preprocessing = experiment.preprocessing
    catalog = Catalog.of(experiment.dataset)
    stored = open_pixels(experiment.dataset, list(catalog.table["image"]), preprocessing, progress)
    faults = [
        errors.UnreadableImage(stat.image, stat.reason)
        for stat in stored.stats
        if stat.status != "read"
    ]
    if faults and preprocessing.on_unreadable == "error":
        raise errors.UnreadableImages(faults)
    catalog = catalog.take([stat.status == "read" for stat in stored.stats])
    catalog = experiment.split.apply(catalog, digests(stored.stats))
    audit = build_audit(experiment.dataset, catalog, stored.stats, (), _MOST_COMPARISONS)
    if not experiment.split.allow_leak:
        raise_if_leaking(audit.leaks)
    splits = catalog.splits()
    training = next(split for split in splits if is_training(split))
    missing = [name for name, count in catalog.counts()[training].items() if count == 0]
    if missing:
        raise errors.SplitError(
            f"split {training!r} has no image of class {missing[0]!r}",
            "Add images of that class, or leave it out (dataset.classes)",
        )
    taught = set(catalog.table.loc[catalog.table["split"] == training, "image"])
    extremes = [
        (stat.low, stat.high)
        for stat in stored.stats
        if stat.image in taught and stat.low is not None and stat.high is not None
    ]
    low, high = min(e[0] for e in extremes), max(e[1] for e in extremes)
    zero, one = preprocessing.intensity_range(stored.pixels.dtype, low, high)
    warnings = [*audit.warnings]
    warnings += [f"LEAK: {leak}." for leak in audit.leaks[:5]]
    if len(audit.leaks) > 5:
        warnings.append(f"LEAK: {len(audit.leaks) - 5} more are listed in the audit.")
    warnings += _about_intensity(experiment, stored.stats, taught, one)
    if not any(is_test(split) for split in splits):
        warnings.append("There is no test set: accuracies are of images seen while training.")
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
    )


def _about_intensity(
    experiment: Experiment, stats: tuple[ImageStats, ...], taught: set[str], one: float
) -> list[str]:
    if experiment.preprocessing.intensity == "per_image":
        return ["Every image is stretched by itself: absolute intensity is lost."]
    brighter = sum(
        stat.high is not None and stat.high > one for stat in stats if stat.image not in taught
    )
    if brighter:
        return [f"{brighter} image(s) are brighter than what counts as 1 ({one:g})."]
    return []
