"""Train once: from an experiment to the folder of a run."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors, remote
from cellvision.backends import distributed
from cellvision.call_errors import names_settings
from cellvision.data.prepared import PreparedData, prepare_data
from cellvision.locks import folder_lock
from cellvision.progress import Display, displayed
from cellvision.recipe_experiment import DEFAULT, as_experiment
from cellvision.results.claimed_folder import RESUME, claim_folder, raise_if_in_use
from cellvision.results.reporting import default_reporters, make_reports, warn_of_faults
from cellvision.results.run import Run, load_run
from cellvision.results.run_images import prepared_images
from cellvision.training.run_writer import RunWriter
from cellvision.training.state import TrainingState, raise_if_other_images
from cellvision.training.trainer import Trainer

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cellvision.experiment import Experiment

_log = logging.getLogger(__name__)


@names_settings
def train(
    experiment: Experiment | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    group: str | None = None,
    recipe: str = DEFAULT,
    settings: Mapping[str, JsonValue] | None = None,
    resume: bool = False,
    progress: bool | None = None,
) -> Run:
    """Train an experiment's network once, evaluate it on every split, and write the results.

    An interrupt (Ctrl-C) after the first epoch keeps the best network so far: the run is written
    and marked as interrupted before KeyboardInterrupt is raised. After any other failure, `resume`
    continues after the last finished epoch.

    Parameters
    ----------
    experiment
        The experiment, an experiment file, or a folder of images, for which a recipe chooses the
        settings.
    out
        Folder of the run: a new or empty one, or that of an unfinished training. An address on
        remote storage receives the finished run; an unfinished one stays on this machine.
    group
        For a folder: provenance column that names the groups, such as ``well``.
    recipe
        For a folder: name of the recipe.
    settings
        For a folder or an experiment file: settings that take precedence, in tables as in an
        experiment file, such as ``{"training": {"epochs": 20}}``.
    resume
        Continue the interrupted or failed training in `out`, with the same result as without the
        interruption. A folder without one is trained from the beginning.
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
    errors.ReportError
        The disk is too full for the reports. The run is complete.
    KeyboardInterrupt
        The training was interrupted. ``load_run`` opens what was kept, in the folder that the
        message names.

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
    first = distributed.rank() == 0
    if first and not resume:
        raise_if_in_use(out)
    experiment = with_reporters(as_experiment(experiment, recipe, group, settings=settings))
    with (
        displayed(progress if first else False) as display,
        remote.results(out) as folder,
        folder_lock(folder, "train") if first else contextlib.nullcontext(),
    ):
        start = _interrupted_state(folder, experiment) if resume else None
        if start is None:
            distributed.claim_on_first(claim_folder, folder)
        prepared = _prepared(experiment, display)
        if start is not None:
            raise_if_other_images(start, prepared, folder)
        trainer = Trainer(prepared)
        if not first:
            trainer.fit(experiment.training.seed, display, lambda *_: None)
            distributed.wait_for_first(folder)
            return load_run(folder)
        keep_state = distributed.world_size() == 1
        seed = experiment.training.seed
        run = train_once(trainer, seed, folder, display, start=start, keep_state=keep_state)
        if run.interrupted:
            raise KeyboardInterrupt(
                f"the network of epoch {run.metadata.kept_epoch} is kept in {folder}; to go on, "
                "give the same command with --resume"
            )
        images = trainer.prepared.catalog.table["image"]
        with prepared_images(run, list(images), trainer.prepared.pixels):
            faults = make_reports(run, experiment.reporters or (), display)[1]
        distributed.wait_for_first(folder)
    warn_of_faults(run, faults)  # results at an address are uploaded before
    return run


def _prepared(experiment: Experiment, display: Display) -> PreparedData:
    prepared = prepare_data(experiment, display.decoded)
    distributed.check_same_data(prepared)
    return prepared


def with_reporters(experiment: Experiment) -> Experiment:
    """Return the experiment with its default reporters listed, so that its record is complete.

    Raises
    ------
    errors.PluginError
        It cannot be recorded, which would otherwise be found after the training.
    """
    if experiment.reporters is None:
        experiment = experiment.model_copy(update={"reporters": default_reporters()})
    experiment.model_dump(mode="json")
    return experiment


def _interrupted_state(folder: Path, experiment: Experiment) -> TrainingState | None:
    """Load the state from which a folder's training can resume, or return None."""
    path = folder / RESUME
    return TrainingState.load(path, experiment) if path.is_file() else None


def train_once(
    trainer: Trainer,
    seed: int,
    folder: Path,
    display: Display,
    *,
    start: TrainingState | None = None,
    keep_state: bool = False,
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
    keep_state
        Whether to keep the state of the last finished epoch if anything fails. An interrupt of
        the training then ends it with a run that is marked as interrupted.
    """
    latest = start

    def keep(state: TrainingState) -> None:
        nonlocal latest
        latest = state

    writer = RunWriter(trainer, seed, folder, start)
    try:
        network, result = trainer.fit(
            seed,
            display,
            writer.epoch,
            writer.checkpoints,
            start=start,
            on_state=keep if keep_state else None,
        )
        return writer.write(network, result, display)
    except BaseException as error:
        if keep_state and latest is not None:
            _keep_state(latest, folder, trainer.prepared, error)
        raise


def _keep_state(
    state: TrainingState, folder: Path, prepared: PreparedData, error: BaseException
) -> None:
    """Save the state of a training that failed, and say so."""
    try:
        if not (folder / "run.json").is_file():
            # Of an unfinished run; the state has its weights, and needs the space on a full disk.
            (folder / "model.keras").unlink(missing_ok=True)
        state.save(folder / RESUME, prepared)
    except OSError as failure:  # such as a full disk, which may be why it failed
        _log.warning(
            "--resume will not be possible, because the training could not be saved: %s. The same "
            "command trains from the beginning.",
            errors.first_line(failure),
        )
        return
    kept = (
        f"the training is kept up to epoch {state.epoch} in {folder}; to finish it, give the same "
        "command with --resume"
    )
    if isinstance(error, KeyboardInterrupt):
        raise KeyboardInterrupt(kept) from error
    _log.warning("%s", kept[0].upper() + kept[1:])
