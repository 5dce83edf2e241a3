"""The runs of a study, and the runner that trains those of one experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision.data.prepared import PreparedData, prepare_data
from cellvision.studies.controls import control_data
from cellvision.studies.intensity_control import run_intensity_control
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
        The experiment.
    seed : int
        Seed of the run.
    control : str or None
        The control that it belongs to; None for a run of the experiment itself.
    fold : int or None
        The fold that it holds out, from 1; None without cross-validation.
    """

    name: str
    experiment_name: str
    experiment: Experiment
    seed: int
    control: str | None = None
    fold: int | None = None


def plan_runs(
    experiments: Mapping[str, Experiment], runs: int, controls: Sequence[str]
) -> list[PlannedRun]:
    """List all runs of a study; the runs of each experiment precede those of its controls.

    Parameters
    ----------
    experiments
        Experiments by name.
    runs
        Number of runs of each.
    controls
        Names of the controls.
    """
    planned = []
    for number, (name, experiment) in enumerate(experiments.items()):
        own_runs = [
            PlannedRun(f"{number * runs + k:03d}", name, experiment, experiment.training.seed + k)
            for k in range(runs)
        ]
        planned += own_runs
        for control in controls:
            # The intensity control does not depend on the seed, so one run is enough.
            repeated = own_runs[:1] if control == "intensity" else own_runs
            planned += [
                replace(run, name=f"{control}_{run.name}", control=control) for run in repeated
            ]
    return planned


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

    @cached_property
    def _trainer(self) -> Trainer:
        return Trainer(self.prepared)

    @cached_property
    def _background(self) -> PreparedData:
        return control_data("background", self.prepared, 0, self.display.masked)

    def train(self, seed: int, control: str | None, folder: Path) -> None:
        """Train one run.

        Parameters
        ----------
        seed, control
            Seed and control of the run.
        folder
            A claimed folder.
        """
        if control == "intensity":
            run_intensity_control(control_data(control, self.prepared, seed), seed, folder)
            return
        if control is None:
            prepared = self.prepared
        elif control == "background":
            prepared = self._background
        else:
            prepared = control_data(control, self.prepared, seed)
        train_once(self._trainer.on(prepared), seed, folder, self.display)

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
        if not runs:
            return 0
        folders = [folder / run.name for run in runs]
        return train_vectorized(self._trainer, [run.seed for run in runs], folders, self.display)
