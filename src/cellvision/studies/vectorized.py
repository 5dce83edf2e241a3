"""Many runs at once: on JAX, a study's runs train side by side in one program on one device.

A small network leaves a GPU idle most of the time. Here the weights, the optimisers' states and
the seeds of all runs are stacked, and one compiled program takes a step of all of them
(``jax.vmap`` of Keras' own training step), with the images on the device since the start, once
for all runs. Each run begins with the weights, sees the batches and draws the random numbers
that it would alone; only sums are added up in another order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io, errors
from cellvision.backends import devices
from cellvision.results import record
from cellvision.training.batches import epoch_order
from cellvision.training.train import RunWriter, write_run
from cellvision.training.trainer import EarlyStopping, TrainingResult, history_row

if TYPE_CHECKING:
    from cellvision.progress import Display
    from cellvision.training.network import Network
    from cellvision.training.trainer import Trainer

_USABLE = 0.9
"""The share of the free memory that is planned with: compilers need some for themselves."""

_CALL_SECONDS = 1.0
"""How long one call of the program should take, so that progress shows and Ctrl-C is heard."""

_TRIAL_SECONDS = 0.5
"""How long each program is tried to see which is faster."""

State = tuple[list[Any], list[Any], list[Any], list[Any]]
"""Trainable, other, optimiser's and metrics' variables, each with an axis for the runs."""

_log = logging.getLogger(__name__)


def train_vectorized(
    trainer: Trainer, seeds: Sequence[int], folders: Sequence[Path], display: Display
) -> int:
    """Train runs together, as many at once as the device's memory holds, and write their folders.

    Parameters
    ----------
    trainer
        Holds the images; its ``training.vectorize`` says whether this is wanted.
    seeds
        Of the runs.
    folders
        Of the runs; new, empty, or what interrupted trainings left.
    display
        Shown to whoever waits.

    Returns
    -------
    int
        How many of the runs, from the first on, are done. The others have to go one by one:
        that was asked for, is faster, or is all that the memory allows.

    Raises
    ------
    errors.ExperimentError
        ``training.vectorize`` is true, and this backend or these devices cannot.
    """
    if not _wanted(trainer) or len(seeds) < 2:
        return 0
    import jax

    with trainer.sharing():
        most = 0
        display.task(f"compiling {len(seeds)} runs", 0, 1)
        try:
            if _bytes_of_images(trainer) < _room():
                joint = _Joint(trainer, seeds[0])
                most = joint.fitting(len(seeds))
                if most > 1 and not _asked(trainer) and not joint.pays(most):
                    return 0
        except jax.errors.JaxRuntimeError as error:
            _refuse_others(error)
        finally:
            display.task(f"compiling {len(seeds)} runs", 1, 1)
        if most < 2:
            _log.warning("The device's memory is too small for several runs: they go one by one.")
            return 0
        done = 0
        while done < len(seeds):
            # Groups of one size, or one less, so that few programs are compiled.
            waiting = len(seeds) - done
            size = -(-waiting // -(-waiting // most))
            group = slice(done, done + size)
            claimed = [record.claim(folder) for folder in folders[group]]
            try:
                runs = joint.train(seeds[group], claimed, display)
            except jax.errors.JaxRuntimeError as error:
                _refuse_others(error)
                if size < 3:
                    _log.warning("The device's memory is too small: the runs go one by one.")
                    return done
                most = -(-size // 2)
                _log.warning(
                    "%d runs at once are too many for the device's memory: trying %d.", size, most
                )
                continue
            for run in runs:
                run.finish(display)
            done += size
    return done


def _asked(trainer: Trainer) -> bool:
    return trainer.prepared.experiment.training.vectorize is True


def _wanted(trainer: Trainer) -> bool:
    """Whether to try: where it was asked for, and by itself on one GPU of the JAX backend."""
    import keras

    wanted = trainer.prepared.experiment.training.vectorize
    backend = keras.backend.backend()
    one = len(trainer.devices) == 1
    if wanted == "auto":
        return backend == "jax" and one and trainer.devices[0] in devices.accelerators()
    if wanted and backend != "jax":
        raise errors.ExperimentError(
            f"training.vectorize: runs train together on the JAX backend, and this is {backend}",
            "Set the environment variable KERAS_BACKEND=jax, or --set training.vectorize=auto",
        )
    if wanted and not one:
        raise errors.ExperimentError(
            f"training.vectorize: runs train together on one device, not on {len(trainer.devices)}",
            "--set training.devices=1, or --set training.vectorize=auto",
        )
    return wanted


def _bytes_of_images(trainer: Trainer) -> int:
    pixels = trainer.prepared.pixels
    return (len(trainer.rows) + len(trainer.held_rows)) * int(pixels[0].nbytes)


def _refuse_others(error: Exception) -> None:
    """Let an error pass that is not a lack of memory."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error


