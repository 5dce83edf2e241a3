"""The runs that a study is made of, and what does those of one experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision.data.prepared import PreparedData, prepare_data
from cellvision.studies.controls import control_data, measure_once
from cellvision.studies.vectorized import train_vectorized
from cellvision.training.train import train_once
from cellvision.training.trainer import Trainer

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.progress import Display


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One run of a study, done or not.

    Attributes
    ----------
    name : str
        Of its folder in ``runs``.
    of : str
        The name of its experiment.
    experiment : Experiment
        That experiment.
    seed : int
        Its own.
    control : str or None
        The control that it is a run of.
    """

    name: str
    of: str
    experiment: Experiment
    seed: int
    control: str | None = None


def plan_runs(
    experiments: Mapping[str, Experiment], runs: int, controls: Sequence[str]
) -> list[PlannedRun]:
    """All runs of a study in order: of each experiment, those of the true labels first."""
    planned = []
    for number, (name, each) in enumerate(experiments.items()):
        own = [
            PlannedRun(f"{number * runs + k:03d}", name, each, each.training.seed + k)
            for k in range(runs)
        ]
        planned += own
        for control in controls:
            # Nothing is left to chance in the intensity control, so one run tells all.
            beside = own[:1] if control == "intensity" else own
            planned += [
                replace(run, name=f"{control}_{run.name}", control=control) for run in beside
            ]
    return planned


class Runner:
    """Does runs of one experiment: its images are read and its network is compiled once.

    Parameters
    ----------
    experiment
        What is asked.
    display
        Shown to whoever waits.
    """

    def __init__(self, experiment: Experiment, display: Display) -> None:
        self.display = display
        self.prepared = prepare_data(experiment, display.decoded)

    @cached_property
    def _trainer(self) -> Trainer:
        return Trainer(self.prepared)

    @cached_property
    def _without_cells(self) -> PreparedData:
        return control_data("background", self.prepared, 0, self.display.masked)

    def do(self, seed: int, control: str | None, folder: Path) -> None:
        """Do one run.

        Parameters
        ----------
        seed, control
            Those of the run.
        folder
            An existing folder, free to write to.
        """
        if control == "intensity":
            measure_once(control_data(control, self.prepared, seed), seed, folder)
            return
        if control is None:
            prepared = self.prepared
        elif control == "background":
            prepared = self._without_cells
        else:
            prepared = control_data(control, self.prepared, seed)
        train_once(self._trainer.on(prepared), seed, folder, self.display)

    def do_vectorized(self, runs: Sequence[PlannedRun], folder: Path) -> int:
        """Do runs of the true labels side by side where that can be had; gives how many were.

        Parameters
        ----------
        runs
            The runs.
        folder
            The study's ``runs``.
        """
        if not runs:
            return 0
        places = [folder / run.name for run in runs]
        return train_vectorized(self._trainer, [run.seed for run in runs], places, self.display)
