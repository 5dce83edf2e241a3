"""Find the data set that recognises a path, such as ``plate.zarr``."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import NamedTuple

from cellvision import errors
from cellvision.data.unusable_path import EXPERIMENT_SUFFIXES
from cellvision.interfaces.dataset import Dataset, datasets

_log = logging.getLogger(__name__)


class Recognised(NamedTuple):
    """A data set that recognises a path.

    Attributes
    ----------
    name : str
        Its name.
    origin : str
        Kind, name and distribution, for people.
    """

    name: str
    origin: str


def recognising_dataset(
    source: str | os.PathLike[str], preferred: type[Dataset] | None = None
) -> Recognised | None:
    """Ask the installed data sets whether a path is meant for one of them.

    Those that may define `recognises` are imported for it, so only files that are no experiments
    and folders with a suffix are asked about. A broken data set does not take part; a
    warning names it, because it may be the one that is meant.

    Parameters
    ----------
    source
        The path.
    preferred
        Class that is asked first, and alone if it recognises the path.

    Returns
    -------
    Recognised or None
        None if no data set recognises it.

    Raises
    ------
    errors.ExperimentError
        Several data sets do.
    """
    path = Path(source)
    if not path.suffix or path.suffix.lower() in EXPERIMENT_SUFFIXES or not path.exists():
        return None
    if preferred is not None and _recognises(preferred, path):
        return _recognised(preferred)
    matches = []
    for name in datasets.names_that_may_override("recognises"):
        try:
            cls = datasets.get(name)
        except errors.PluginError as error:
            _log.warning("%s", error.what)
            continue
        if name not in cls.former_names and _recognises(cls, path):
            matches.append(_recognised(cls))
    if len(matches) > 1:
        raise errors.ExperimentError(
            f"{path}: {' and '.join(match.origin for match in matches)} recognise it",
            f"Choose one: --set dataset.type={matches[0].name}",
        )
    return matches[0] if matches else None


def _recognised(cls: type[Dataset]) -> Recognised:
    if "path" not in cls.model_fields:
        raise errors.PluginContractError(
            f"{datasets.origin_of(cls)} recognises paths, but has no setting 'path'",
            "Its author must call the setting with the path `path`, or not define recognises().",
        )
    return Recognised(datasets.name_of(cls), datasets.origin_of(cls))


def _recognises(cls: type[Dataset], path: Path) -> bool:
    """Ask a data set; the fault of one must not keep others from reading their files."""
    try:
        return bool(cls.recognises(path))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code
        _log.warning(
            "%s: recognises(%r) failed: %s. Its author must return False for paths that it cannot "
            "look into.",
            datasets.origin_of(cls),
            path.name,
            errors.summarize(error),
        )
        return False
