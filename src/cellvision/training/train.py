"""One run: from an experiment to a folder that can be opened again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import atomic_io, errors, remote
from cellvision.backends import distributed
from cellvision.data.prepared import PreparedData, prepare_data
from cellvision.progress import Display, displayed
from cellvision.recipe import DEFAULT, as_experiment
from cellvision.results import record
from cellvision.results.metadata import Environment, LeakRecord, RunMetadata, Timings
from cellvision.results.reporting import begin_run, default_reporters, make_reports, tell_epoch
from cellvision.results.run import Run, load_run
from cellvision.results.scores import Score
from cellvision.training.network import check_reloads
from cellvision.training.trainer import Trainer, TrainingResult

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.training.network import Network

_log = logging.getLogger(__name__)


def train(
    experiment: Experiment | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    group: str | None = None,
    recipe: str = DEFAULT,
    progress: bool | None = None,
) -> Run:
    """Train an experiment's network once, evaluate it on every split, and write it all down.

    Parameters
    ----------
    experiment
        The experiment, or a folder of images; a recipe then chooses the settings.
    out
        The run's folder; new, empty, or what an interrupted training left. Or an address on
        remote storage, where the run arrives when it is finished.
    group
        For a folder: provenance column that names the groups, such as ``well``.
    recipe
        For a folder: name of the recipe.
    progress
        Whether to show progress on standard error; by default where that is a terminal.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    errors.InvalidInput
        Something asked for cannot be done: an unreadable file, a missing plugin, a folder
        that is taken, ...
    errors.LeakError
        Splits share a unit or an image.

    Examples
    --------
    >>> import cellvision as cv
    >>> experiment = cv.Experiment(dataset=cv.datasets.create("folder", path="images"))
    >>> run = cv.train(experiment, out="runs/first")  # doctest: +SKIP
    >>> run.scores["test"].accuracy  # doctest: +SKIP
    0.91
    """
    distributed.join()
    if distributed.world_size() > 1 and remote.is_address(out):
        raise errors.ExperimentError(
            f"{out}: several processes cannot write to an address",
            "Name a folder that all of them share, and copy it when the run is finished",
        )
    experiment = with_reporters(as_experiment(experiment, recipe, group))
    first = distributed.rank() == 0
    with displayed(progress if first else False) as display, remote.results(out) as place:
        folder = distributed.claim_on_first(record.claim, place)
        prepared = prepare_data(experiment, display.decoded)
        distributed.check_same_data(prepared)
        trainer = Trainer(prepared)
        if first:
            run = train_once(trainer, experiment.training.seed, folder, display)
            for fault in make_reports(run, experiment.reporters or (), display)[1]:
                _log.warning("%s", fault.what)
        else:
            trainer.fit(experiment.training.seed, display, lambda *_: None)
        distributed.wait_for_first(folder)
    return run if first else load_run(folder)


def with_reporters(experiment: Experiment) -> Experiment:
    """The experiment with its reporters named, so that its record is complete."""
    if experiment.reporters is not None:
        return experiment
    return experiment.model_copy(update={"reporters": default_reporters()})


def train_once(trainer: Trainer, seed: int, folder: Path, display: Display) -> Run:
    """Train from new weights and write the run's folder, without reports.

    Parameters
    ----------
    trainer
        Holds the images and, after the first run, the compiled network.
    seed
        Of this run.
    folder
        An existing folder, free to write to.
    display
        Shown to whoever waits.
    """
    writer = RunWriter(trainer, seed, folder)
    network, fitted = trainer.fit(seed, display, writer.epoch, writer.checkpoints)
    return write_run(writer, network, fitted, display)


class RunWriter:
    """Writes what a training tells of itself while it goes on.

    Parameters
    ----------
    trainer
        Holds the images.
    seed
        Of this run.
    folder
        An existing folder, free to write to.
    """

    def __init__(self, trainer: Trainer, seed: int, folder: Path) -> None:
        self.trainer = trainer
        self.seed = seed
        self.folder = folder
        self.experiment = with_seed(trainer.prepared.experiment, seed)
        self._rows: list[Mapping[str, float]] = []
        self._listening = begin_run(self.experiment.reporters or (), folder, self.experiment)

    @property
    def checkpoints(self) -> Path | None:
        """Where every epoch's model is kept, if that is asked for."""
        return self.folder / "checkpoints" if self.experiment.training.checkpoints else None

    def epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Write the history, and call the reporters' `on_epoch_end`."""
        if epoch == 1:
            self._rows.clear()  # a dead network was drawn again
        self._rows.append(row)
        record.write_table(self.folder / "history.csv", record.history_table(self._rows))
        self._listening = tell_epoch(self._listening, epoch, row)


