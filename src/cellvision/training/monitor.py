"""Monitor of a training: records epochs, keeps the best weights, stops early, and reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io
from cellvision.results.claimed_folder import naming_folder
from cellvision.training.dead_network import restart_epoch
from cellvision.training.duration import DurationEstimate
from cellvision.training.earlier_speeds import network_speeds
from cellvision.training.early_stopping import EarlyStopping
from cellvision.training.history import EpochHook, history_row
from cellvision.training.kept_weights import keeps_best, patience, remembers_best
from cellvision.training.speed import TrainingSpeed, waited
from cellvision.training.state import TrainingState, values

if TYPE_CHECKING:
    import keras

    from cellvision.progress import Display
    from cellvision.training.batches import BatchLoader
    from cellvision.training.network import Network
    from cellvision.training_settings import Training

StateHook = Callable[[TrainingState], None]
"""Called after each epoch with the state from which the training can resume."""


@dataclass(frozen=True, eq=False)
class TrainingHooks:
    """Where each epoch of a training is reported and saved.

    Attributes
    ----------
    display : Display
        Shows progress.
    on_epoch : callable
        Called after each epoch.
    checkpoints : pathlib.Path or None
        Folder for the model of every epoch; None keeps none.
    on_state : callable or None
        Called with a copy of the state after every epoch; None copies none.
    """

    display: Display
    on_epoch: EpochHook
    checkpoints: Path | None
    on_state: StateHook | None


@dataclass(frozen=True, eq=False)
class Monitoring:
    """What a `TrainingMonitor` observes and where it reports.

    Attributes
    ----------
    training : Training
        The settings of the training.
    network : Network
        The network in training.
    loader : BatchLoader
        Its batches.
    hooks : TrainingHooks
        Where it reports.
    is_dead : callable or None
        Returns whether the network outputs the same for every image; None skips the check.
    validation_images : int
        Images of the validation split.
    restarted_seeds : tuple of int
        Seeds of dead networks so far.
    executions : sequence of int or None
        Steps per execution when images are on the device; None otherwise. No duration is
        estimated from them, because there are too few per epoch.
    """

    training: Training
    network: Network
    loader: BatchLoader
    hooks: TrainingHooks
    is_dead: Callable[[], bool] | None
    validation_images: int
    restarted_seeds: tuple[int, ...]
    executions: Sequence[int] | None


class TrainingMonitor:
    """Times epochs, keeps the best weights, stops early, and reports each epoch.

    `training_monitor` combines it with ``keras.callbacks.Callback``.

    Parameters
    ----------
    context
        What it observes.
    start
        State to resume from; None starts at the first epoch.

    Attributes
    ----------
    history : list of dict
        One row per epoch.
    dead : bool
        Whether the training was stopped because the network is dead.
    state : TrainingState or None
        State after the last finished epoch, if it is kept.
    overruled : bool
        Whether a callback changed the weights at the end, and the best ones have replaced them.
    speed : TrainingSpeed
        Images per second and waiting for data so far.
    """

    model: Any

    def __init__(self, context: Monitoring, start: TrainingState | None = None) -> None:
        super().__init__()
        self.context = context
        self.history: list[dict[str, float]] = [] if start is None else list(start.history)
        self.early_stopping = EarlyStopping(patience(context.training, context.validation_images))
        self.dead = False
        self.state = start
        self._first_epoch = len(self.history)
        self._best: list[np.ndarray] = []
        self._at_epoch_end: list[np.ndarray] = []
        self.overruled = False
        if start is not None:
            self.early_stopping.restore(start.best_loss, start.since_best)
            self._best = start.best
        self._duration = DurationEstimate(
            context.training.epochs - self._first_epoch,
            context.loader.usable,
            context.validation_images,
        )
        self._speeds = network_speeds(context.network)
        self._is_announced = False
        self.speed = TrainingSpeed(context.loader.usable)
        self._begin = self._due = 0.0
        self._first_batch = self._timed_batches = self._shown = 0

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Say how long the training takes, if this machine has trained such a network before."""
        speed = self._speeds.expected()
        if speed is not None:
            self._announce(self._duration.before(speed))

    def _announce(self, seconds: float) -> None:
        if not self._is_announced:
            self._is_announced = True
            self.context.hooks.display.expected(seconds)

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        """Record the speed of the network's first training; later ones do not compile it."""
        measured, network = self._duration.measured(), self.context.network
        if measured is not None and not network.is_timed:
            self._speeds.record(*measured)
            network.is_timed = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Start the clock."""
        self._begin = time.perf_counter()
        self.speed.start_epoch()
        self._first_batch = (epoch - self._first_epoch) * self.context.loader.steps
        self._timed_batches = self._first_batch
        self._shown = 0
        self.context.hooks.display.epoch(
            epoch + 1, self.context.training.epochs, self.context.loader.usable
        )

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Remember when the batch was due."""
        self._due = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Show progress and add the time that the batch was late."""
        loader, executions, now = self.context.loader, self.context.executions, time.perf_counter()
        if executions is None:
            batch = min(batch, loader.steps - 1)  # the last execution may be shorter
        else:
            batch = sum(executions[: batch + 1]) - 1
        images = min((batch + 1) * loader.batch_size, loader.usable)
        ready = loader.ready[self._timed_batches : self._first_batch + batch + 1]
        self._timed_batches += len(ready)
        self.speed.end_batch(images, waited(self._due, now, ready))
        self.context.hooks.display.step(images - self._shown)
        self._shown = images
        if len(self.history) == self._first_epoch and executions is None:
            remaining = self._duration.step(images, now)
            if remaining is not None:
                self._announce(remaining)
                self.context.hooks.display.remaining(remaining)

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Stop the clock: validation begins."""
        self.speed.end_epoch()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the epoch, keep its weights and state if requested, and report."""
        context = self.context
        self.speed.end_epoch()
        seconds = time.perf_counter() - self._begin
        row = history_row(epoch + 1, logs or {}, seconds, context.network.metrics)
        if self._is_dead(epoch + 1):
            self.dead = self.model.stop_training = True
            return
        self.history.append(row)
        self._track_best(row["val_loss"])
        self._save_checkpoint(epoch + 1)
        if context.hooks.on_state is not None:
            self.state = self._current_state()
            context.hooks.on_state(self.state)
        if self._best and context.network.callbacks and not self.model.optimizer.use_ema:
            self._at_epoch_end = values(context.network.model.weights)
        context.hooks.on_epoch(epoch + 1, row)
        left = 0 if self.model.stop_training else context.training.epochs - epoch - 1
        context.hooks.display.remaining(self._duration.epoch(row["seconds"], left))
        context.hooks.display.epoch_done(row, self.speed.images_per_second(), self.speed.waiting())

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        return len(self.history) >= self.context.training.epochs or self.early_stopping.is_over

    def _is_dead(self, epoch: int) -> bool:
        is_dead = self.context.is_dead
        return is_dead is not None and epoch == restart_epoch(self.context.training) and is_dead()

    def _track_best(self, validation_loss: float) -> None:
        network = self.context.network
        better = self.early_stopping.is_best(validation_loss)
        if better and remembers_best(self.context.training, self.context.validation_images):
            self._best = averaged_weights(network.training_model.optimizer, network.model)
        if self.early_stopping.is_over:
            self.model.stop_training = True

    def _current_state(self) -> TrainingState:
        model = self.context.network.training_model
        return TrainingState(
            list(self.history),
            self.context.restarted_seeds,
            self.early_stopping.best_loss,
            self.early_stopping.since_best,
            values(model.variables),
            values(model.optimizer.variables),
            self._best,
        )

    def _save_checkpoint(self, epoch: int) -> None:
        checkpoints = self.context.hooks.checkpoints
        if checkpoints is not None:
            path = checkpoints / f"epoch_{epoch:03d}.keras"
            with naming_folder(checkpoints), atomic_io.path(path) as temporary:
                self.context.network.model.save(temporary)

    def restore_last(self) -> None:
        """Return to the end of the last finished epoch, after an interruption or failure."""
        assert self.state is not None
        model = self.context.network.training_model
        self.state.restore(model)
        # As at the end of Keras' fit: moving averages become the weights.
        model.optimizer.finalize_variable_values(model.trainable_weights)

    def restore_best(self) -> None:
        """Set the weights of the best epoch, if they are to be kept."""
        context = self.context
        if self._best and keeps_best(context.training, context.validation_images, self.history):
            model = context.network.model
            pairs = zip(self._at_epoch_end, values(model.weights), strict=False)
            self.overruled = not all(np.array_equal(before, now) for before, now in pairs)
            model.set_weights(self._best)


def training_monitor(context: Monitoring, start: TrainingState | None = None) -> TrainingMonitor:
    """Create the callback; a function, because Keras is imported on use.

    Returns
    -------
    TrainingMonitor
        It is also a ``keras.callbacks.Callback``.
    """
    import keras

    class MonitorCallback(TrainingMonitor, keras.callbacks.Callback):  # type: ignore[misc]
        """The monitor as a Keras callback."""

    return MonitorCallback(context, start)


def averaged_weights(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> list[np.ndarray]:
    """Return the optimizer's moving averages of the weights of a model.

    Weights without a moving average are returned as they are.
    """
    import keras

    averages = {}
    if optimizer.use_ema:
        variables = optimizer._trainable_variables
        values = optimizer._model_variables_moving_average
        averages = {id(a): b for a, b in zip(variables, values, strict=True)}
    return [
        keras.ops.convert_to_numpy(averages.get(id(variable), variable))
        for variable in model.weights
    ]
