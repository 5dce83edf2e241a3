"""The runs of a study, and the runner that trains those of one experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision.backends.devices import accelerators
from cellvision.data.prepared import PreparedData, prepare_data
from cellvision.interfaces.control import Control, overridden
from cellvision.studies.control_contract import checked_experiment
from cellvision.studies.control_run import predict_control
from cellvision.studies.controls import (
    Controls,
    control_label,
    with_changed_images,
    with_changed_labels,
)
from cellvision.studies.vectorized import train_vectorized
from cellvision.training.train import train_once
from cellvision.training.trainer import Trainer

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.progress import Display


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One run of a study, finished or not.

    Attributes
    ----------
    name : str
        Name of its folder in ``runs``.
    experiment_name : str
        Name of its experiment.
    experiment : Experiment
        What is trained: the experiment, or what a control makes of it.
    seed : int
        Seed of the run.
    control : str or None
        Name of the control that it belongs to; None for a run of the experiment itself.
    component : Control or None
        That control.
    fold : int or None
        The fold that it holds out, from 1; None without cross-validation.
    """

    name: str
    experiment_name: str
    experiment: Experiment
    seed: int
    control: str | None = None
    component: Control | None = None
    fold: int | None = None


def plan_runs(
    experiments: Mapping[str, Experiment], runs: int, controls: Mapping[str, Controls]
) -> list[PlannedRun]:
    """List all runs of a study; the runs of each experiment precede those of its controls.

    Parameters
    ----------
    experiments
        Experiments by name.
    runs
        Number of runs of each.
    controls
        The controls of each experiment.
    """
    planned = []
    for number, (name, experiment) in enumerate(experiments.items()):
        own_runs = [
            PlannedRun(f"{number * runs + k:03d}", name, experiment, experiment.training.seed + k)
            for k in range(runs)
        ]
        planned += own_runs
        control_runs = [
            run
            for control_name, control in controls.get(name, {}).items()
            for run in _runs_of_control(control_name, control, own_runs)
        ]
        # Those with another network come last, so that each network is compiled once.
        planned += sorted(control_runs, key=lambda run: run.experiment != experiment)
    return planned


def _runs_of_control(
    name: str, control: Control, own_runs: Sequence[PlannedRun]
) -> list[PlannedRun]:
    folder = name.replace(":", "-")
    return [
        replace(
            run,
            name=f"{folder}_{run.name}",
            experiment=checked_experiment(control, run.experiment),
            control=name,
            component=control,
        )
        for run in (own_runs if control.depends_on_seed else own_runs[:1])
    ]


class Runner:
    """Trains runs of one experiment: reads its images and compiles its network once.

    Parameters
    ----------
    experiment
        The experiment.
    display
        Shows progress.
    """

    def __init__(self, experiment: Experiment, display: Display) -> None:
        self.display = display
        self.prepared = prepare_data(experiment, display.decoded)
        self._changed: PreparedData | None = None
        self._declines_vectorizing = False

    @cached_property
    def _trainer(self) -> Trainer:
        return Trainer(self.prepared)

    @property
    def trains_on_one_processor(self) -> bool:
        """Whether the network trains on the CPU, and no GPU is visible."""
        return len(self._trainer.devices) == 1 and not accelerators()

    def train(self, seed: int, control: Control | None, folder: Path) -> None:
        """Train one run.

        Parameters
        ----------
        seed, control
            Seed and control of the run.
        folder
            A claimed folder.
        """
        prepared = self.prepared if control is None else self._control_data(control, seed)
        if control is not None and "predict" in overridden(control):
            predict_control(control, prepared, seed, folder)
        else:
            train_once(self._trainer.on(prepared), seed, folder, self.display)

    def _control_data(self, control: Control, seed: int) -> PreparedData:
        """Return the data of a control; its images are changed once for all seeds."""
        if self._changed is None or self._changed.control != control:
            task = f"changing images: {control_label(control)}"
            self._changed = with_changed_images(
                control, self.prepared, partial(self.display.task, task)
            )
        return with_changed_labels(control, self._changed, seed)

    def train_vectorized(self, runs: Sequence[PlannedRun], folder: Path) -> int:
        """Train runs of the experiment itself side by side, if possible.

        Parameters
        ----------
        runs
            The runs.
        folder
            The folder ``runs`` of the study.

        Returns
        -------
        int
            How many of them, counted from the first, are finished.
        """
        if not runs or self._declines_vectorizing:
            return 0
        folders = [folder / run.name for run in runs]
        seeds = [run.seed for run in runs]
        finished = train_vectorized(self._trainer, seeds, folders, self.display)
        self._declines_vectorizing = finished < len(runs)
        return finished
