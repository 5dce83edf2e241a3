"""Controls: the same training on images or labels from which nothing should be learned.

A control is another `PreparedData`: everything else about its runs is as in the runs that it
belongs to.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.data import pixel_cache
from cellvision.data.image_stats import Progress, in_threads
from cellvision.data.masking import without_cells
from cellvision.data.prepared import PreparedData
from cellvision.results import record
from cellvision.results.metadata import Environment, Timings
from cellvision.statistics.verdict import ALONE, PERMUTED
from cellvision.training.train import finish_run

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.results.run import Run

CONTROLS = (*PERMUTED, *ALONE)
"""Every control, in the order in which they are run."""

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

_NOTES = {
    "permuted_groups": "labels permuted across whole groups",
    "permuted_images": "labels permuted across images",
    "background": "cells masked",
    "intensity": "logistic regression on intensity summaries",
}


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Check names of controls and bring them into order.

    Raises
    ------
    errors.ExperimentError
        There is no such control.
    """
    for name in names:
        if name not in CONTROLS:
            raise errors.ExperimentError(
                f"there is no control {name!r}", f"Controls: {', '.join(CONTROLS)}"
            )
    return tuple(name for name in CONTROLS if name in names)


def control_data(
    control: str, prepared: PreparedData, seed: int, progress: Progress | None = None
) -> PreparedData:
    """Change what is trained on, as a control asks.

    Parameters
    ----------
    control
        Its name.
    prepared
        That of the true labels.
    seed
        Of the run: permutations are drawn anew for each. Nothing else depends on it.
    progress
        Told how many images are masked, of how many.
    """
    note = f"CONTROL ({_NOTES[control]}): nothing here is a result of the experiment."
    changed = replace(prepared, warnings=(note, *prepared.warnings), control=control)
    if control == "background":
        return replace(changed, pixels=_masked(prepared.pixels, progress))
    if control == "intensity":
        return changed
    table = prepared.catalog.table
    units = _units(prepared, whole=control == "permuted_groups")
    labels = permuted(table, units, (seed, CONTROLS.index(control)))
    numbers = {name: number for number, name in enumerate(prepared.catalog.class_names)}
    catalog = replace(prepared.catalog, table=table.assign(label=labels))
    return replace(
        changed, catalog=catalog, labels=np.array([numbers[name] for name in labels], np.int64)
    )


def _units(prepared: PreparedData, *, whole: bool) -> pd.Series:
    """What gets one label: groups where they are known and `whole`, else images.

    Images that are known to be identical in several splits are one as well: each has one label
    in all splits, or a leak could not show.
    """
    table = prepared.catalog.table
    units = table["group"].where(table["group"].notna(), table["image"])
    units = units if whole else table["image"]
    for leak in prepared.audit.leaks:
        if leak.kind == "identical_pixels":
            same = units[table["image"].isin(leak.files)]
            units = units.where(~units.isin(same), same.iloc[0])
    return units


def permuted(table: pd.DataFrame, units: pd.Series, seed: Sequence[int]) -> np.ndarray:
    """Permute labels over units, one mapping for all splits.

    Units with one label swap labels among each other; in a unit with several labels its images
    do. Units swap within their split, so that each split keeps its classes; splits that share a
    unit are one for this.

    Parameters
    ----------
    table
        With the columns ``label`` and ``split``.
    units
        The unit of each row.
    seed
        Whole numbers, of the permutation.

    Returns
    -------
    numpy.ndarray
        The new label of each row.
    """
    rng = np.random.default_rng(seed)
    labels = table["label"].to_numpy(dtype=object).copy()
    own = table.assign(_unit=units).groupby("_unit", sort=False)
    first = own["label"].first()
    pure = own["label"].nunique() == 1  # noqa: PD101 - of groups, not of a series
    for unit in pure.index[~pure]:
        rows = own.indices[unit]
        labels[rows] = rng.permutation(labels[rows])
    stratum = own["split"].first().map(_strata(table["split"], units))
    drawn = first.copy()
    for _, members in first[pure].groupby(stratum[pure], sort=False):
        drawn[members.index] = rng.permutation(members.to_numpy(dtype=object))
    swapped = units.map(pure).to_numpy(dtype=bool)
    labels[swapped] = units.map(drawn).to_numpy(dtype=object)[swapped]
    return labels


