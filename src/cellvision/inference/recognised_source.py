"""The data set that reads a path which holds many images, such as an HDF5 file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.data.files import IMAGE_SUFFIXES
from cellvision.inference.image_reader import run_dataset
from cellvision.inference.image_search import Source
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.recognised_paths import recognising_dataset
from cellvision.results.recorded_dataset import recorded_dataset

if TYPE_CHECKING:
    from cellvision.results.run import Run

_CHOSEN = ("type", "path", "classes", "group", "batch")
"""Settings that belong to the training images, not to the way of reading."""


def recognised_source(images: Source | Sequence[Source], run: Run) -> Dataset | None:
    """Return the data set that recognises a path; None if there is none, or several paths.

    The run's own data set is asked first.

    Parameters
    ----------
    images
        What to predict.
    run
        The run.

    Raises
    ------
    errors.PluginError, errors.ExperimentError
        The run's data set cannot be loaded, and no other one recognises the path.
    """
    source = images[0] if isinstance(images, list | tuple) and len(images) == 1 else images
    if not isinstance(source, str | os.PathLike) or Path(source).suffix.lower() in IMAGE_SUFFIXES:
        return None
    try:
        own: type[Dataset] | None = type(recorded_dataset(run.metadata))
    except errors.CellvisionError:
        own = None
    recognised = recognising_dataset(source, own)
    if recognised is None:
        if own is None:
            run_dataset(run)  # raises the error: nothing else says how to read the images
        return None
    return dataset_like(run, recognised.name, source)


def dataset_like(run: Run, name: str, path: str | os.PathLike[str]) -> Dataset:
    """Create a data set on a path, with the settings of the run's data set if it is the same.

    Parameters
    ----------
    run
        The run.
    name
        Name of the data set.
    path
        Where its images are.
    """
    recorded: Any = run.metadata.experiment["dataset"]
    settings = dict(recorded) if isinstance(recorded, dict) and recorded["type"] == name else {}
    for key in _CHOSEN:
        settings.pop(key, None)
    created: Dataset = datasets.create(name, path=path, **settings)
    return created
