"""The generic trainer: any architecture, any images, any Keras backend, one loop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io, errors
from cellvision.backends import devices, distributed, precision
from cellvision.backends.threads import configure_threads
from cellvision.training.batches import Batch, BatchLoader, gather
from cellvision.training.network import Network, predicted_at_once

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData
    from cellvision.progress import Display

_AT_ONCE_VALUES = 2**21
"""Batches of fewer values than this are too quick for Python: several are handled at once."""

_MOST_STEPS = 50

EpochHook = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a training left behind.

    Attributes
    ----------
    history : list of dict
        One row an epoch, as in ``history.csv``.
    seconds : float
        All of it.
    images_per_second : float
        While training, without validation; without the first epoch where there are more,
        since that one also compiles.
    data_wait_fraction : float
        Share of the training time in which a step was due and its images were not there yet.
        Where a device works on its own while Python goes ahead (a GPU), and where several
        steps run at once, it is the largest share that this can have been.
    vectorized : int
        How many runs trained as one program; the times and the speed are of all of them.
    """

    history: list[dict[str, float]]
    seconds: float
    images_per_second: float
    data_wait_fraction: float
    vectorized: int = 1


class Trainer:
    """Trains an experiment's network, any number of times, compiling it once.

    Parameters
    ----------
    prepared
        The images, split and checked.

    Raises
    ------
    errors.ExperimentError
        What is asked of the training cannot be had: devices, a validation split, ...
    """

    def __init__(self, prepared: PreparedData) -> None:
        training = prepared.experiment.training
        configure_threads(prepared.experiment)
        self.prepared = prepared
        self.precision = precision.resolve(training.precision)
        self.devices = devices.choose(training.devices, training.batch_size)
        self.sharing = devices.sharing(self.devices)
        self.rows = prepared.rows(prepared.training_split)
        held = prepared.validation_split
        self.held_rows = prepared.rows(held) if held is not None else np.zeros(0, np.intp)
        if held is None and (training.early_stopping is not None or training.keep == "best"):
            raise errors.ExperimentError(
                "training.early_stopping and training.keep=best look at a validation split, "
                "and there is none",
                "Make one: --set split.validation=0.15",
            )
        fewest = min(len(rows) for rows in (self.rows, self.held_rows) if len(rows))
        if fewest < len(self.devices):
            raise errors.ExperimentError(
                f"{len(self.devices)} devices cannot share the {fewest} image(s) of a split",
                "--set training.devices=1",
            )
        self._built: list[Network] = []
        # What follows a training is done by one process, on a device of its own.
        self.alone = self.sharing
        if distributed.world_size() > 1:
            self.alone = devices.sharing(distributed.local_devices(self.devices)[:1])

    def on(self, prepared: PreparedData) -> Trainer:
        """The same trainer and network, for other pixels or labels of the same images."""
        other = copy.copy(self)
        other.prepared = prepared
        return other

    def network(self, seed: int) -> Network:
        """The network with new weights; built the first time, drawn anew after that."""
        with self.sharing():
            if self._built:
                self._built[0].draw(seed)
            else:
                self._built.append(self._build(seed))
        return self._built[0]

    def _build(self, seed: int) -> Network:
        prepared = self.prepared
        return Network(
            prepared.experiment,
            len(prepared.catalog.class_names),
            prepared.zero,
            prepared.one,
            self.precision,
            self._steps_per_execution(),
            seed,
        )

    def _own(self, network: Network, seed: int) -> Network:
        """A network that several processes have trained, for one of them."""
        weights = network.model.get_weights()
        with self.alone():
            own = self._build(seed)
            own.model.set_weights(weights)
        return own

    def _steps_per_execution(self) -> int:
        training = self.prepared.experiment.training
        if len(self.devices) > 1:
            return 1  # TensorFlow 2.21 cannot run several steps at once on several devices
        asked = training.steps_per_execution
        most = self._at_once() if asked == "auto" else asked
        steps = self._feed(training.seed).steps
        # A divisor: Keras would end an epoch with a full execution, by steps of the next one.
        return max(size for size in range(1, most + 1) if steps % size == 0)

    def _at_once(self) -> int:
        """How many batches are worth handling together, so that Python is not what takes time."""
        experiment = self.prepared.experiment
        values = experiment.training.batch_size * math.prod(experiment.preprocessing.input_shape)
        return int(np.clip(_AT_ONCE_VALUES // values, 1, _MOST_STEPS))

    def fit(
        self,
        seed: int,
        display: Display,
        on_epoch: EpochHook,
        checkpoints: Path | None = None,
    ) -> tuple[Network, TrainingResult]:
        """Train from new weights.

        Parameters
        ----------
        seed
            Of weights, order, augmentation and dropout.
        display
            Shown to whoever waits.
        on_epoch
            Told of every finished epoch.
        checkpoints
            Where every epoch's model is kept; None keeps none.
        """
        start = time.perf_counter()
        training = self.prepared.experiment.training
        with self.sharing():
            network = self.network(seed)
            loader = self._feed(seed)
            watch = _watch(self, network, loader, display, on_epoch, checkpoints)
            with loader:
                network.training_model.fit(
                    self._series(loader, display),
                    steps_per_epoch=loader.steps,
                    epochs=training.epochs,
                    validation_data=self._validation(),
                    callbacks=[watch],
                    shuffle=False,  # the loader has done it
                    verbose=0,
                )
            watch.restore_best()
        if distributed.world_size() > 1:
            network = self._own(network, seed)
        return network, TrainingResult(
            watch.history,
            time.perf_counter() - start,
            watch.images_per_second(),
            watch.data_wait_fraction(),
        )

    def predict(self, network: Network, display: Display) -> np.ndarray:
        """Give the probabilities of all images, shape (images, classes), float32."""
        total = len(self.prepared.pixels)
        done = 0

        def step(images: int) -> None:
            nonlocal done
            done += images
            display.task("predicting", done, total)

        def pixels(rows: np.ndarray) -> np.ndarray:
            return gather(self.prepared, rows)[0]

        with self.alone():
            return network.predict(pixels, np.arange(total), step)

    def _feed(self, seed: int) -> BatchLoader:
        size = self.prepared.experiment.training.batch_size
        return BatchLoader(self.prepared, self.rows, size, seed, len(self.devices), self._at_once())

    def _series(self, loader: BatchLoader, display: Display) -> Any:
        """The loader's batches in the form from which Keras trains."""
        import keras

        def counted(batches: Iterator[Batch], batch_axes: int) -> Iterator[Batch]:
            for pixels, labels in batches:
                display.step(math.prod(pixels.shape[:batch_axes]) * distributed.world_size())
                yield pixels, labels

        if keras.backend.backend() != "tensorflow":
            return counted(loader.batches(), 1)
        # With several devices Keras takes a batch to build with, and begins again: it must
        # have a series that can, for of a generator that batch would be lost.
        from cellvision.backends import tensorflow

        prepared = self.prepared
        grouped = loader.together > 1
        return tensorflow.dataset(
            lambda: counted(loader.groups(), 2) if grouped else counted(loader.batches(), 1),
            prepared.experiment.preprocessing.input_shape,
            str(prepared.pixels.dtype),
            len(prepared.catalog.class_names),
            grouped=grouped,
        )

    def _validation(self) -> Any:
        if len(self.held_rows) == 0:
            return None
        # Not the training's batches: larger ones give the same numbers sooner.
        size = predicted_at_once(self.prepared.experiment.preprocessing.input_shape)
        size -= size % len(self.devices)
        return _held_batches(self.prepared, self.held_rows, size, len(self.devices))


class EarlyStopping:
    """How a training stands by its validation loss: which epoch is the best, and when to stop.

    Parameters
    ----------
    patience
        After how many epochs without a better one it is over; None: never.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self._best = np.inf
        self._since_best = 0

    def is_best(self, held_loss: float) -> bool:
        """Whether the epoch that has just ended is the best so far."""
        better = bool(held_loss < self._best)
        self._since_best = 0 if better else self._since_best + 1
        self._best = held_loss if better else self._best
        return better

    @property
    def is_over(self) -> bool:
        """Whether the patience is at its end."""
        return self.patience is not None and self._since_best >= self.patience


def history_row(epoch: int, logs: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """An epoch's row of ``history.csv``; without validation its columns are not a number."""
    row: dict[str, float] = {"epoch": epoch}
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        row[name] = float(logs.get(name, float("nan")))
    return {**row, "seconds": seconds}


def _held_batches(prepared: PreparedData, rows: np.ndarray, size: int, multiple_of: int) -> Any:
    import keras

    usable = len(rows) // multiple_of * multiple_of

    class HeldBatches(keras.utils.PyDataset):  # type: ignore[misc]
        """The validation images, in order."""

        def __len__(self) -> int:
            return -(-usable // size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            batch = rows[:usable][index * size : (index + 1) * size]
            return gather(prepared, distributed.shard(batch))

    return HeldBatches()


def _watch(
    trainer: Trainer,
    network: Network,
    loader: BatchLoader,
    display: Display,
    on_epoch: EpochHook,
    checkpoints: Path | None,
) -> Any:
    import keras

    training = trainer.prepared.experiment.training

    class TrainingMonitor(keras.callbacks.Callback):  # type: ignore[misc]
        """Times epochs, keeps the best weights, and tells those who want to know."""

        def __init__(self) -> None:
            super().__init__()
            self.history: list[dict[str, float]] = []
            self.early_stopping = EarlyStopping(training.early_stopping)
            self.best: list[np.ndarray] = []
            self.fitting: list[float] = []
            self.waiting: list[float] = []
            self._begin = self._due = self._waited = 0.0
            self._taken = 0
            self._trained = False

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self._begin, self._waited, self._trained = time.perf_counter(), 0.0, False
            self._taken = epoch * loader.steps
            display.epoch(epoch + 1, training.epochs, loader.usable)

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            self._due = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            # Images may be there since long before, or have come while the step was due.
            self._waited += max(0.0, loader.ready[self._taken + batch] - self._due)

        def _end_of_training(self) -> None:
            if not self._trained:
                self._trained = True
                self.fitting.append(time.perf_counter() - self._begin)
                self.waiting.append(self._waited)

        def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            self._end_of_training()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self._end_of_training()
            row = history_row(epoch + 1, logs or {}, time.perf_counter() - self._begin)
            self.history.append(row)
            self._judge(row["val_loss"])
            if checkpoints is not None:
                with atomic_io.path(checkpoints / f"epoch_{epoch + 1:03d}.keras") as temporary:
                    network.model.save(temporary)
            on_epoch(epoch + 1, row)
            display.epoch_done(row, self.images_per_second(), self.data_wait_fraction())

        def _judge(self, held_loss: float) -> None:
            if self.early_stopping.is_best(held_loss) and training.keep == "best":
                self.best = network.model.get_weights()
            if self.early_stopping.is_over:
                self.model.stop_training = True

        def restore_best(self) -> None:
            if self.best:
                network.model.set_weights(self.best)

        def _steady(self, values: list[float]) -> list[float]:
            return values[1:] if len(values) > 1 else values

        def images_per_second(self) -> float:
            steady = self._steady(self.fitting)
            return loader.usable * len(steady) / max(sum(steady), 1e-9)

        def data_wait_fraction(self) -> float:
            steady = self._steady(self.fitting)
            return min(sum(self._steady(self.waiting)) / max(sum(steady), 1e-9), 1.0)

    return TrainingMonitor()
