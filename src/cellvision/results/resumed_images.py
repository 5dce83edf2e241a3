"""Unfinished work that is resumed after its images were moved."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision.errors import CellvisionError
from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.plain_settings import by_distribution
from cellvision.remote import is_address

if TYPE_CHECKING:
    from cellvision.results.metadata import RunMetadata

_log = logging.getLogger(__name__)


def with_images_of(
    recorded: Mapping[str, Any], now: Mapping[str, Any], plugins: Mapping[str, str]
) -> Mapping[str, Any]:
    """Return recorded settings with the images where those of a call find them.

    Images count as moved if the data sets differ in nothing but their place, and nothing is left
    at the recorded one: while it exists, another place is another data set, or a mistake.

    Parameters
    ----------
    recorded
        Settings of an experiment whose work is resumed.
    now
        Those of the call.
    plugins
        Plugins of the record, with their distributions.

    Returns
    -------
    dict
        The recorded settings as they are, unless the images were moved.
    """
    before, after = recorded.get("dataset"), now.get("dataset")
    if before == after or not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return recorded
    changed = [name for name, value in after.items() if value != before.get(name)]
    places = [after[name] for name in changed if isinstance(after[name], str)]
    if not places or not _is_gone(before, changed):
        return recorded
    if any(_relocated(before, place, plugins) == after for place in places):
        return {**recorded, "dataset": after}
    return recorded


def _is_gone(dataset: Mapping[str, Any], names: list[str]) -> bool:
    """Whether the paths in settings of a data set lead nowhere."""
    paths = [dataset.get(name) for name in names]
    local = [path for path in paths if isinstance(path, str) and not is_address(path)]
    return bool(local) and not any(Path(path).exists() for path in local)


def _relocated(
    dataset: Mapping[str, Any], place: str, plugins: Mapping[str, str]
) -> dict[str, Any] | None:
    settings = dict(by_distribution(dataset, Dataset, plugins))
    try:
        created: Dataset = datasets.create(str(settings.pop("type")), **settings)
        return created.relocated(place).model_dump(mode="json")
    except (CellvisionError, LookupError):  # of a plugin that is not installed, or without a place
        return None


def say_moved(recorded: Mapping[str, Any], folder: Path) -> None:
    """Say where the images of resumed work are read now."""
    dataset = recorded["dataset"]
    place = dataset.get("root") or dataset.get("path")
    _log.warning("The images of %s were moved; they are read in %s now.", folder, place)


def place_in_record(metadata: RunMetadata, experiment: Mapping[str, Any]) -> str | None:
    """Return where a study's record finds the images of a run that was trained elsewhere.

    None if they are where the run's own record says, or on another storage: only the user can name
    an address.

    Parameters
    ----------
    metadata
        Content of the run's ``run.json``.
    experiment
        The experiment as the study records it.
    """
    before = metadata.experiment
    if with_images_of(before, experiment, metadata.plugins) is before:
        return None
    place = experiment["dataset"].get("root") or experiment["dataset"].get("path")
    return None if is_address(place) or not Path(place).exists() else str(place)
