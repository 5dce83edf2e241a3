"""Train a study: several runs from several seeds, of one experiment or of several."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors, remote
from cellvision.backends import distributed
from cellvision.call_errors import names_settings
from cellvision.locks import folder_lock
from cellvision.progress import Display, displayed
from cellvision.recipe_experiment import DEFAULT, as_experiment
from cellvision.results.claimed_folder import release_folder
from cellvision.results.reporting import make_reports, warn_of_faults
from cellvision.results.study import Study
from cellvision.studies import dask
from cellvision.studies.controls import (
    LADDER,
    named_controls,
    selected_controls,
    with_default_controls,
)
from cellvision.studies.experiment_checks import check_experiments, check_expert
from cellvision.studies.failed_controls import FailedControls
from cellvision.studies.folds import (
    count_folds,
    plan_folds,
    requested_splitter,
    with_splitter,
)
from cellvision.studies.local_training import train_locally
from cellvision.studies.plan import PlannedRun, plan_runs
from cellvision.studies.request import check_request
from cellvision.studies.side_by_side import Workers, checked_workers
from cellvision.studies.sizes import size_experiments
from cellvision.studies.study_folder import claim_study, finish_study, study_plan
from cellvision.training.train import with_reporters

if TYPE_CHECKING:
    from distributed import Client
    from pydantic import JsonValue

    from cellvision.experiment import Experiment
    from cellvision.interfaces.control import Control
    from cellvision.interfaces.splitter import Splitter


@names_settings
def study(
    experiment: Experiment
    | str
    | os.PathLike[str]
    | Mapping[str, Experiment | str | os.PathLike[str]],
    runs: int,
    out: str | os.PathLike[str],
    *,
    controls: bool | str | Control | Sequence[str | Control] = (),
    ladder: bool = False,
    folds: int | None = None,
    leave_out: str | None = None,
    splitter: Splitter | str | None = None,
    sizes: bool | Sequence[int] = False,
    expert: Mapping[str, float] | None = None,
    client: Client | None = None,
    workers: Workers = "auto",
    group: str | None = None,
    recipe: str = DEFAULT,
    settings: Mapping[str, JsonValue] | None = None,
    progress: bool | None = None,
) -> Study:
    """Repeat a training from several seeds, to see how much of a result is chance.

    The images are read and the network is compiled once per experiment; each run draws new
    weights. The same call resumes an interrupted study.

    Parameters
    ----------
    experiment
        The experiment, or several experiments by name (architectures, data sets, options). Each
        can also be an experiment file, or a folder of images, for which a recipe chooses the
        settings.
    runs
        Number of runs of each experiment. Their seeds are its ``training.seed`` and the numbers
        that follow it.
    out
        Folder of the study. An address on remote storage receives the finished study.
    controls
        Controls to run beside each experiment: one or several, each the name of an installed
        control, or a control with settings. True runs all that are enabled by default and
        available, such as ``"permuted_groups"``. They can also be added to a finished study. If
        a control fails, a warning says so, and the study is finished without it; the same call
        tries it again.
    ladder
        Also run the controls that are simpler models of the same images, which takes seconds.
    folds
        Cross-validate with this many folds of whole groups: every group is tested once, and each
        run trains one network per fold.
    leave_out
        Cross-validate by leaving out one value of this column at a time, such as ``"compound"``,
        ``"group"`` or ``"batch"``.
    splitter
        Cross-validate with this splitter, or the splitter of this name. Without `folds`,
        `leave_out` and `splitter`, ``split.splitter`` of the experiment applies, if it is set.
    sizes
        Train on nested subsets of the training groups, of these numbers of groups, to see how
        accuracy grows with them (`Study.learning_curves`). True chooses the numbers.
    expert
        Accuracy of a person by split, for figures.
    client
        A ``distributed.Client``: the workers of its Dask cluster train the runs, and must have
        access to the images. None trains them on this machine.
    workers
        Number of worker processes on this machine that train runs side by side, each with its
        share of the processors; 1 trains one run after the other in this process. ``"auto"``
        trains the first run alone and, if much is left to train on a CPU, tries whether workers
        are faster. With other numbers of threads, sums may be rounded differently.
    group
        For a folder: provenance column that names the groups, such as ``well``.
    recipe
        For a folder: name of the recipe.
    settings
        For a folder or an experiment file: settings that take precedence, in tables as in an
        experiment file, such as ``{"training": {"epochs": 20}}``.
    progress
        Show progress; None shows it on a terminal and in a notebook only.

    Returns
    -------
    Study
        The finished study.

    Raises
    ------
    errors.FolderError
        The folder holds something else, or is in use.
    errors.ExperimentError
        `runs` is not a whole number of at least 1, or a control is unavailable for these
        experiments.
    errors.PluginError
        There is no such control, or it breaks its contract.
    errors.SplitError
        The images cannot be divided into these folds.
    errors.InvalidInput, errors.LeakError, errors.ReportError
        As for `train`.
    errors.CellvisionError
        A run of an experiment fails, the cluster was lost, its workers fail, have other versions
        than this process or images that differ between them; or a worker process was killed.
    """
    several = experiment if isinstance(experiment, Mapping) else {"": experiment}
    runs = check_request(
        runs, out, controls=controls, sizes=sizes, expert=expert or {}, several=len(several) > 1
    )
    workers = checked_workers(workers, cluster=client is not None)
    distributed.refuse_several("a study")
    division = requested_splitter(folds, leave_out, splitter)
    experiments = _named(
        {
            name: with_splitter(as_experiment(each, recipe, group, division, settings), division)
            for name, each in several.items()
        }
    )
    with (
        displayed(progress) as display,
        remote.results(out) as folder,
        folder_lock(folder, "study"),
    ):
        check_expert(expert or {}, experiments)
        experiments = _by_size(experiments, display, sizes=sizes)
        if ladder and controls is not True:
            named = list(named_controls(controls).values())
            controls = with_default_controls(named, experiments, kind=LADDER)
        chosen = selected_controls(controls, experiments)
        counts = count_folds(experiments, display.decoded)
        plan = study_plan(experiments, runs, chosen, expert or {}, counts)
        planned = plan_folds(plan_runs(experiments, runs, chosen), counts)
        run_folder = folder / "runs"
        if client is None:
            check_experiments(_experiments_to_train(planned, run_folder), display)
        claim_study(folder, plan)
        waiting = _unfinished(planned, run_folder)
        failed = FailedControls()
        with _saying_how_to_resume(folder):
            _train(waiting, planned, run_folder, display, failed, client, workers)
            finished = finish_study(folder, plan, planned, failed)
        first = next(iter(experiments.values()))
        faults = make_reports(finished, first.reporters or (), display)[1]
    warn_of_faults(finished, faults)  # results at an address are uploaded before
    return finished


def _experiments_to_train(planned: Sequence[PlannedRun], folder: Path) -> dict[str, Experiment]:
    """Return the experiments of runs that are not finished, without those of controls."""
    return {
        run.experiment_name: run.experiment
        for run in reversed(planned)  # so that the first fold of each counts
        if run.control is None and not (folder / run.name / "run.json").is_file()
    }


def _unfinished(planned: Sequence[PlannedRun], folder: Path) -> list[PlannedRun]:
    """Return the runs to train; release the folders of finished runs."""
    waiting = []
    for run in planned:
        if (folder / run.name / "run.json").is_file():
            release_folder(folder / run.name)
        else:
            waiting.append(run)
    return waiting


def _train(
    waiting: Sequence[PlannedRun],
    planned: Sequence[PlannedRun],
    folder: Path,
    display: Display,
    failed: FailedControls,
    client: Client | None,
    workers: Workers,
) -> None:
    """Train runs on this machine or on a cluster."""
    if client is None:
        train_locally(waiting, planned, folder, display, failed, workers)
    else:
        done = len(planned) - len(waiting)
        dask.train_on_cluster(client, waiting, folder, done, display, failed)


@contextlib.contextmanager
def _saying_how_to_resume(folder: Path) -> Iterator[None]:
    """Make an interrupt say what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"finished runs are kept in {folder}; the same command resumes the study"
        ) from None


def _named(experiments: Mapping[str, Experiment]) -> dict[str, Experiment]:
    """Return experiments by name; one without a name is named after its architecture."""
    if not experiments:
        raise errors.ExperimentError("a study needs at least one experiment", "Name one.")
    return {
        name or _architecture_name(one): with_reporters(one) for name, one in experiments.items()
    }


def _by_size(
    experiments: dict[str, Experiment], display: Display, *, sizes: bool | Sequence[int]
) -> dict[str, Experiment]:
    """Return one experiment for each number of training groups, if sizes are requested."""
    if sizes is False:
        return experiments
    (experiment,) = experiments.values()
    return size_experiments(experiment, None if sizes is True else sizes, display.decoded)


def _architecture_name(experiment: Experiment) -> str:
    architecture = type(experiment.architecture)
    name: str = architecture.registry.name_of(architecture)
    return name
