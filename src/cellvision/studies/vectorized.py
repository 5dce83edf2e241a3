"""Train the runs of a study side by side in one JAX program.

A small network leaves a GPU idle most of the time. This module stacks the weights, optimizer
states and seeds of all runs, and one compiled program takes a step of all of them (``jax.vmap`` of
Keras' training step), with one copy of the images on the device. Each run has the same initial
weights, batches and random numbers as when trained alone; only the order of summation differs.
A run whose network is dead after the warm-up is trained alone, from the start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellvision import atomic_io, errors
from cellvision.backends import devices
from cellvision.results.claimed_folder import claim_folder, naming_folder
from cellvision.studies.vectorized_program import State, VectorizedProgram, run_state
from cellvision.training.dead_network import restart_epoch
from cellvision.training.early_stopping import EarlyStopping
from cellvision.training.history import history_row
from cellvision.training.kept_weights import keeps_best, patience, remembers_best
from cellvision.training.result import TrainingResult
from cellvision.training.run_writer import RunWriter
from cellvision.training.train import train_once

if TYPE_CHECKING:
    from cellvision.progress import Display
    from cellvision.training.trainer import Trainer

_USABLE = 0.9
"""Fraction of the free memory to use; compilers need the rest."""

_log = logging.getLogger(__name__)


def train_vectorized(
    trainer: Trainer, seeds: Sequence[int], folders: Sequence[Path], display: Display
) -> int:
    """Train runs side by side, as many at once as fit in the device's memory.

    Parameters
    ----------
    trainer
        Trainer with the images; its ``training.vectorize`` decides whether to vectorize.
    seeds
        Seeds of the runs.
    folders
        Folders of the runs: new, empty, or of unfinished runs.
    display
        Shows progress.

    Returns
    -------
    int
        Number of finished runs, counted from the first. The caller must train the others one by
        one, because the setting asks for it, it is faster, or memory is short.

    Raises
    ------
    errors.ExperimentError
        ``training.vectorize`` is true, but the backend or the devices do not support it.
    """
    if not _is_requested(trainer) or len(seeds) < 2 or trainer.solves_exactly(seeds[0]):
        return 0
    obstacle = _obstacle(trainer, seeds[0])
    if obstacle:
        _log.warning("%s need one run at a time: runs are not vectorized.", obstacle)
        return 0
    with trainer.sharing():
        program, capacity = _compile(trainer, seeds, display)
        if program is None:
            return 0
        try:
            return _train_groups(program, capacity, seeds, folders, display)
        finally:
            program.close()


def _compile(
    trainer: Trainer, seeds: Sequence[int], display: Display
) -> tuple[VectorizedProgram | None, int]:
    """Compile a program; return it and the runs that fit, or None if it brings no gain."""
    import jax

    capacity = 0
    task = f"compiling {len(seeds)} runs"
    display.task(task, 0, 1)
    try:
        memory = _free_memory()
        if _bytes_of_images(trainer) < memory:
            program = VectorizedProgram(trainer, seeds[0])
            memory = _free_memory()  # without the images, which are on the device now
            capacity = program.runs_that_fit(len(seeds), memory)
            if capacity > 1 and not _is_forced(trainer) and not program.is_faster(capacity):
                program.close()
                return None, 0
    except jax.errors.JaxRuntimeError as error:
        _raise_unless_out_of_memory(error)
    finally:
        display.task(task, 1, 1)
    if capacity < 2:
        _log.warning("Too little device memory for several runs: training them one by one.")
        return None, 0
    return program, capacity


def _train_groups(
    program: VectorizedProgram,
    capacity: int,
    seeds: Sequence[int],
    folders: Sequence[Path],
    display: Display,
) -> int:
    import jax

    finished = 0
    while finished < len(seeds):
        # Groups of equal size, or one less, so that few programs are compiled.
        remaining = len(seeds) - finished
        size = -(-remaining // -(-remaining // capacity))
        group = slice(finished, finished + size)
        claimed = [claim_folder(folder) for folder in folders[group]]
        try:
            runs = _train_group(program, seeds[group], claimed, display)
        except jax.errors.JaxRuntimeError as error:
            _raise_unless_out_of_memory(error)
            if size < 3:
                _log.warning("Too little device memory: training the runs one by one.")
                return finished
            capacity = -(-size // 2)
            _log.warning("Too little device memory for %d runs at once: trying %d.", size, capacity)
            continue
        for run in runs:
            run.finish(display)
        finished += size
    return finished


def _is_forced(trainer: Trainer) -> bool:
    return trainer.prepared.experiment.training.vectorize is True


def _is_requested(trainer: Trainer) -> bool:
    """Return whether to try: if set, or by default on one GPU with the JAX backend."""
    import keras

    setting = trainer.prepared.experiment.training.vectorize
    backend = keras.backend.backend()
    one_device = len(trainer.devices) == 1
    if setting == "auto":
        return backend == "jax" and one_device and trainer.devices[0] in devices.accelerators()
    if setting and backend != "jax":
        raise errors.ExperimentError(
            f"training.vectorize needs the JAX backend, not {backend}",
            "Set the environment variable KERAS_BACKEND=jax, or --set training.vectorize=auto",
        )
    if setting and not one_device:
        raise errors.ExperimentError(
            f"training.vectorize needs one device, not {len(trainer.devices)}",
            "--set training.devices=1, or --set training.vectorize=auto",
        )
    return setting


def _obstacle(trainer: Trainer, seed: int) -> str:
    """Return what Keras does in Python and a compiled program cannot; empty if nothing."""
    if any(augmenter.mixes_labels for augmenter in trainer.prepared.experiment.augmenters):
        return "Augmenters that mix labels"
    network = trainer.network(seed)
    if network.callbacks:
        return "Callbacks of the architecture's recipe"
    if network.training_model.optimizer.use_ema and len(trainer.validation_rows):
        return "Moving averages of the weights, with which to validate,"
    return ""


def _bytes_of_images(trainer: Trainer) -> int:
    pixels = trainer.prepared.pixels
    return (len(trainer.rows) + len(trainer.validation_rows)) * int(pixels[0].nbytes)


def _free_memory() -> int:
    """Return the usable bytes of the device and of main memory, whichever is less."""
    return int(_USABLE * devices.free_memory())


def _raise_unless_out_of_memory(error: Exception) -> None:
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error


class _VectorizedRun:
    """One of the runs that train side by side.

    Parameters
    ----------
    program
        Compiled program.
    seed
        Seed of the run.
    folder
        Claimed folder of the run.
    """

    def __init__(self, program: VectorizedProgram, seed: int, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.writer = RunWriter(program.trainer, seed, folder)
        self.training = self.writer.experiment.training
        validated = len(program.trainer.validation_rows)
        self.early_stopping = EarlyStopping(patience(self.training, validated))
        self.validated = validated
        self.history: list[dict[str, float]] = []
        self.last: State | None = None
        self.best: State | None = None
        self.result: TrainingResult | None = None
        self.is_dead = False

    @property
    def is_training(self) -> bool:
        """Whether the run has epochs left in the program."""
        return self.last is None and not self.is_dead

    def epoch(self, row: dict[str, float], state: Callable[[], State]) -> None:
        """Record an epoch; `state` returns the run's variables from the device."""
        if int(row["epoch"]) == restart_epoch(self.training) and self.training.restarts:
            self.program.load(state())
            self.is_dead = self.program.trainer.is_dead(self.program.network, self.writer.seed)
            if self.is_dead:
                return
        self.history.append(row)
        better = self.early_stopping.is_best(row["val_loss"])
        if better and remembers_best(self.training, self.validated):
            self.best = state()
        checkpoints, number = self.writer.checkpoints, int(row["epoch"])
        if checkpoints is not None:
            self.program.load(state())
            path = checkpoints / f"epoch_{number:03d}.keras"
            with naming_folder(checkpoints), atomic_io.path(path) as temporary:
                self.program.network.model.save(temporary)
        if self.early_stopping.is_over or number == self.training.epochs:
            self.last = state()
        self.writer.epoch(number, row)

    def finish(self, display: Display) -> None:
        """Load this run's weights into the network, and write its folder."""
        if self.is_dead:
            train_once(self.program.trainer, self.writer.seed, self.folder, display)
            return
        assert self.last is not None
        assert self.result is not None
        takes_best = keeps_best(self.training, self.validated, self.history)
        self.program.load(self.best if takes_best and self.best is not None else self.last)
        network = self.program.network
        model = network.training_model
        # Like `fit` at its end: moving averages become the weights.
        model.optimizer.finalize_variable_values(model.trainable_weights)
        self.program.trainer.refresh_batch_norm(network, self.writer.seed)
        self.writer.write(network, self.result, display)