class _Run:
    """One of the runs that train together, on its way.

    Parameters
    ----------
    joint
        The programs.
    seed
        Its seed.
    folder
        Its folder.
    """

    def __init__(self, joint: _Joint, seed: int, folder: Path) -> None:
        self.joint = joint
        self.writer = RunWriter(joint.trainer, seed, folder)
        self.training = self.writer.experiment.training
        self.early_stopping = EarlyStopping(self.training.early_stopping)
        self.history: list[dict[str, float]] = []
        self.last: State | None = None
        self.best: State | None = None
        self.fit: TrainingResult | None = None

    def epoch(self, row: dict[str, float], state: Callable[[], State]) -> None:
        """Take note of an epoch; `state` fetches the run's variables from the device."""
        self.history.append(row)
        if self.early_stopping.is_best(row["val_loss"]) and self.training.keep == "best":
            self.best = state()
        checkpoints, number = self.writer.checkpoints, int(row["epoch"])
        if checkpoints is not None:
            self.joint.load(state())
            with atomic_io.path(checkpoints / f"epoch_{number:03d}.keras") as temporary:
                self.joint.network.model.save(temporary)
        if self.early_stopping.is_over or number == self.training.epochs:
            self.last = state()
        self.writer.epoch(number, row)

    def finish(self, display: Display) -> None:
        """Give the network this run's weights, and write its folder."""
        assert self.last is not None
        assert self.fit is not None
        self.joint.load(self.last)
        model = self.joint.network.training_model
        # As Keras ends a training: some optimisers keep averages that become the weights.
        model.optimizer.finalize_variable_values(model.trainable_weights)
        if self.best is not None:
            self.joint.load(self.best)
        write_run(self.writer, self.joint.network, self.fit, display)


