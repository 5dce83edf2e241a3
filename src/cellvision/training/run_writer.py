"""Write the folder of a run: its history during training, everything else afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io
from cellvision.data.split_names import is_test, is_training
from cellvision.interfaces.control import controls, overridden
from cellvision.results.claimed_folder import RESUME, naming_folder, release_folder
from cellvision.results.class_scores import never_predicted
from cellvision.results.environment import (
    copy_local_plugins,
    decoder_requirements,
    keras_environment,
    plugin_requirements,
    recipe_requirement,
)
from cellvision.results.following_reporters import (
    begin_run,
    log_fault,
    record_training_faults,
    report_epoch,
)
from cellvision.results.group_table import group_table
from cellvision.results.image_sketches import write_sketches
from cellvision.results.metadata import Environment, LeakRecord, RunMetadata, Timings
from cellvision.results.run import Run, load_run
from cellvision.results.scores import Score
from cellvision.results.tables import (
    history_table,
    predictions_table,
    provenance_table,
    write_table,
)
from cellvision.training.architecture_contract import architecture_warnings
from cellvision.training.kept_weights import Outcome
from cellvision.training.network import check_reloads

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData
    from cellvision.experiment import Experiment
    from cellvision.interfaces.control import Control
    from cellvision.interfaces.reporter import Reporter
    from cellvision.progress import Display
    from cellvision.training.network import Network
    from cellvision.training.result import TrainingResult
    from cellvision.training.state import TrainingState
    from cellvision.training.trainer import Trainer


class RunWriter:
    """Writes the folder of one run.

    Parameters
    ----------
    trainer
        The trainer, with the images.
    seed
        Seed of the run.
    folder
        A claimed folder.
    start
        State of an interrupted training that resumes.
    """

    def __init__(
        self, trainer: Trainer, seed: int, folder: Path, start: TrainingState | None = None
    ) -> None:
        self.trainer = trainer
        self.seed = seed
        self.folder = folder
        self.experiment = with_seed(trainer.prepared.experiment, seed)
        self._warnings = architecture_warnings(self.experiment.architecture)
        self._rows: list[Mapping[str, float]] = [] if start is None else list(start.history)
        self._faults: list[tuple[Reporter, Exception]] = []
        self._listeners = begin_run(
            self.experiment.reporters or (), folder, self.experiment, self._note_fault
        )

    def _note_fault(self, reporter: Reporter, error: Exception) -> None:
        """Keep the fault of a reporter until the run is written."""
        log_fault(reporter, error)
        self._faults.append((reporter, error))

    @property
    def checkpoints(self) -> Path | None:
        """Folder for the model of every epoch; None if they are not kept."""
        return self.folder / "checkpoints" if self.experiment.training.checkpoints else None

    def epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Write the history, and call the reporters' `on_epoch_end`."""
        if epoch == 1:
            self._rows.clear()  # a dead network was drawn again
        self._rows.append(row)
        with naming_folder(self.folder):
            write_table(self.folder / "history.csv", history_table(self._rows))
        self._listeners = report_epoch(self._listeners, epoch, row, self._note_fault)

    def write(self, network: Network, result: TrainingResult, display: Display) -> Run:
        """Write the model, the predictions of all images, and the record.

        Parameters
        ----------
        network
            The trained network.
        result
            Outcome of the training.
        display
            Shows progress.
        """
        trainer = self.trainer
        probabilities = trainer.predict(network, display)
        averaged = self._averaged(network, probabilities)
        with naming_folder(self.folder):
            if result.interrupted is not None:
                result.interrupted.save(self.folder / RESUME, self.trainer.prepared)
            outcome = self._outcome(result, probabilities)
            saved = self._save_model(network)
            network.saved_as = self.folder / "model.keras" if result.is_solved else None
            record_training_faults(self.folder / "reports", self._faults)
            warnings = [*self._warnings, *saved, *outcome.warnings()]
            return finish_run(
                trainer.prepared,
                self.seed,
                self.folder,
                probabilities,
                network.evaluate_loss,
                keras_environment(trainer.precision, trainer.devices),
                Timings(
                    prepare_s=trainer.prepared.seconds,
                    fit_s=result.seconds,
                    train_images_per_s=result.images_per_second,
                    data_wait_fraction=result.data_wait_fraction,
                    vectorized=result.vectorized,
                ),
                warnings,
                result.restarted_seeds,
                kept_epoch=outcome.kept_epoch,
                solved=result.is_solved,
                interrupted=result.interrupted is not None,
                averaged=averaged,
            )

    def _outcome(self, result: TrainingResult, probabilities: np.ndarray) -> Outcome:
        trainer = self.trainer
        counts = np.bincount(trainer.prepared.labels[trainer.rows])
        return Outcome(
            self.experiment.training,
            result,
            probabilities[trainer.rows],
            trainer.prepared.labels[trainer.rows],
            float(counts.max() / counts.sum()),
            len(trainer.validation_rows),
        )

    def _averaged(self, network: Network, probabilities: np.ndarray) -> np.ndarray | None:
        """Average held-out images over orientations, if the experiment asks for it."""
        held_out = np.setdiff1d(np.arange(len(probabilities)), self.trainer.rows)
        if not self.experiment.training.tta or not len(held_out):
            return None
        averaged = probabilities.copy()
        with self.trainer.alone():
            averaged[held_out] = self.trainer.predict_averaged(network, held_out)
        return averaged

    def _save_model(self, network: Network) -> Sequence[str]:
        """Save the model; return warnings about loading it again."""
        prepared = self.trainer.prepared
        sample = np.asarray(prepared.pixels[: min(4, len(prepared.pixels))])
        with atomic_io.path(self.folder / "model.keras") as temporary:
            if network.saved_as is not None and network.saved_as.is_file():
                shutil.copyfile(network.saved_as, temporary)  # saving takes half a second
            else:
                network.model.save(temporary)
            if network.reload_warnings is None:
                pixels = self.experiment.preprocessing.expand_channels(sample)
                # JAX has already compiled weight initialization on this device.
                with self.trainer.alone():
                    network.reload_warnings = check_reloads(str(temporary), network.model, pixels)
            return network.reload_warnings


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
    *,
    kept_epoch: int | None = None,
    solved: bool = False,
    interrupted: bool = False,
    averaged: np.ndarray | None = None,
) -> Run:
    """Write predictions, audit and record of a run.

    Parameters
    ----------
    prepared
        The images.
    seed
        Seed of the run.
    folder
        Its folder; ``run.json`` is written last.
    probabilities
        Probabilities of all images, shape (images, classes).
    loss
        Returns the mean loss of labels and probabilities.
    environment, timings, warnings, restarted_seeds, kept_epoch, solved, interrupted
        Go into ``run.json``; the warnings follow those of the images.
    averaged
        Probabilities of which those of held-out images are means over orientations; None if
        they were not computed.
    """
    experiment = with_seed(prepared.experiment, seed)
    scores = _scores(prepared, loss, probabilities)
    predictions = predictions_table(prepared.catalog, probabilities)
    provenance = provenance_table(prepared.catalog)
    write_table(folder / "predictions.csv", predictions)
    write_table(folder / "provenance.csv", provenance)
    if prepared.catalog.group_column is not None:
        groups = group_table(predictions, provenance, prepared.catalog.class_names)
        write_table(folder / "groups.csv", groups)
    atomic_io.text(folder / "audit.json", prepared.audit.to_json_text())
    if prepared.control is None:
        write_sketches(folder, prepared.audit, prepared.sketches)
    metadata = RunMetadata(
        experiment=experiment.model_dump(mode="json"),
        plugins={
            **recipe_requirement(experiment),
            **plugin_requirements((experiment, prepared.control)),
            **decoder_requirements(prepared.catalog.table["image"]),
        },
        local_plugins=copy_local_plugins(experiment, prepared.control, folder / "plugins"),
        environment=environment,
        seed=seed,
        restarted_seeds=restarted_seeds,
        kept_epoch=kept_epoch,
        solved=solved,
        interrupted=interrupted,
        **_control_fields(prepared.control, prepared.caveat),
        class_names=prepared.catalog.class_names,
        intensity_zero=prepared.zero,
        intensity_scale=prepared.one,
        group_column=prepared.catalog.group_column,
        batch_column=prepared.catalog.batch_column,
        counts=prepared.catalog.counts(),
        **_digests(prepared),
        scores=scores,
        tta_scores={}
        if averaged is None
        else _scores(prepared, loss, averaged, without=prepared.training_split),
        timings=timings,
        leaks=tuple(LeakRecord.model_validate(leak.to_json()) for leak in prepared.audit.leaks),
        warnings=(*prepared.warnings, *warnings, *_never_predicted(scores)),
    )
    atomic_io.text(folder / "run.json", metadata.to_json())
    if not interrupted:
        (folder / RESUME).unlink(missing_ok=True)
        release_folder(folder)
    return load_run(folder)


