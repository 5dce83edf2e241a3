"""The data set that a run's record names, which may be the record of a stranger."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cellvision import errors
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.plain_settings import by_distribution
from cellvision.plugin_versions import warn_of_changed_files
from cellvision.remote import is_address, was_read
from cellvision.results.metadata import RunMetadata
from cellvision.results.moved_images import Place, absolute_place, raise_if_absent

if TYPE_CHECKING:
    from cellvision.results.run import Run


def recorded_dataset(metadata: RunMetadata, folder: Path | None = None) -> Dataset:
    """Create the data set of a run, whatever addresses it names: it reads nothing yet.

    Parameters
    ----------
    metadata
        The content of ``run.json``.
    folder
        Folder of the run, to warn if a local plugin file of the data set has changed since.

    Raises
    ------
    errors.UnknownPlugin
        Its plugin is not installed.
    errors.ExperimentError
        The installed plugin no longer understands a recorded setting.
    """
    if folder is not None:
        warn_of_changed_files(metadata, folder, datasets.group)
    recorded: Any = metadata.experiment["dataset"]
    values = by_distribution(recorded, Dataset, metadata.plugins)
    settings = dict(values) if isinstance(values, dict) else {"type": values}
    dataset: Dataset = datasets.create(str(settings.pop("type", "")), **settings)
    return dataset


def dataset_of(run: Run, storage: Place, images: Place) -> Dataset:
    """Create the data set of a run, with its images where they are now; see `Run.dataset`.

    Parameters
    ----------
    run
        The run.
    storage
        Where its record is; None to read images from any address that it names.
    images
        Where its images are now; None: where they were at the training.
    """
    recorded = recorded_dataset(run.metadata, run.folder)
    dataset = recorded if images is None else recorded.relocated(absolute_place(run, images))
    if storage is not None:
        # Addresses that were replaced are not read, and the place that the user named is trusted.
        record = {"dataset": dataset.model_dump(mode="json")}
        refuse_unknown_addresses(record, storage if images is None else images, str(run.folder))
    if images is not None:
        raise_if_absent(run, dataset, images)
    return dataset


def refuse_unknown_addresses(
    record: Mapping[str, Any], location: str | os.PathLike[str], named: str
) -> None:
    """Refuse to connect to a storage because a record, maybe a stranger's, names it.

    Parameters
    ----------
    record
        The recorded experiment.
    location
        Where the record is: addresses on the same storage are known.
    named
        What to call it.

    Raises
    ------
    errors.ExperimentError
        Its data set names an address from which this user has never read.
    """
    own = urlsplit(location)[:2] if is_address(location) else None
    for address in _addresses(record.get("dataset")):
        if urlsplit(address)[:2] != own and not was_read(address):
            raise errors.ExperimentError(
                f"{named}: its record reads images from {address}, which you never read before",
                "If you trust it: --allow-network (allow_network=True in Python)",
            )


def _addresses(value: object) -> Iterator[str]:
    """Find addresses at any depth: a data set may hold another one."""
    if is_address(value):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _addresses(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _addresses(entry)