class _Joint:
    """The images on the device, and the programs that take steps of several runs.

    Parameters
    ----------
    trainer
        Holds the images and makes the networks.
    seed
        Of the network to begin with.
    """

    def __init__(self, trainer: Trainer, seed: int) -> None:
        import jax

        self.trainer = trainer
        prepared = trainer.prepared
        self.network: Network = trainer.network(seed)
        self.preprocessing = prepared.experiment.preprocessing
        self.classes = len(prepared.catalog.class_names)
        self.size = prepared.experiment.training.batch_size
        model = self.network.training_model
        # Metrics make their variables when they are first used, which no program may do.
        some = np.eye(1, self.classes, dtype=np.float32)
        model.compute_metrics(None, some, some)
        model.reset_metrics()
        self._metrics = _values(model.metrics_variables)
        rows = np.concatenate([trainer.rows, trainer.held_rows])
        self._data = (
            jax.device_put(np.asarray(prepared.pixels[rows])),
            jax.device_put(prepared.labels[rows].astype(np.int32)),
        )
        held = np.arange(len(trainer.rows), len(rows), dtype=np.int32)
        self._held = self._batches(held)
        self._steps = {"train": model.train_step, "test": self._test_step}
        self._compiled: dict[tuple[Any, ...], Any] = {}
        self._at_once = 1.0

    # --- what fits, and what pays ----------------------------------------------------------

    def fitting(self, runs: int) -> int:
        """How many runs fit into the device's memory at once; 0 where not even one does."""
        room = _room()
        while runs:
            needed = self._bytes(runs)
            if needed <= room:
                return runs
            runs = min(runs - 1, int(runs * room / needed))
        return 0

    def _bytes(self, runs: int) -> int:
        """What a step of all of them takes besides the images."""
        order = self._orders([self.trainer.prepared.experiment.training.seed] * runs, 0)[0]
        program = self._program("train", self._stacked(runs), order)
        found = program.memory_analysis()
        data = sum(array.nbytes for array in self._data)
        return int(
            found.argument_size_in_bytes
            + found.output_size_in_bytes
            - found.alias_size_in_bytes
            + found.temp_size_in_bytes
            - data
        )

    def pays(self, runs: int) -> bool:
        """Whether a step of all takes less time than as many steps of one."""
        alone, all_of_them = self._seconds(1), self._seconds(runs)
        _log.info("a step of one run: %.3g s; of %d runs: %.3g s", alone, runs, all_of_them)
        return all_of_them < runs * alone

    def _seconds(self, runs: int) -> float:
        order = self._orders([self.trainer.prepared.experiment.training.seed] * runs, 0)[0]
        state = self._stacked(runs)
        steps, seconds = 1, 0.0
        for _ in range(3):  # the first is slow, the second tells how many make a measurement
            start = time.perf_counter()
            state, _ = self._advance("train", state, order, 0, steps)
            seconds = (time.perf_counter() - start) / steps
            steps = int(np.clip(_TRIAL_SECONDS / seconds, 1, order.shape[1]))
        return seconds

    def _stacked(self, runs: int) -> State:
        return _stack([self._current()] * runs)

    # --- training --------------------------------------------------------------------------

    def train(
        self, seeds: Sequence[int], folders: Sequence[Path], display: Display
    ) -> Sequence[_Run]:
        """Train these runs at once, from new weights to the last epoch of each."""
        start = time.perf_counter()
        display.together(seeds)
        runs = [_Run(self, *pair) for pair in zip(seeds, folders, strict=True)]
        epochs = self.trainer.prepared.experiment.training.epochs
        images = len(self.trainer.rows)
        state = self._begin(seeds)
        fitting: list[tuple[int, float]] = []
        for epoch in range(epochs):
            begin = time.perf_counter()
            display.epoch(epoch + 1, epochs, images * len(runs))
            state, logs = self._pass("train", state, self._orders(seeds, epoch), display)
            # A run that has stopped is carried along; its images do not count.
            wanted = images * sum(run.last is None for run in runs)
            fitting.append((wanted, time.perf_counter() - begin))
            if self._held:
                state, held = self._pass("test", state, self._held, display)
                logs |= {f"val_{name}": values for name, values in held.items()}
            seconds = time.perf_counter() - begin
            rows = []
            for number, run in enumerate(runs):
                if run.last is None:
                    told = {name: values[number] for name, values in logs.items()}
                    rows.append(history_row(epoch + 1, told, seconds))
                    run.epoch(rows[-1], lambda: _slice(state, number))  # noqa: B023 - called now
            steady = fitting[1:] or fitting
            speed = sum(done for done, _ in steady) / max(sum(took for _, took in steady), 1e-9)
            display.epochs_done(rows, speed)
            if all(run.last is not None for run in runs):
                break
        took = time.perf_counter() - start
        for run in runs:
            run.fit = TrainingResult(run.history, took, speed, 0.0, len(runs))
        return runs

    def _begin(self, seeds: Sequence[int]) -> State:
        states = []
        for seed in seeds:
            self.trainer.network(seed)
            states.append(self._current())
        return _stack(states)

    def _current(self) -> State:
        model = self.network.training_model
        return (
            _values(model.trainable_variables),
            _values(model.non_trainable_variables),
            _values(model.optimizer.variables),
            self._metrics,
        )

    def load(self, state: State) -> None:
        """Give the network the variables of one run."""
        model = self.network.training_model
        own = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
        for variables, values in zip(own, state, strict=False):  # the metrics are done with
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _orders(self, seeds: Sequence[int], epoch: int) -> list[np.ndarray]:
        """An epoch's batches, those that the runs would have alone, as places in the data."""
        rows = self.trainer.rows
        orders = [np.searchsorted(rows, epoch_order(rows, seed, epoch)) for seed in seeds]
        return self._batches(np.stack(orders).astype(np.int32))

    def _batches(self, order: np.ndarray) -> list[np.ndarray]:
        """Cut (..., images) into whole batches and the rest: (..., batches, images) each."""
        whole = order.shape[-1] // self.size * self.size
        parts = (
            order[..., :whole].reshape(*order.shape[:-1], -1, self.size),
            order[..., None, whole:],
        )
        # Within a batch as the loader gives it, so that dropout hits the same images.
        return [np.sort(part, axis=-1) for part in parts if part.size]

    def _pass(
        self, kind: str, state: State, orders: list[np.ndarray], display: Display
    ) -> tuple[State, dict[str, np.ndarray]]:
        """Go once through the batches; gives the means over them."""
        runs = len(state[0][0])
        state = (*state[:3], [np.stack([value] * runs) for value in self._metrics])
        logs: dict[str, np.ndarray] = {}
        for order in orders:
            steps, size = order.shape[-2:]
            step = 0
            while step < steps:
                stop = min(steps, step + max(1, int(self._at_once)))
                start = time.perf_counter()
                state, logs = self._advance(kind, state, order, step, stop)
                if kind == "train":
                    seconds = max(time.perf_counter() - start, 1e-6)
                    self._at_once = (stop - step) * _CALL_SECONDS / seconds
                    display.step(runs * (stop - step) * size)
                step = stop
        return state, logs

    def _advance(
        self, kind: str, state: State, order: np.ndarray, start: int, stop: int
    ) -> tuple[State, dict[str, np.ndarray]]:
        """Take the steps from `start` to before `stop`; gives the means since the pass began."""
        program = self._program(kind, state, order)
        bounds = np.int32(start), np.int32(stop)
        state, logs = program(state, _no_logs(state), order, *bounds, *self._data)
        return state, {name: np.asarray(values) for name, values in logs.items()}

    def _program(self, kind: str, state: State, order: np.ndarray) -> Any:
        """The compiled program for so many runs, and batches of this number and size."""
        import jax

        key = (kind, len(state[0][0]), order.shape)
        if key not in self._compiled:
            # Every run has an order of its own; that of the validation is the same for all.
            axes = (0, 0, 0 if order.ndim == 3 else None, None, None, None, None)
            program = jax.jit(jax.vmap(self._loop(kind), axes), donate_argnums=(0,))
            bounds = np.int32(0), np.int32(0)
            given = (state, _no_logs(state), order, *bounds, *self._data)
            self._compiled[key] = program.lower(*given).compile()
        return self._compiled[key]

    def _loop(self, kind: str) -> Callable[..., Any]:
        """The program for one run: many steps in a loop that is compiled as a whole."""
        import jax

        take, depth, classes = self._steps[kind], self.preprocessing.depth, self.classes

        def loop(
            state: Any, logs: Any, order: Any, start: Any, stop: Any, pixels: Any, labels: Any
        ) -> Any:
            def step(number: Any, carried: Any) -> Any:
                rows = order[number]
                images = pixels[rows]
                if images.shape[-1] != depth:
                    images = images.repeat(depth, axis=-1)
                logs, state = take(carried[0], (images, jax.nn.one_hot(labels[rows], classes)))
                return state, logs

            return jax.lax.fori_loop(start, stop, step, (state, logs))

        return loop

    def _test_step(self, state: Any, data: Any) -> Any:
        trainable, others, optimizer, metrics = state
        step = self.network.training_model.test_step
        logs, (trainable, others, metrics) = step((trainable, others, metrics), data)
        return logs, (trainable, others, optimizer, metrics)


def _values(variables: Sequence[Any]) -> list[np.ndarray]:
    import keras

    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _stack(states: Sequence[State]) -> State:
    kinds = [
        [np.stack(each) for each in zip(*kind, strict=True)] for kind in zip(*states, strict=True)
    ]
    return kinds[0], kinds[1], kinds[2], kinds[3]


def _slice(state: State, run: int) -> State:
    kinds = [[np.asarray(values[run]) for values in kind] for kind in state]
    return kinds[0], kinds[1], kinds[2], kinds[3]


def _no_logs(state: State) -> dict[str, np.ndarray]:
    runs = len(state[0][0])
    return {name: np.zeros(runs, np.float32) for name in ("accuracy", "loss")}


def _room() -> int:
    """The bytes that may be used on the device and, as the images pass it, in the computer."""
    import jax
    import psutil

    free = psutil.virtual_memory().available
    told = jax.numpy.zeros(()).devices().pop().memory_stats()
    if told and "bytes_limit" in told:  # a processor has no memory of its own
        free = min(free, told["bytes_limit"] - told["bytes_in_use"])
    return int(_USABLE * free)