def _strata(splits: pd.Series, units: pd.Series) -> dict[str, int]:
    """Number the splits; those that share units have one number."""
    import pandas as pd

    number = {name: k for k, name in enumerate(dict.fromkeys(splits))}
    pairs = pd.DataFrame({"unit": units, "split": splits}).drop_duplicates()
    for _, shared in pairs[pairs["unit"].duplicated(keep=False)].groupby("unit")["split"]:
        together = {number[name] for name in shared}
        number = {n: min(together) if k in together else k for n, k in number.items()}
    return number


def _masked(pixels: np.ndarray, progress: Progress | None) -> np.ndarray:
    """All images without their cells, in a file that goes when nobody holds it any more."""
    home = pixel_cache.folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as file:
            for image in in_threads(without_cells, list(pixels), progress):
                file.write(np.ascontiguousarray(image).data)
            file.flush()
            return np.memmap(file, dtype=pixels.dtype, mode="r", shape=pixels.shape)
    except OSError as error:
        raise errors.FolderError(
            f"{home}: the masked images cannot be written: {error.strerror or error}",
            "Make room there, or name another place in CELLVISION_CACHE",
        ) from error


def summaries(pixels: np.ndarray) -> np.ndarray:
    """Mean, SD and percentiles (1, 5, 25, 50, 75, 95, 99) of each channel of each image.

    Parameters
    ----------
    pixels
        Shape (images, height, width, channels), as the network gets them, in their native type.

    Returns
    -------
    numpy.ndarray
        Shape (images, 9 * channels), float64.
    """
    rows = []
    for image in pixels:
        values = np.asarray(image, dtype=np.float64).reshape(-1, image.shape[-1])
        spread = np.percentile(values, PERCENTILES, axis=0)
        rows.append(np.concatenate([values.mean(axis=0), values.std(axis=0), spread.ravel()]))
    return np.stack(rows)


def measure_once(prepared: PreparedData, seed: int, folder: Path) -> Run:
    """Fit a logistic regression on intensity summaries and write it down as a run.

    There is no chance in it, no epoch, and no model of Keras.

    Parameters
    ----------
    prepared
        The images.
    seed
        That of the run it stands beside.
    folder
        An existing folder, free to write to.
    """
    record.write_table(folder / "history.csv", record.history_table([]))
    probabilities, seconds = _by_intensity(prepared)

    def loss(labels: np.ndarray, given: np.ndarray) -> float:
        own = given[np.arange(len(labels)), labels].astype(np.float64)
        return float(-np.log(np.clip(own, 1e-7, 1)).mean())  # cross-entropy, as Keras clips it

    timings = Timings(prepare_s=prepared.seconds, fit_s=seconds)
    return finish_run(prepared, seed, folder, probabilities, loss, _environment(), timings)


def _by_intensity(prepared: PreparedData) -> tuple[np.ndarray, float]:
    """Probabilities of all images, shape (images, classes), and the seconds that it took."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    start = time.perf_counter()
    features = summaries(prepared.pixels)
    rows = prepared.rows(prepared.training_split)
    model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    model.fit(features[rows], prepared.labels[rows])
    return model.predict_proba(features).astype(np.float32), time.perf_counter() - start


def _environment() -> Environment:
    """Describe the software and hardware of a control without a network."""
    import os
    import platform

    import importlib_metadata

    return Environment(
        cellvision=importlib_metadata.version("cellvision"),
        python=platform.python_version(),
        backend="scikit-learn",
        backend_version=importlib_metadata.version("scikit-learn"),
        device="CPU",
        precision="float64",
        platform=platform.platform(),
        processors=os.cpu_count(),
    )
