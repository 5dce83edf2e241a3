"""Train once: from an experiment to the folder of a run."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors, remote
from cellvision.backends import distributed
from cellvision.data.prepared import PreparedData, prepare_data
from cellvision.local_plugins import digests_of, raise_if_changed
from cellvision.locks import folder_lock
from cellvision.migration import with_defaults
from cellvision.progress import Display, displayed
from cellvision.recipe_experiment import DEFAULT, as_experiment
from cellvision.results.claimed_folder import RESUME, claim_folder
from cellvision.results.reporting import default_reporters, make_reports
from cellvision.results.run import Run, load_run
from cellvision.results.run_images import prepared_images
from cellvision.training.run_writer import RunWriter
from cellvision.training.state import TrainingState
from cellvision.training.trainer import Trainer

if TYPE_CHECKING:
    from cellvision.experiment import Experiment

_log = logging.getLogger(__name__)


def train(
    experiment: Experiment | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    group: str | None = None,
    recipe: str = DEFAULT,
    resume: bool = False,
    progress: bool | None = None,
) -> Run:
    """Train an experiment's network once, evaluate it on every split, and write the results.

    An interrupt (Ctrl-C) after the first epoch keeps the best network so far: the run is written
    and marked as interrupted before KeyboardInterrupt is raised.

    Parameters
    ----------
    experiment
        The experiment, an experiment file, or a folder of images, for which a recipe chooses the
        settings.
    out
        Folder of the run: a new or empty one, or that of an unfinished training. An address on
        remote storage receives the finished run.
    group
        For a folder: provenance column that names the groups, such as ``well``.
    recipe
        For a folder: name of the recipe.
    resume
        Continue the interrupted run in `out`, with the same result as without the interruption.
        Starts from the beginning if there is none.
    progress
        Show progress; None shows it on a terminal and in a notebook only.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    errors.InvalidInput
        A file is unreadable, a plugin is missing, the folder is not free or in use, ...
    errors.LeakError
        Splits share a group or an image.
    KeyboardInterrupt
        The training was interrupted. ``load_run(out)`` opens what was kept.

    Examples
    --------
    >>> import cellvision as cv
    >>> experiment = cv.Experiment(dataset=cv.datasets.create("folder", path="images"))
    >>> run = cv.train(experiment, out="runs/first")  # doctest: +SKIP
    >>> run.scores["test"].accuracy  # doctest: +SKIP
    0.91
    """
    distributed.join()
    if distributed.world_size() > 1 and (remote.is_address(out) or resume):
        raise errors.ExperimentError(
            f"{out}: several processes cannot write to an address or resume a training",
            "Use a folder that all of them share, without --resume.",
        )
    experiment = with_reporters(as_experiment(experiment, recipe, group))
    first = distributed.rank() == 0
    with (
        displayed(progress if first else False) as display,
        remote.results(out) as folder,
        folder_lock(folder, "train") if first else contextlib.nullcontext(),
    ):
        start = _interrupted_state(folder, experiment) if resume else None
        if start is None:
            distributed.claim_on_first(claim_folder, folder)
        trainer = Trainer(_prepared(experiment, display))
        if not first:
            trainer.fit(experiment.training.seed, display, lambda *_: None)
            distributed.wait_for_first(folder)
            return load_run(folder)
        keep_interrupted = distributed.world_size() == 1 and not remote.is_address(out)
        run = train_once(
            trainer,
            experiment.training.seed,
            folder,
            display,
            start=start,
            keep_interrupted=keep_interrupted,
        )
        if run.interrupted:
            raise KeyboardInterrupt(
                f"the network of epoch {run.metadata.kept_epoch} is kept in {folder}; to go on, "
                "give the same command with --resume"
            )
        images = trainer.prepared.catalog.table["image"]
        with prepared_images(run, list(images), trainer.prepared.pixels):
            for fault in make_reports(run, experiment.reporters or (), display)[1]:
                _log.warning("%s", fault.what)
        distributed.wait_for_first(folder)
    return run


def _prepared(experiment: Experiment, display: Display) -> PreparedData:
    prepared = prepare_data(experiment, display.decoded)
    distributed.check_same_data(prepared)
    return prepared


def with_reporters(experiment: Experiment) -> Experiment:
    """Return the experiment with its default reporters listed, so that its record is complete."""
    if experiment.reporters is not None:
        return experiment
    return experiment.model_copy(update={"reporters": default_reporters()})


def _interrupted_state(folder: Path, experiment: Experiment) -> TrainingState | None:
    """Load the state of the interrupted run in a folder; None if there is none.

    Raises
    ------
    errors.FolderError
        The run is finished, or another experiment was interrupted.
    """
    if not (folder / "run.json").is_file() or not (folder / RESUME).is_file():
        return None
    metadata = load_run(folder).metadata
    recorded = with_defaults(metadata.experiment)
    raise_if_changed(metadata.local_plugins, digests_of(experiment), folder, "run")
    current = experiment.model_dump(mode="json")
    changed = [
        key for key in current if key != "recipe_plugin" and current[key] != recorded.get(key)
    ]
    if changed:
        raise errors.FolderError(
            f"{folder}: the interrupted run has other settings ({', '.join(changed)})",
            "Resume with the same settings, or name another folder.",
        )
    return TrainingState.load(folder / RESUME)


def train_once(
    trainer: Trainer,
    seed: int,
    folder: Path,
    display: Display,
    *,
    start: TrainingState | None = None,
    keep_interrupted: bool = False,
) -> Run:
    """Train from new weights and write the run's folder, without reports.

    Parameters
    ----------
    trainer
        The trainer, with the images and, after the first run, the compiled network.
    seed
        Seed of the run.
    folder
        A claimed folder.
    display
        Shows progress.
    start
        State of an interrupted training to resume from.
    keep_interrupted
        Whether an interrupt ends the training with a run that is marked as interrupted.
    """
    writer = RunWriter(trainer, seed, folder, start)
    network, result = trainer.fit(
        seed,
        display,
        writer.epoch,
        writer.checkpoints,
        start=start,
        keep_interrupted=keep_interrupted,
    )
    return writer.write(network, result, display)