def _train_group(
    program: VectorizedProgram, seeds: Sequence[int], folders: Sequence[Path], display: Display
) -> Sequence[_VectorizedRun]:
    """Train runs side by side, from initial weights to the last epoch of each."""
    start = time.perf_counter()
    display.together(seeds)
    runs = [_VectorizedRun(program, *pair) for pair in zip(seeds, folders, strict=True)]
    epochs = program.trainer.prepared.experiment.training.epochs
    images = len(program.trainer.rows)
    state = program.initial_state(seeds)
    speeds: list[tuple[int, float]] = []
    for epoch in range(epochs):
        begin = time.perf_counter()
        display.epoch(epoch + 1, epochs, images * len(runs))
        state, logs = program.train_epoch(state, seeds, epoch, display)
        # Runs that have stopped stay in the program, but their images do not count.
        active = images * sum(run.is_training for run in runs)
        speeds.append((active, time.perf_counter() - begin))
        state, logs = program.validate(state, logs, display)
        rows = _record_epoch(runs, epoch, logs, state, time.perf_counter() - begin)
        steady = speeds[1:] or speeds
        speed = sum(count for count, _ in steady) / max(
            sum(duration for _, duration in steady), 1e-9
        )
        display.epochs_done(rows, speed)
        if not any(run.is_training for run in runs):
            break
    seconds = time.perf_counter() - start
    for run in runs:
        run.result = TrainingResult(run.history, seconds, speed, 0.0, len(runs))
    return runs


def _record_epoch(
    runs: Sequence[_VectorizedRun],
    epoch: int,
    logs: dict[str, np.ndarray],
    state: State,
    seconds: float,
) -> list[dict[str, float]]:
    """Record an epoch of the runs that are still training; return their history rows."""
    rows = []
    for number, run in enumerate(runs):
        if run.is_training:
            metrics = {name: values[number] for name, values in logs.items()}
            further = run.program.network.metrics
            rows.append(history_row(epoch + 1, metrics, seconds, further))
            run.epoch(rows[-1], lambda: run_state(state, number))  # noqa: B023 - called at once
    return rows
