"""Check that the networks of all experiments of a study can be built, before the first training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.data.catalog import Catalog
from cellvision.data.prepared import PreparedData, prepare_data
from cellvision.training.trainer import Trainer

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.progress import Display


def check_expert(expert: Mapping[str, float], experiments: Mapping[str, Experiment]) -> None:
    """Refuse the accuracy of an expert on a split that no experiment has.

    Parameters
    ----------
    expert
        The accuracies by split.
    experiments
        The experiments, by name.

    Raises
    ------
    errors.ExperimentError
        There is no such split.
    """
    if not expert:
        return
    splits: set[str] = set()
    for experiment in experiments.values():
        named = Catalog.of(experiment.dataset).table["split"].dropna()
        splits |= set(named) or {"train", "validation", "test"}
    for split in expert:
        if split not in splits:
            raise errors.ExperimentError(
                f"the accuracy of an expert is for {split!r}, but there is no such split",
                f"Splits: {', '.join(sorted(splits))}.",
            )


def check_experiments(experiments: Mapping[str, Experiment], display: Display) -> None:
    """Build the network of each experiment once, so that none fails hours later.

    Parameters
    ----------
    experiments
        Experiments that will be trained, by name. A single one is not checked: its first run
        starts at once.
    display
        Shows progress.

    Raises
    ------
    errors.InvalidInput
        An experiment is impossible, such as a network that needs larger images; the message names
        it. Nothing has been trained.
    """
    if len(experiments) < 2:
        return
    prepared: PreparedData | None = None
    for name, experiment in experiments.items():
        try:
            if prepared is None or not _share_images(prepared.experiment, experiment):
                prepared = prepare_data(experiment, display.decoded)
            trainer = Trainer(replace(prepared, experiment=experiment))
            trainer.network(experiment.training.seed)
        except errors.InvalidInput as error:
            if type(error).__init__ is not errors.CellvisionError.__init__:
                raise
            raise type(error)(f"experiment {name!r}: {error.what}", error.hint) from error


def _share_images(one: Experiment, other: Experiment) -> bool:
    parts: Sequence[str] = ("dataset", "preprocessing", "split")
    return all(getattr(one, part) == getattr(other, part) for part in parts)
