"""The trainer: any architecture, any images, TensorFlow or JAX."""

from __future__ import annotations

import copy
import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.backends import devices, distributed, precision
from cellvision.backends.seeding import derived_seed
from cellvision.backends.startup import start_backend
from cellvision.backends.threads import configure_threads
from cellvision.interfaces.architecture import TrainingPlan
from cellvision.plurals import counted
from cellvision.training import dead_network
from cellvision.training.batch_norm import refresh_batch_norm
from cellvision.training.batches import BatchLoader, gather, group_size
from cellvision.training.frozen_network import FrozenNetwork
from cellvision.training.history import EpochHook
from cellvision.training.images_on_device import ImagesOnDevice, keeps_images_on_device
from cellvision.training.kept_weights import needs_validation
from cellvision.training.keras_fit import keras_fit
from cellvision.training.monitor import (
    Monitoring,
    StateHook,
    TrainingHooks,
    TrainingMonitor,
    training_monitor,
)
from cellvision.training.network import Network
from cellvision.training.result import TrainingResult
from cellvision.training.state import TrainingState

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData
    from cellvision.progress import Display

_log = logging.getLogger(__name__)


class Trainer:
    """Trains an experiment's network any number of times, compiling it once.

    Parameters
    ----------
    prepared
        The images, split and checked.

    Raises
    ------
    errors.ExperimentError
        The training is impossible: not enough devices, no validation split, ...
    """

    def __init__(self, prepared: PreparedData) -> None:
        training = prepared.experiment.training
        start_backend(partial(configure_threads, prepared.experiment))
        configure_threads(prepared.experiment)  # if something else has imported keras
        self.prepared = prepared
        self.precision = precision.resolve(training.precision)
        self.devices = devices.choose(training.devices, training.batch_size)
        self.sharing = devices.sharing(self.devices)
        self.rows = prepared.rows(prepared.training_split)
        validation = prepared.validation_split
        self.validation_rows = (
            np.zeros(0, np.intp) if validation is None else prepared.rows(validation)
        )
        self._check_settings()
        if training.images_on_device is True:
            self._keeps_images_on_device()  # an impossible setting is refused before the training
        self._networks: list[Network] = []
        self._on_device: list[ImagesOnDevice] = []
        self._frozen = FrozenNetwork()  # shared with `on`
        self._local: Network | None = None
        # With several processes, one of them evaluates, on its own device.
        self.alone = self.sharing
        if distributed.world_size() > 1:
            self.alone = partial(devices.alone, distributed.local_devices(self.devices)[0])

    def _check_settings(self) -> None:
        training = self.prepared.experiment.training
        if self.prepared.validation_split is None and needs_validation(training):
            raise errors.ExperimentError(
                "training.early_stopping and training.keep=best need a validation split, "
                "and there is none",
                "Make one: --set split.validation=0.15",
            )
        fewest = min(len(rows) for rows in (self.rows, self.validation_rows) if len(rows))
        if fewest < len(self.devices):
            raise errors.ExperimentError(
                f"{len(self.devices)} devices cannot share {counted(fewest, 'image')} of a split",
                "--set training.devices=1",
            )

    def on(self, prepared: PreparedData) -> Trainer:
        """Return the same trainer and network for other pixels or labels of the same images."""
        other = copy.copy(self)
        other.prepared = prepared
        return other

    def network(self, seed: int) -> Network:
        """Return the network with new weights; it is compiled again only if it must be."""
        with self.sharing():
            if self._networks and self._networks[0].can_train_again(self.plan):
                self._networks[0].draw(seed)
            else:
                self._networks[:] = [self._build(seed)]
        return self._networks[0]

    def _build(self, seed: int) -> Network:
        prepared = self.prepared
        return Network(
            prepared.experiment,
            prepared.catalog.class_names,
            (prepared.zero, prepared.one),
            self.precision,
            self.plan,
            self._steps_per_execution(),
            seed,
        )

    @property
    def plan(self) -> TrainingPlan:
        """Length of the training and class counts."""
        training = self.prepared.experiment.training
        names = self.prepared.catalog.class_names
        counts = np.bincount(self.prepared.labels[self.rows], minlength=len(names))
        return TrainingPlan(
            steps_per_epoch=self._loader(training.seed).steps,
            epochs=training.epochs,
            batch_size=training.batch_size,
            class_counts=tuple(int(count) for count in counts),
        )

    def _local_network(self, network: Network, seed: int) -> Network:
        """Copy a network that several processes have trained to a device of this process.

        A network that one process has trained is returned as it is.
        """
        if distributed.world_size() == 1:
            return network
        weights = network.model.get_weights()
        with self.alone():
            if self._local is None:
                self._local = self._build(seed)
            self._local.model.set_weights(weights)
        return self._local

    def _steps_per_execution(self) -> int:
        training = self.prepared.experiment.training
        if len(self.devices) > 1:
            return 1  # TensorFlow 2.21 cannot run several steps at once on several devices
        setting = training.steps_per_execution
        most = self._group_size() if setting == "auto" else setting
        steps = self._loader(training.seed).steps
        # A divisor of the steps: otherwise Keras ends an epoch with steps of the next one.
        return max(size for size in range(1, most + 1) if steps % size == 0)

    def _group_size(self) -> int:
        experiment = self.prepared.experiment
        return group_size(experiment.training.batch_size, experiment.preprocessing.input_shape)

    def fit(
        self,
        seed: int,
        display: Display,
        on_epoch: EpochHook,
        checkpoints: Path | None = None,
        *,
        start: TrainingState | None = None,
        on_state: StateHook | None = None,
    ) -> tuple[Network, TrainingResult]:
        """Train from new weights; if the network is dead, draw other weights and train again.

        Parameters
        ----------
        seed
            Seed of the weights, the order of images, augmentation and dropout.
        display
            Shows progress.
        on_epoch
            Called after each epoch.
        checkpoints
            Folder for the model of every epoch; None keeps none.
        start
            State of an interrupted training to resume from.
        on_state
            Called after each epoch with the state to resume from. An interrupt (Ctrl-C) after the
            first epoch then ends the training with the best network so far instead of raising
            KeyboardInterrupt.
        """
        if self._may_be_solved:
            solved = self._frozen.solve(seed, self, display, on_epoch)
            if solved is not None:
                return solved
        begin = time.perf_counter()
        hooks = TrainingHooks(display, on_epoch, checkpoints, on_state)
        dead = [] if start is None else list(start.restarted_seeds)
        with self.sharing():
            while True:
                monitor, interrupted = self._fit_once(seed, tuple(dead), hooks, start)
                if not monitor.dead:
                    break
                dead.append(derived_seed(seed, len(dead)))
                start = None
        network = self._local_network(monitor.context.network, seed)
        with self.alone():
            self.refresh_batch_norm(network, derived_seed(seed, len(dead)))
        return network, TrainingResult(
            monitor.history,
            time.perf_counter() - begin,
            monitor.speed.images_per_second(),
            monitor.speed.waiting(),
            restarted_seeds=tuple(dead),
            interrupted=monitor.state if interrupted else None,
            overruled_callback=monitor.overruled,
        )

    @property
    def _may_be_solved(self) -> bool:
        """Whether a frozen network with one layer that learns is solved, as on one device only."""
        return len(self.devices) == 1 and distributed.world_size() == 1

    def solves_exactly(self, seed: int) -> bool:
        """Whether the network is frozen but for its softmax layer, which is solved, not trained."""
        return self._may_be_solved and self._frozen.is_solvable(seed, self)

    def _fit_once(
        self, seed: int, dead: tuple[int, ...], hooks: TrainingHooks, start: TrainingState | None
    ) -> tuple[TrainingMonitor, bool]:
        """Train once; return the monitor and whether the training was interrupted."""
        current = derived_seed(seed, len(dead))
        network = self.network(current)
        network.fresh_seed = None
        first_epoch = 0
        if start is not None:
            start.restore(network.training_model)
            first_epoch = start.epoch
        loader = self._loader(current, first_epoch)
        on_device = self._images_on_device(network)
        executions = None if on_device is None else on_device.steps
        monitoring = self._monitoring(network, loader, dead, hooks, executions)
        monitor = training_monitor(monitoring, start)
        interrupted, is_over = False, start is not None and monitor.is_over
        with loader:
            try:
                if on_device is not None:
                    on_device.start(self.prepared)
                if not is_over:
                    keras_fit(network, loader, self.validation_rows, monitor, on_device=on_device)
            except KeyboardInterrupt:
                if hooks.on_state is None or monitor.state is None:
                    raise
                interrupted = True
            finally:
                if on_device is not None:
                    on_device.release()
        if interrupted or is_over:
            monitor.restore_last()
        if not monitor.dead:
            monitor.restore_best()
        return monitor, interrupted

    def _images_on_device(self, network: Network) -> ImagesOnDevice | None:
        """Return the network with its images on the device; None if they are not kept there."""
        if not self._keeps_images_on_device():
            return None
        if network.callbacks:  # they expect a model that takes pixels
            if self.prepared.experiment.training.images_on_device is True:
                _log.warning("The recipe has callbacks, so images are sent batch by batch.")
            return None
        if not self._on_device or self._on_device[0].network is not network:
            self._on_device[:] = [
                ImagesOnDevice(network, self.prepared, self.rows, self.validation_rows)
            ]
        return self._on_device[0]

    def _keeps_images_on_device(self) -> bool:
        images = len(self.rows) + len(self.validation_rows)
        return keeps_images_on_device(self.prepared, images, self.devices)

    def _monitoring(
        self,
        network: Network,
        loader: BatchLoader,
        dead: tuple[int, ...],
        hooks: TrainingHooks,
        executions: list[int] | None,
    ) -> Monitoring:
        training = self.prepared.experiment.training
        check_dead = len(dead) < training.restarts
        return Monitoring(
            training=training,
            network=network,
            loader=loader,
            hooks=hooks,
            is_dead=(lambda: self.is_dead(network, loader.seed)) if check_dead else None,
            validation_images=len(self.validation_rows),
            restarted_seeds=dead,
            executions=executions,
        )

    def is_dead(self, network: Network, seed: int) -> bool:
        """Whether a network with these weights outputs nearly the same for every training image."""
        rows = np.sort(np.random.default_rng(0).permutation(self.rows)[: dead_network.SAMPLE])
        network = self._local_network(network, seed)
        with self.alone():
            if not dead_network.is_constant(network.predict(self.pixels, rows)):
                return False
            # Averages of batch normalization that lag behind give constant outputs as well.
            with dead_network.restored_statistics(network.training_model):
                self._refresh(network, seed)
                return dead_network.is_constant(network.predict(self.pixels, rows))

    def refresh_batch_norm(self, network: Network, seed: int) -> None:
        """Recompute statistics of batch normalization, which lag behind in short trainings."""
        if self.prepared.experiment.training.refresh_batch_norm:
            self._refresh(network, seed)

    def _refresh(self, network: Network, seed: int) -> None:
        rows = np.random.default_rng([seed, 1]).permutation(self.rows)

        def inputs(rows: np.ndarray) -> Any:
            pixels, labels = gather(self.prepared, rows)
            numbers = pixels.astype(np.float32)
            return (numbers, labels) if network.mixes_labels else numbers

        batch_size = self.prepared.experiment.training.batch_size
        refresh_batch_norm(network.training_model, inputs, rows, batch_size)

    def predict(self, network: Network, display: Display) -> np.ndarray:
        """Return the probabilities of all images, shape (images, classes), float32."""
        if self._frozen.fit:
            return self._frozen.fit.predict()
        total, done = len(self.prepared.pixels), 0

        def step(images: int) -> None:
            nonlocal done
            done += images
            display.task("predicting", done, total)

        with self.alone():
            return network.predict(self.pixels, np.arange(total), step)

    def predict_averaged(self, network: Network, rows: np.ndarray) -> np.ndarray:
        """Return mean probabilities over the orientations of images (test-time augmentation)."""
        if self._frozen.fit:
            return self._frozen.fit.predict_averaged(rows)
        return network.predict_averaged(self.pixels, rows)

    def pixels(self, rows: np.ndarray) -> np.ndarray:
        """Return the native pixels of some rows, as the network takes them."""
        return gather(self.prepared, rows)[0]

    def _loader(self, seed: int, first_epoch: int = 0) -> BatchLoader:
        size = self.prepared.experiment.training.batch_size
        return BatchLoader(
            self.prepared, self.rows, size, seed, len(self.devices), self._group_size(), first_epoch
        )
