"""The experiment that a run's record describes, which may need plugins."""

from __future__ import annotations

from pathlib import Path

from cellvision.experiment import Experiment, experiment_from
from cellvision.plain_settings import by_distribution
from cellvision.plugin_versions import raise_if_missing, warn_of_differences
from cellvision.results.metadata import RunMetadata


def recorded_experiment(metadata: RunMetadata, folder: Path) -> Experiment:
    """Create the experiment of a run; see `Run.experiment`.

    Parameters
    ----------
    metadata
        The content of ``run.json``.
    folder
        Folder of the run, for messages.
    """
    raise_if_missing(metadata.plugins, folder)
    warn_of_differences(metadata, folder)
    values = by_distribution(metadata.experiment, Experiment, metadata.plugins)
    return experiment_from(values, str(folder / "run.json"))