def write_run(writer: RunWriter, network: Network, fitted: TrainingResult, display: Display) -> Run:
    """Write a trained network, what it gives for every image, and the record."""
    trainer, experiment, folder = writer.trainer, writer.experiment, writer.folder
    prepared = trainer.prepared
    probabilities = trainer.predict(network, display)
    model_path = folder / "model.keras"
    with atomic_io.path(model_path) as temporary:
        network.model.save(temporary)
        preprocessing = experiment.preprocessing
        samples = preprocessing.expand_channels(
            np.asarray(prepared.pixels[: min(4, len(prepared.pixels))])
        )
        warnings = [*check_reloads(str(temporary), network.model, samples)]
    if fitted.restarted_seeds:
        warnings.append(
            f"The network output the same for every image after the warm-up, and was drawn again "
            f"{len(fitted.restarted_seeds)} time(s)."
        )
    if not all(np.isfinite(row["loss"]) for row in fitted.history):
        warnings.append("The loss became infinite or NaN: the network did not train.")
    elif len(np.unique(probabilities[trainer.rows].argmax(axis=1))) == 1:
        warnings.append(
            "The network predicts one class for every training image. Try another seed, a lower "
            "learning rate or more epochs."
        )
    return finish_run(
        prepared,
        writer.seed,
        folder,
        probabilities,
        network.evaluate_loss,
        record.environment(trainer.precision, trainer.devices),
        Timings(
            prepare_s=prepared.seconds,
            fit_s=fitted.seconds,
            train_images_per_s=fitted.images_per_second,
            data_wait_fraction=fitted.data_wait_fraction,
            vectorized=fitted.vectorized,
        ),
        warnings,
        fitted.restarted_seeds,
    )


def finish_run(
    prepared: PreparedData,
    seed: int,
    folder: Path,
    probabilities: np.ndarray,
    loss: Callable[[np.ndarray, np.ndarray], float],
    environment: Environment,
    timings: Timings,
    warnings: Sequence[str] = (),
    restarted_seeds: tuple[int, ...] = (),
) -> Run:
    """Write what is known of a run when its network, or what stands for one, has answered.

    Parameters
    ----------
    prepared
        The images.
    seed
        Of this run.
    folder
        With all that is written while training; ``run.json`` comes last.
    probabilities
        Of all images, shape (images, classes).
    loss
        Gives the mean loss of some labels and their probabilities.
    environment, timings, warnings
        What ``run.json`` says of them; the prepared's own warnings come first.
    """
    experiment = with_seed(prepared.experiment, seed)
    record.write_table(
        folder / "predictions.csv", record.predictions_table(prepared.catalog, probabilities)
    )
    record.write_json(folder / "audit.json", prepared.audit.to_json())
    metadata = RunMetadata(
        experiment=experiment.model_dump(mode="json"),
        plugins=record.plugins_of(experiment),
        environment=environment,
        seed=seed,
        restarted_seeds=restarted_seeds,
        control=prepared.control,
        class_names=prepared.catalog.class_names,
        intensity_zero=prepared.zero,
        intensity_scale=prepared.one,
        group_column=prepared.catalog.group_column,
        counts=prepared.catalog.counts(),
        scores=_scores(prepared, loss, probabilities),
        timings=timings,
        leaks=tuple(LeakRecord.model_validate(leak.to_json()) for leak in prepared.audit.leaks),
        warnings=(*prepared.warnings, *warnings),
    )
    atomic_io.text(folder / "run.json", metadata.to_json())
    return load_run(folder)


def with_seed(experiment: Experiment, seed: int) -> Experiment:
    """The experiment as one run of a study asks it."""
    training = experiment.training.model_copy(update={"seed": seed})
    return experiment.model_copy(update={"training": training})


def _scores(
    prepared: PreparedData,
    mean_loss: Callable[[np.ndarray, np.ndarray], float],
    probabilities: np.ndarray,
) -> dict[str, Score]:
    groups = prepared.catalog.table["group"].to_numpy()
    scores = {}
    for split in prepared.catalog.splits():
        rows = prepared.rows(split)
        labels = prepared.labels[rows]
        loss = mean_loss(labels, probabilities[rows])
        units = None if prepared.catalog.group_column is None else groups[rows]
        scores[split] = Score.from_predictions(labels, probabilities[rows], units, loss)
    return scores
