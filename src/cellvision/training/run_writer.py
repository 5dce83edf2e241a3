"""Writer of a trained run: its history during training, network and results afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import atomic_io
from cellvision.results.claimed_folder import RESUME, naming_folder
from cellvision.results.environment import keras_environment
from cellvision.results.following_reporters import FollowingReporters, record_training_faults
from cellvision.results.metadata import Timings
from cellvision.results.run_folder import RunPredictions, TrainingRecord, with_seed, write_run
from cellvision.results.tables import history_table, write_table
from cellvision.training.architecture_contract import architecture_warnings
from cellvision.training.kept_weights import Outcome
from cellvision.training.network import check_reloads

if TYPE_CHECKING:
    from cellvision.progress import Display
    from cellvision.results.run import Run
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
        self._reporters = FollowingReporters(
            self.experiment.reporters or (), folder, self.experiment
        )

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
        self._reporters.epoch(epoch, row)

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
            record_training_faults(self.folder / "reports", self._reporters.faults)
            return write_run(
                self.folder,
                trainer.prepared,
                RunPredictions(probabilities, network.evaluate_loss, averaged),
                self._record(result, outcome, saved),
            )

    def _record(
        self, result: TrainingResult, outcome: Outcome, saving_warnings: Sequence[str]
    ) -> TrainingRecord:
        return TrainingRecord(
            seed=self.seed,
            environment=keras_environment(self.trainer.precision, self.trainer.devices),
            timings=Timings(
                prepare_s=self.trainer.prepared.seconds,
                fit_s=result.seconds,
                train_images_per_s=result.images_per_second,
                data_wait_fraction=result.data_wait_fraction,
                vectorized=result.vectorized,
            ),
            warnings=[*self._warnings, *saving_warnings, *outcome.warnings()],
            restarted_seeds=result.restarted_seeds,
            kept_epoch=outcome.kept_epoch,
            solved=result.is_solved,
            interrupted=result.interrupted is not None,
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
