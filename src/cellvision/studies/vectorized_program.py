"""The compiled program that takes training steps of several runs at once (JAX)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.training.batches import epoch_order
from cellvision.training.state import values

if TYPE_CHECKING:
    from cellvision.progress import Display
    from cellvision.training.network import Network
    from cellvision.training.trainer import Trainer

_CALL_SECONDS = 1.0
"""Duration of one call of the program: short enough to show progress and react to Ctrl-C."""

_TRIAL_SECONDS = 0.5
"""Duration of the trial of each program to see which is faster."""

State = tuple[list[Any], list[Any], list[Any], list[Any]]
"""Trainable, other, optimizer and metrics variables, each with a first axis for the runs."""

_log = logging.getLogger(__name__)


class VectorizedProgram:
    """The images on the device, and the programs that take steps of several runs.

    Parameters
    ----------
    trainer
        Holds the images and builds the networks.
    seed
        Seed of the first network.
    """

    def __init__(self, trainer: Trainer, seed: int) -> None:
        import jax

        self.trainer = trainer
        prepared = trainer.prepared
        self.network: Network = trainer.network(seed)
        self.preprocessing = prepared.experiment.preprocessing
        self.classes = len(prepared.catalog.class_names)
        self.batch_size = prepared.experiment.training.batch_size
        model = self.network.training_model
        # Metrics create their variables on first use, which a compiled program cannot do.
        sample = np.eye(1, self.classes, dtype=np.float32)
        logs = model.compute_metrics(None, sample, sample)
        self._no_logs = {name: np.zeros_like(np.asarray(value)) for name, value in logs.items()}
        model.reset_metrics()
        self._metrics = values(model.metrics_variables)
        rows = np.concatenate([trainer.rows, trainer.validation_rows])
        self._data = (
            jax.device_put(np.asarray(prepared.pixels[rows])),
            jax.device_put(prepared.labels[rows].astype(np.int32)),
        )
        self._validation_batches = self._batches(
            np.arange(len(trainer.rows), len(rows), dtype=np.int32)
        )
        self._steps = {"train": model.train_step, "test": self._test_step}
        self._compiled: dict[tuple[Any, ...], Any] = {}
        self._steps_per_call = 1.0

    def close(self) -> None:
        """Free the memory of the images; Keras models wait for the garbage collector."""
        for array in self._data:
            array.delete()

    def runs_that_fit(self, runs: int, memory: int) -> int:
        """Return how many of the runs fit into memory at once; 0 if not even one does."""
        while runs:
            needed = self._bytes(runs)
            if needed <= memory:
                return runs
            runs = min(runs - 1, int(runs * memory / needed))
        return 0

    def _bytes(self, runs: int) -> int:
        """Return the memory of a step of these runs, without the images."""
        order = self._orders([self.trainer.prepared.experiment.training.seed] * runs, 0)[0]
        program = self._program("train", self._stacked(runs), order)
        usage = program.memory_analysis()
        data = sum(array.nbytes for array in self._data)
        return int(
            usage.argument_size_in_bytes
            + usage.output_size_in_bytes
            - usage.alias_size_in_bytes
            + usage.temp_size_in_bytes
            - data
        )

    def is_faster(self, runs: int) -> bool:
        """Whether a step of all runs takes less time than the same steps one by one."""
        one, together = self._step_seconds(1), self._step_seconds(runs)
        _log.info("a step of one run: %.3g s; of %d runs: %.3g s", one, runs, together)
        return together < runs * one

    def _step_seconds(self, runs: int) -> float:
        order = self._orders([self.trainer.prepared.experiment.training.seed] * runs, 0)[0]
        state = self._stacked(runs)
        steps, seconds = 1, 0.0
        for _ in range(3):  # the first is slow, the second sets the steps of the measurement
            start = time.perf_counter()
            state, _ = self._advance("train", state, order, 0, steps)
            seconds = (time.perf_counter() - start) / steps
            steps = int(np.clip(_TRIAL_SECONDS / seconds, 1, order.shape[1]))
        return seconds

    def _stacked(self, runs: int) -> State:
        return _stack([self._current()] * runs)

    def initial_state(self, seeds: Sequence[int]) -> State:
        """Return the stacked state of new networks, one for each seed."""
        states = []
        for seed in seeds:
            self.trainer.network(seed)
            states.append(self._current())
        self.network.fresh_seed = None  # `load` sets trained weights later
        return _stack(states)

    def _current(self) -> State:
        model = self.network.training_model
        return (
            values(model.trainable_variables),
            values(model.non_trainable_variables),
            values(model.optimizer.variables),
            self._metrics,
        )

    def load(self, state: State) -> None:
        """Set the network's variables to the state of one run."""
        model = self.network.training_model
        kinds = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
        )
        for variables, arrays in zip(kinds, state, strict=False):  # metrics are not needed
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)

    def train_epoch(
        self, state: State, seeds: Sequence[int], epoch: int, display: Display
    ) -> tuple[State, dict[str, np.ndarray]]:
        """Train one epoch; return the new state and the mean metrics of each run."""
        return self._pass("train", state, self._orders(seeds, epoch), display)

    def validate(
        self, state: State, logs: dict[str, np.ndarray], display: Display
    ) -> tuple[State, dict[str, np.ndarray]]:
        """Add the metrics on the validation split, if there is one, to those of the training."""
        if not self._validation_batches:
            return state, logs
        state, validation = self._pass("test", state, self._validation_batches, display)
        return state, logs | {f"val_{name}": array for name, array in validation.items()}

    def _orders(self, seeds: Sequence[int], epoch: int) -> list[np.ndarray]:
        """Return an epoch's batches as each run would see them alone, as rows of the data."""
        rows = self.trainer.rows
        orders = [np.searchsorted(rows, epoch_order(rows, seed, epoch)) for seed in seeds]
        return self._batches(np.stack(orders).astype(np.int32))

    def _batches(self, order: np.ndarray) -> list[np.ndarray]:
        """Cut (..., images) into full batches and the rest: (..., batches, images) each."""
        full = order.shape[-1] // self.batch_size * self.batch_size
        parts = (
            order[..., :full].reshape(*order.shape[:-1], -1, self.batch_size),
            order[..., None, full:],
        )
        # Sorted within a batch as the loader does, so that dropout hits the same images.
        return [np.sort(part, axis=-1) for part in parts if part.size]

    def _pass(
        self, kind: str, state: State, orders: list[np.ndarray], display: Display
    ) -> tuple[State, dict[str, np.ndarray]]:
        """Go once through the batches; return the mean metrics."""
        runs = len(state[0][0])
        state = (*state[:3], [np.stack([array] * runs) for array in self._metrics])
        logs: dict[str, np.ndarray] = {}
        for order in orders:
            steps, size = order.shape[-2:]
            step = 0
            while step < steps:
                stop = min(steps, step + max(1, int(self._steps_per_call)))
                start = time.perf_counter()
                state, logs = self._advance(kind, state, order, step, stop)
                if kind == "train":
                    seconds = max(time.perf_counter() - start, 1e-6)
                    self._steps_per_call = (stop - step) * _CALL_SECONDS / seconds
                    display.step(runs * (stop - step) * size)
                step = stop
        return state, logs

    def _advance(
        self, kind: str, state: State, order: np.ndarray, start: int, stop: int
    ) -> tuple[State, dict[str, np.ndarray]]:
        """Take the steps from `start` to before `stop`; return the means of the pass so far."""
        program = self._program(kind, state, order)
        bounds = np.int32(start), np.int32(stop)
        state, logs = program(state, self._first_logs(state), order, *bounds, *self._data)
        return state, {name: np.asarray(array) for name, array in logs.items()}

    def _program(self, kind: str, state: State, order: np.ndarray) -> Any:
        """Return the program compiled for this number of runs and shape of batches."""
        import jax

        key = (kind, len(state[0][0]), order.shape)
        if key not in self._compiled:
            # Every run has its own order of training; validation has one order for all.
            axes = (0, 0, 0 if order.ndim == 3 else None, None, None, None, None)
            program = jax.jit(jax.vmap(self._loop(kind), axes), donate_argnums=(0,))
            bounds = np.int32(0), np.int32(0)
            arguments = (state, self._first_logs(state), order, *bounds, *self._data)
            self._compiled[key] = program.lower(*arguments).compile()
        return self._compiled[key]

    def _first_logs(self, state: State) -> dict[str, np.ndarray]:
        """Return metrics of each run in the types that a step returns."""
        runs = len(state[0][0])
        return {name: np.stack([value] * runs) for name, value in self._no_logs.items()}

    def _loop(self, kind: str) -> Callable[..., Any]:
        """Return the program for one run: many steps in a loop that is compiled as a whole."""
        import jax

        keras_step, depth, classes = self._steps[kind], self.preprocessing.depth, self.classes

        def loop(
            state: Any, logs: Any, order: Any, start: Any, stop: Any, pixels: Any, labels: Any
        ) -> Any:
            def step(number: Any, carry: Any) -> Any:
                rows = order[number]
                images = pixels[rows]
                if images.shape[-1] != depth:
                    images = images.repeat(depth, axis=-1)
                targets = jax.nn.one_hot(labels[rows], classes)
                logs, state = keras_step(carry[0], (images, targets))
                return state, logs

            return jax.lax.fori_loop(start, stop, step, (state, logs))

        return loop

    def _test_step(self, state: Any, data: Any) -> Any:
        trainable, others, optimizer, metrics = state
        step = self.network.training_model.test_step
        logs, (trainable, others, metrics) = step((trainable, others, metrics), data)
        return logs, (trainable, others, optimizer, metrics)


def _stack(states: Sequence[State]) -> State:
    kinds = [
        [np.stack(arrays) for arrays in zip(*kind, strict=True)]
        for kind in zip(*states, strict=True)
    ]
    return kinds[0], kinds[1], kinds[2], kinds[3]


def run_state(state: State, run: int) -> State:
    """Return the state of one run, copied from the device."""
    kinds = [[np.asarray(array[run]) for array in kind] for kind in state]
    return kinds[0], kinds[1], kinds[2], kinds[3]
