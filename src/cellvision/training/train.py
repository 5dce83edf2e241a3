"""One run: from an experiment to a folder that can be opened again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic, errors, remote
from cellvision.training import processes, record
from cellvision.training.fit import Fit, Trainer
from cellvision.training.material import Material, gather_material
from cellvision.training.network import check_reloads
from cellvision.training.progress import Display, displayed
from cellvision.training.reports import automatic, begin_run, make_reports, tell_epoch
from cellvision.training.run import SCHEMA, Run, load_run

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.training.network import Network

_log = logging.getLogger(__name__)


def train(
    experiment: Experiment, out: str | os.PathLike[str], *, progress: bool | None = None
) -> Run:
    """Train an experiment's network once, evaluate it on every split, and write it all down.

    Parameters
    ----------
    experiment
        What is asked.
    out
        The run's folder; new, empty, or what an interrupted training left. Or an address on
        remote storage, where the run arrives when it is finished.
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
    >>> run.scores["test"]["accuracy"]  # doctest: +SKIP
    0.91
    """
    processes.join()
    if processes.count() > 1 and remote.is_address(out):
        raise errors.ExperimentError(
            f"{out}: several processes cannot write to an address",
            "Name a folder that all of them share, and copy it when the run is finished",
        )
    experiment = with_reporters(experiment)
    first = processes.number() == 0
    with displayed(progress if first else False) as display, remote.results(out) as place:
        folder = processes.claimed(record.claim, place)
        material = gather_material(experiment, display.decoded)
        processes.compare(material)
        trainer = Trainer(material)
        if first:
            run = train_once(trainer, experiment.training.seed, folder, display)
            for fault in make_reports(run, experiment.reporters or (), display)[1]:
                _log.warning("%s", fault.what)
        else:
            trainer.fit(experiment.training.seed, display, lambda *_: None)
        processes.wait_for_first(folder)
    return run if first else load_run(folder)


def with_reporters(experiment: Experiment) -> Experiment:
    """The experiment with its reporters named, so that its record is complete."""
    if experiment.reporters is not None:
        return experiment
    return experiment.model_copy(update={"reporters": automatic()})


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
        self.experiment = with_seed(trainer.material.experiment, seed)
        self._rows: list[Mapping[str, float]] = []
        self._listening = begin_run(self.experiment.reporters or (), folder, self.experiment)

    @property
    def checkpoints(self) -> Path | None:
        """Where every epoch's model is kept, if that is asked for."""
        return self.folder / "checkpoints" if self.experiment.training.checkpoints else None

    def epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Write a finished epoch down, and tell the reporters of it."""
        self._rows.append(row)
        record.write_table(self.folder / "history.csv", record.history_table(self._rows))
        self._listening = tell_epoch(self._listening, epoch, row)


def write_run(writer: RunWriter, network: Network, fitted: Fit, display: Display) -> Run:
    """Write a trained network, what it gives for every image, and the record."""
    trainer, experiment, folder = writer.trainer, writer.experiment, writer.folder
    material = trainer.material
    probabilities = trainer.predict(network, display)
    model_path = folder / "model.keras"
    with atomic.path(model_path) as temporary:
        network.model.save(temporary)
        intake = experiment.intake
        samples = intake.complete(np.asarray(material.pixels[: min(4, len(material.pixels))]))
        warnings = [*check_reloads(str(temporary), network.model, samples)]
    if not all(np.isfinite(row["loss"]) for row in fitted.history):
        warnings.append("The loss became infinite or not a number: the network did not train.")
    elif len(np.unique(probabilities[trainer.rows].argmax(axis=1))) == 1:
        warnings.append(
            "Every training image got the same answer: the network did not train. Another seed, "
            "a lower training.learning_rate or more epochs may start it."
        )
    return finish_run(
        material,
        writer.seed,
        folder,
        probabilities,
        network.evaluate_loss,
        record.environment(trainer.precision, trainer.devices),
        {
            "intake_s": material.seconds,
            "fit_s": fitted.seconds,
            "train_images_per_s": fitted.images_per_second,
            "data_wait_fraction": fitted.data_wait_fraction,
            **({"together": fitted.together} if fitted.together > 1 else {}),
        },
        warnings,
    )


def finish_run(
    material: Material,
    seed: int,
    folder: Path,
    probabilities: np.ndarray,
    loss: Callable[[np.ndarray, np.ndarray], float],
    environment: Mapping[str, Any],
    timings: Mapping[str, float],
    warnings: Sequence[str] = (),
) -> Run:
    """Write what is known of a run when its network, or what stands for one, has answered.

    Parameters
    ----------
    material
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
        What ``run.json`` says of them; the material's own warnings come first.
    """
    experiment = with_seed(material.experiment, seed)
    record.write_table(
        folder / "predictions.csv", record.predictions_table(material.catalog, probabilities)
    )
    record.write_json(folder / "audit.json", material.audit.to_json())
    content = {
        "schema": SCHEMA,
        "experiment": experiment.model_dump(mode="json"),
        "plugins": record.plugins_of(experiment),
        "environment": environment,
        "seed": seed,
        "control": material.control,
        "class_names": list(material.catalog.class_names),
        "intensity_zero": material.zero,
        "intensity_scale": material.one,
        "group_column": material.catalog.group_column,
        "counts": material.catalog.counts(),
        "scores": _scores(material, loss, probabilities),
        "timings": timings,
        "leaks": [leak.to_json() for leak in material.audit.leaks],
        "warnings": [*material.warnings, *warnings],
    }
    record.write_json(folder / "run.json", content)
    return load_run(folder)


def with_seed(experiment: Experiment, seed: int) -> Experiment:
    """The experiment as one run of a study asks it."""
    training = experiment.training.model_copy(update={"seed": seed})
    return experiment.model_copy(update={"training": training})


def _scores(
    material: Material,
    mean_loss: Callable[[np.ndarray, np.ndarray], float],
    probabilities: np.ndarray,
) -> dict[str, dict[str, object]]:
    groups = material.catalog.table["group"].to_numpy()
    scores = {}
    for split in material.catalog.splits():
        rows = material.rows(split)
        labels = material.labels[rows]
        loss = mean_loss(labels, probabilities[rows])
        units = None if material.catalog.group_column is None else groups[rows]
        scores[split] = record.score(labels, probabilities[rows], units, loss)
    return scores
