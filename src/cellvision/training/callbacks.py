"""The trainer's own callback: history, timing, best weights, early stopping, dead networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io

if TYPE_CHECKING:
    import keras

    from cellvision.experiment import Training
    from cellvision.progress import Display
    from cellvision.training.batches import BatchLoader
    from cellvision.training.network import Network

EpochHook = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch with its number (the first is 1) and its row of the history."""


class EarlyStopping:
    """Track the validation loss: which epoch is the best, and when to stop.

    Parameters
    ----------
    patience
        Stop after this many epochs without improvement; None never stops.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self._best = np.inf
        self._since_best = 0

    def is_best(self, validation_loss: float) -> bool:
        """Record the epoch that has just ended; return whether it is the best so far."""
        better = bool(validation_loss < self._best)
        self._since_best = 0 if better else self._since_best + 1
        self._best = validation_loss if better else self._best
        return better

    @property
    def is_over(self) -> bool:
        """Whether there was no improvement for `patience` epochs."""
        return self.patience is not None and self._since_best >= self.patience


def history_row(epoch: int, logs: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """Return one row of ``history.csv``; validation columns are NaN without validation."""
    row: dict[str, float] = {"epoch": epoch}
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        row[name] = float(logs.get(name, float("nan")))
    return {**row, "seconds": seconds}


@dataclass(frozen=True, eq=False)
class Monitoring:
    """What a `TrainingMonitor` observes and whom it reports to.

    Attributes
    ----------
    training : Training
        The settings of the training.
    network : Network
        The network in training.
    loader : BatchLoader
        Its batches.
    display : Display
        Shows progress.
    on_epoch : callable
        Called after each epoch.
    checkpoints : pathlib.Path or None
        Folder for the model of every epoch; None keeps none.
    is_dead : callable or None
        Returns whether the network outputs the same for every image; None skips the check.
    """

    training: Training
    network: Network
    loader: BatchLoader
    display: Display
    on_epoch: EpochHook
    checkpoints: Path | None
    is_dead: Callable[[], bool] | None


def training_monitor(context: Monitoring) -> Any:
    """Create the callback; a function, because Keras is imported on use.

    Returns
    -------
    keras.callbacks.Callback
        With ``history`` (rows), ``dead`` (whether the training was stopped because the network
        is dead), ``restore_best()``, ``images_per_second()`` and ``data_wait_fraction()``.
    """
    import keras

    training, network, loader = context.training, context.network, context.loader

    class TrainingMonitor(keras.callbacks.Callback):  # type: ignore[misc]
        """Times epochs, keeps the best weights, stops early, and reports each epoch."""

        def __init__(self) -> None:
            super().__init__()
            self.history: list[dict[str, float]] = []
            self.early_stopping = EarlyStopping(training.early_stopping)
            self.dead = False
            self._best: list[np.ndarray] = []
            self._training_seconds: list[float] = []
            self._waiting_seconds: list[float] = []
            self._begin = self._due = self._waited = 0.0
            self._first_batch = 0
            self._trained = False

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self._begin, self._waited, self._trained = time.perf_counter(), 0.0, False
            self._first_batch = epoch * loader.steps
            context.display.epoch(epoch + 1, training.epochs, loader.usable)

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            self._due = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            # A batch may have been ready long before, or have become ready after it was due.
            self._waited += max(0.0, loader.ready[self._first_batch + batch] - self._due)

        def _end_of_training(self) -> None:
            if not self._trained:
                self._trained = True
                self._training_seconds.append(time.perf_counter() - self._begin)
                self._waiting_seconds.append(self._waited)

        def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            self._end_of_training()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self._end_of_training()
            row = history_row(epoch + 1, logs or {}, time.perf_counter() - self._begin)
            if self._is_dead(epoch + 1):
                self.dead = self.model.stop_training = True
                return
            self.history.append(row)
            self._track_best(row["val_loss"])
            self._save_checkpoint(epoch + 1)
            context.on_epoch(epoch + 1, row)
            context.display.epoch_done(row, self.images_per_second(), self.data_wait_fraction())

        def _is_dead(self, epoch: int) -> bool:
            return (
                context.is_dead is not None
                and epoch == restart_epoch(training)
                and context.is_dead()
            )

        def _track_best(self, validation_loss: float) -> None:
            if self.early_stopping.is_best(validation_loss) and training.keep == "best":
                self._best = averaged_weights(network.training_model.optimizer, network.model)
            if self.early_stopping.is_over:
                self.model.stop_training = True

        def _save_checkpoint(self, epoch: int) -> None:
            if context.checkpoints is not None:
                path = context.checkpoints / f"epoch_{epoch:03d}.keras"
                with atomic_io.path(path) as temporary:
                    network.model.save(temporary)

        def restore_best(self) -> None:
            if self._best:
                network.model.set_weights(self._best)

        def _steady(self, seconds: list[float]) -> list[float]:
            # The first epoch also compiles.
            return seconds[1:] if len(seconds) > 1 else seconds

        def images_per_second(self) -> float:
            steady = self._steady(self._training_seconds)
            return loader.usable * len(steady) / max(sum(steady), 1e-9)

        def data_wait_fraction(self) -> float:
            steady = self._steady(self._training_seconds)
            return min(sum(self._steady(self._waiting_seconds)) / max(sum(steady), 1e-9), 1.0)

    return TrainingMonitor()


def restart_epoch(training: Training) -> int:
    """Return the epoch after which a dead network is restarted: two after the warm-up."""
    return min(int(np.ceil(training.warmup_epochs)) + 2, training.epochs)


def averaged_weights(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> list[np.ndarray]:
    """Return the weights of a model, with the optimizer's moving averages in their place.

    Without an exponential moving average these are the current weights.
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