def _never_predicted(scores: Mapping[str, Score]) -> list[str]:
    return [
        line
        for split, score in scores.items()
        if is_test(split)
        for line in never_predicted(split, score.classes)
    ]


def _digests(prepared: PreparedData) -> dict[str, Any]:
    """Identify the test sets and all images; empty for a control, whose labels may differ."""
    if prepared.control is not None:
        return {}
    splits = [split for split in prepared.catalog.splits() if is_test(split)]
    by_split = {split: prepared.digest(prepared.rows(split)) for split in splits}
    return {
        "test_sets": {split: digest for split, digest in by_split.items() if digest is not None},
        "all_images": prepared.digest(np.arange(len(prepared.labels))),
    }


def _control_fields(control: Control | None, caveat: str) -> dict[str, Any]:
    """Return the record's fields about a control; its settings if it changed the images."""
    if control is None:
        return {}
    return {
        "control": controls.name_of(type(control)),
        "control_caveat": caveat,
        "image_control": control.model_dump(mode="json")
        if "change_image" in overridden(control)
        else None,
    }


def with_seed(experiment: Experiment, seed: int) -> Experiment:
    """Return the experiment with another seed."""
    training = experiment.training.model_copy(update={"seed": seed})
    return experiment.model_copy(update={"training": training})


def _scores(
    prepared: PreparedData,
    mean_loss: Callable[[np.ndarray, np.ndarray], float],
    probabilities: np.ndarray,
    without: str | None = None,
) -> dict[str, Score]:
    groups = prepared.catalog.table["group"].to_numpy()
    has_groups = prepared.catalog.group_column is not None
    scores = {}
    for split in prepared.catalog.splits():
        if split == without:
            continue
        rows = prepared.rows(split)
        labels = prepared.labels[rows]
        scores[split] = Score.from_predictions(
            labels,
            probabilities[rows],
            groups[rows] if has_groups else None,
            mean_loss(labels, probabilities[rows]),
            # Recalls on training images say nothing about new ones.
            class_names=() if is_training(split) else prepared.catalog.class_names,
        )
    return scores
