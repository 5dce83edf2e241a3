"""Train the runs of a study on this machine: one after the other, or side by side."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import errors
from cellvision.backends.memory import free_memory, peak_memory
from cellvision.concurrency import available_processors
from cellvision.data.batch_reads import reads_for_fingerprints
from cellvision.data.split import Split
from cellvision.results.claimed_folder import claim_folder
from cellvision.results.run import load_run
from cellvision.studies.failed_controls import FailedControls, control_errors
from cellvision.studies.local_workers import LocalWorkers, WorkerKilled
from cellvision.studies.plan import PlannedRun, Runner
from cellvision.studies.side_by_side import (
    Choice,
    FirstRun,
    Machine,
    Workers,
    choose_after_trial,
    raise_if_unavailable,
    workers_to_try,
)

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.progress import Display
    from cellvision.results.run import Run

_log = logging.getLogger(__name__)


def train_locally(
    waiting: Sequence[PlannedRun],
    planned: Sequence[PlannedRun],
    folder: Path,
    display: Display,
    failed: FailedControls,
    workers: Workers = "auto",
) -> None:
    """Train runs in this process, or in worker processes of this machine.

    Parameters
    ----------
    waiting
        Runs to train, in the order of the plan.
    planned
        All runs of the study.
    folder
        Folder ``runs`` of the study.
    display
        Shows progress.
    failed
        Receives the controls that fail; their other runs are left out.
    workers
        Number of worker processes; 1 trains in this process, and ``"auto"`` chooses by a trial.

    Raises
    ------
    errors.ExperimentError
        Workers are requested, but this machine trains on a GPU or they cannot import a class.
    errors.CellvisionError
        A run of an experiment fails, or the worker that trains a run is killed.
    """
    if isinstance(workers, int) and workers > 1:
        for run in waiting:
            raise_if_unavailable(run)
    experiments = list({id(run.experiment): run.experiment for run in waiting}.values())
    with LocalWorkers(folder, experiments, failed) as processes:
        training = _LocalTraining(waiting, planned, folder, display, failed, processes)
        for network, group in itertools.groupby(waiting, _but_for_the_split):
            training.train(network, list(group), workers)


def _but_for_the_split(run: PlannedRun) -> str:
    """Identify what all folds of an experiment share; runs that share it take the same time."""
    return run.experiment.model_copy(update={"split": Split()}).model_dump_json()


class _LocalTraining:
    """Trains the runs of a study, and remembers how those of each network train best."""

    def __init__(
        self,
        waiting: Sequence[PlannedRun],
        planned: Sequence[PlannedRun],
        folder: Path,
        display: Display,
        failed: FailedControls,
        processes: LocalWorkers,
    ) -> None:
        self.planned = planned
        self.folder = folder
        self.display = display
        self.failed = failed
        self.processes = processes
        self._finished = len(planned) - len(waiting)
        self._runner: Runner | None = None
        self._chosen: dict[str, int] = {}

    def train(self, network: str, runs: Sequence[PlannedRun], workers: Workers) -> None:
        """Train runs of one network, in one fold or several."""
        if workers == "auto" and network not in self._chosen:
            runs = self._choose(network, runs)
        else:
            number = workers if isinstance(workers, int) else self._chosen[network]
            if number > 1 and len(runs) > 1:
                self._require_processor(runs)
                runs = self._side_by_side(runs, number, is_optional=workers == "auto")
        for _ in self._one_after_the_other(runs):
            pass

    def _one_after_the_other(self, runs: Sequence[PlannedRun]) -> Iterator[list[PlannedRun]]:
        """Train runs in this process, with one compiled network per experiment.

        Yields the runs that have finished since the last time: those of a program, or one.
        """
        for experiment, group in itertools.groupby(runs, attrgetter("experiment")):
            remaining = list(group)
            runner = self._usable_runner(experiment, remaining)
            if runner is None:
                continue
            self.display.fold(remaining[0].fold, self._number_of_folds(remaining[0]))
            own_runs = [run for run in remaining if run.control is None]
            done = runner.train_vectorized(own_runs, self.folder)
            self._finished += done
            if done:
                yield remaining[:done]
            for run in remaining[done:]:  # runs of the experiment itself come first
                if run in self.failed:
                    continue
                number = self.planned.index(run) + 1
                self.display.run(number, len(self.planned), run.seed, run.control)
                with self.failed.catching(run):
                    runner.train(run.seed, run.component, claim_folder(self.folder / run.name))
                if run not in self.failed:
                    self._finished += 1
                    yield [run]

    def _side_by_side(
        self,
        runs: Sequence[PlannedRun],
        number: int,
        alone: FirstRun | None = None,
        *,
        is_optional: bool,
    ) -> list[PlannedRun]:
        """Train runs in workers; return those that are left to this process.

        With a run that was trained alone, the first run of each worker is a trial.
        """
        waiting = deque(runs)
        number = min(number, len(runs))
        speeds: dict[int, float] = {}
        self.display.runs(self._finished, len(self.planned), number)
        try:
            for worker, run in self.processes.train(waiting, number):
                self._finished += 1
                self.display.runs(self._finished, len(self.planned), number)
                if alone is not None and worker not in speeds and len(speeds) < number:
                    speeds[worker] = self._run(run).metadata.timings.train_images_per_s
                    if len(speeds) == number and not self._is_faster(alone, speeds):
                        waiting.clear()
        except WorkerKilled as error:
            if not is_optional:
                raise
            _log.warning("%s; the other runs train one after the other", error.what)
        left = self._left(runs)
        if left:
            self.processes.end()
        return left

    def _left(self, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
        """Return the runs that are neither finished nor of a control that failed."""
        return [
            run
            for run in self.failed.without(runs)
            if not (self.folder / run.name / "run.json").is_file()
        ]

    def _choose(self, network: str, runs: Sequence[PlannedRun]) -> Sequence[PlannedRun]:
        """Train the first run alone, and the others in workers if worth it; return what is left."""
        self._chosen[network] = 1
        for finished in self._one_after_the_other(runs):
            runs = self._left(runs)
            if len(finished) > 1:
                continue  # one program has trained them
            batch_size = finished[0].experiment.training.batch_size
            alone = FirstRun.of(self._run(finished[0]), batch_size)
            choice = self._worth_trying(alone, runs)
            if choice.workers == 1:
                self._say(choice)
                break
            self._chosen[network] = choice.workers
            left = self._side_by_side(runs, choice.workers, alone, is_optional=True)
            if left:
                self._chosen[network] = 1
            return left
        return runs

    def _worth_trying(self, alone: FirstRun | None, runs: Sequence[PlannedRun]) -> Choice:
        runner = self._runner
        if runner is None or alone is None or not runner.trains_on_one_processor:
            return Choice(1)
        dataset, seconds = runner.prepared.experiment.dataset, runner.prepared.seconds
        machine = Machine(
            available_processors(),
            free_memory(),
            peak_memory(),
            # Without fingerprints of files, every worker reads every image.
            start_seconds=seconds if reads_for_fingerprints(dataset) else 0.0,
        )
        choice = workers_to_try(alone, len(runs), machine)
        if choice.workers > 1:
            try:
                for run in runs:
                    raise_if_unavailable(run)
            except errors.ExperimentError as error:
                return Choice(1, f"one after the other: {error.what}")
        return choice

    def _is_faster(self, alone: FirstRun, speeds: dict[int, float]) -> bool:
        choice = choose_after_trial(alone.images_per_second, list(speeds.values()))
        self._say(choice)
        return choice.workers > 1

    def _say(self, choice: Choice) -> None:
        if choice.reason:
            self.display.note(choice.reason)

    def _run(self, run: PlannedRun) -> Run:
        return load_run(self.folder / run.name)

    def _runner_of(self, experiment: Experiment) -> Runner:
        """Return the runner of an experiment; the last one is kept."""
        if self._runner is None or self._runner.prepared.experiment != experiment:
            self._runner = None  # free its images and its network first
            runner = Runner(experiment, self.display)
            self._raise_if_other_images(runner)
            self._runner = runner
        return self._runner

    def _usable_runner(self, experiment: Experiment, runs: Sequence[PlannedRun]) -> Runner | None:
        """Return the runner; None if it is impossible and all runs are of controls."""
        if any(run.component is None for run in runs):
            return self._runner_of(experiment)
        try:
            with control_errors():
                return self._runner_of(experiment)
        except errors.CellvisionError as error:
            are_faults = [self.failed.add(run, error) for run in runs]
            if not all(are_faults):
                raise
            return None

    def _raise_if_other_images(self, runner: Runner) -> None:
        """Refuse to continue a study on other images than those of its finished runs."""
        experiment = runner.prepared.experiment
        for planned in self.planned:
            folder = self.folder / planned.name
            is_own = planned.control is None and planned.experiment == experiment
            if not is_own or not (folder / "run.json").is_file():
                continue
            trained_on = self._run(planned).metadata.all_images
            images = runner.prepared.digest(np.arange(len(runner.prepared.labels)))
            if trained_on is not None and trained_on != images:
                raise errors.FolderError(
                    f"{folder}: this finished run was trained on other images than are there now",
                    "Restore the images or labels as they were then, or name another folder for "
                    "the study.",
                )
            return

    def _number_of_folds(self, run: PlannedRun) -> int:
        name = run.experiment_name
        return len({other.fold for other in self.planned if other.experiment_name == name})

    def _require_processor(self, runs: Sequence[PlannedRun]) -> None:
        # Reads all images as well, so that the workers find them in the cache.
        experiment = runs[0].experiment
        sharing = [run for run in runs if run.experiment == experiment]
        runner = self._usable_runner(experiment, sharing)
        if runner is not None and not runner.trains_on_one_processor:
            raise errors.ExperimentError(
                "workers train on processors, and this process has other or several devices",
                "Leave out --workers, or hide the GPUs: CUDA_VISIBLE_DEVICES=-1",
            )
