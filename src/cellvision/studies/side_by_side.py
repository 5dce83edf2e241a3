"""Whether to train the runs of a study side by side, in worker processes of this machine.

One run of a small network does not keep all processors busy. Several at once can be faster, but a
worker takes seconds to start, and a network with long steps uses all processors anyway. So the
first run is trained alone. If enough work is left, workers train the next runs, and their speed
decides about the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cellvision import errors
from cellvision.component import nested_components
from cellvision.integers import as_int
from cellvision.local_plugins import local_file_of, raise_if_unreachable

if TYPE_CHECKING:
    from cellvision.results.run import Run
    from cellvision.studies.plan import PlannedRun

Workers = Literal["auto"] | int
"""Number of worker processes; ``"auto"`` chooses by a trial."""

_START_SECONDS = 15.0
"""Estimated seconds until workers have imported TensorFlow and compiled the network. One process
took 8 s (imports 5.9 s, tracing 1.8 s); several at once compete."""

_WORTH_STARTS = 10
"""A trial is made only if the remaining work takes this many times as long as starting workers."""

_LONGEST_STEP = 0.1
"""Seconds of a training step above which no trial is made, on the assumption that the operations
themselves keep several processors busy."""

_LEAST_GAIN = 1.1
"""Smallest gain in speed for which runs are trained side by side."""


@dataclass(frozen=True)
class FirstRun:
    """What the first run of a network, trained alone, says about the others.

    Attributes
    ----------
    images_per_second : float
        Its speed, without the first epoch.
    step_seconds : float
        Seconds for a step.
    seconds : float
        Seconds that another run takes.
    """

    images_per_second: float
    step_seconds: float
    seconds: float

    @classmethod
    def of(cls, run: Run, batch_size: int) -> FirstRun | None:
        """Read the speed of a run; None if it has fewer than two epochs or was vectorized."""
        timings = run.metadata.timings
        speed = timings.train_images_per_s
        if not speed or timings.vectorized > 1 or len(run.history) < 2:
            return None
        steady = float(run.history["seconds"].iloc[1:].mean())
        return cls(speed, batch_size / speed, steady * len(run.history))


@dataclass(frozen=True)
class Machine:
    """Resources of this machine.

    Attributes
    ----------
    processors : int
        Processors that this process may use.
    free_memory : int or None
        Bytes that workers may use; None if unknown.
    peak_memory : int or None
        Bytes that this process has used for the first run; None if unknown.
    start_seconds : float
        Seconds that workers need before they train, in addition to starting.
    """

    processors: int
    free_memory: int | None
    peak_memory: int | None
    start_seconds: float = 0.0


@dataclass(frozen=True)
class Choice:
    """How the remaining runs are trained.

    Attributes
    ----------
    workers : int
        Number of workers; 1 trains one run after the other in this process.
    reason : str
        Why, in one line for the user; empty if there was nothing to choose.
    """

    workers: int
    reason: str = ""


_NOTHING_TO_GAIN = Choice(1)


def workers_to_try(first: FirstRun | None, waiting: int, machine: Machine) -> Choice:
    """Choose the number of workers of a trial; 1 if a trial is not worth its time.

    Parameters
    ----------
    first
        The first run; None if its speed is unknown.
    waiting
        Number of runs that are left.
    machine
        This machine.

    Examples
    --------
    >>> first = FirstRun(images_per_second=2000, step_seconds=0.01, seconds=60)
    >>> workers_to_try(first, 11, Machine(4, 10**10, 10**9)).workers
    4
    >>> workers_to_try(first, 2, Machine(4, 10**10, 10**9)).workers
    1
    """
    if first is None or waiting < 2 or machine.processors < 2:
        return _NOTHING_TO_GAIN
    if first.seconds * waiting < _WORTH_STARTS * (_START_SECONDS + machine.start_seconds):
        return _NOTHING_TO_GAIN
    if first.step_seconds > _LONGEST_STEP:
        return Choice(
            1,
            f"one after the other: a step takes {first.step_seconds:.2g} s, long enough to use "
            "several processors",
        )
    if machine.free_memory is None or not machine.peak_memory:
        return Choice(1, "one after the other: this system does not say how much memory is free")
    fitting = machine.free_memory // machine.peak_memory
    if fitting < 2:
        return Choice(1, "one after the other: there is too little free memory for two workers")
    return Choice(balanced(waiting, min(machine.processors, fitting)))


def balanced(runs: int, most: int) -> int:
    """Return the fewest workers, up to `most`, that need as few rounds for all runs as `most`.

    Examples
    --------
    >>> balanced(12, most=8), balanced(3, most=8), balanced(11, most=2)
    (6, 3, 2)
    """
    rounds = -(-runs // most)
    return -(-runs // rounds)


def choose_after_trial(alone: float, side_by_side: list[float]) -> Choice:
    """Choose how to train the rest, from images per second.

    Parameters
    ----------
    alone
        Speed of a run trained alone.
    side_by_side
        Speeds of runs that trained at the same time, one per worker.

    Examples
    --------
    >>> choose_after_trial(1000, [700, 700]).reason
    '2 runs side by side: 1.4 times as fast as one after the other'
    """
    number, gain = len(side_by_side), sum(side_by_side) / alone
    if gain >= _LEAST_GAIN:
        return Choice(
            number, f"{number} runs side by side: {gain:.1f} times as fast as one after the other"
        )
    return Choice(
        1, f"one after the other: {number} runs side by side are {gain:.1f} times as fast"
    )


def checked_workers(workers: Workers, *, cluster: bool) -> Workers:
    """Return the number of workers as an int; refuse an impossible one.

    Parameters
    ----------
    workers
        The setting.
    cluster
        Whether a Dask cluster trains the runs.

    Raises
    ------
    errors.ExperimentError
        It is no positive number, or a cluster has its own workers.
    """
    if workers == "auto":
        return "auto"
    number = as_int(workers)
    if number is None or number < 1:
        raise errors.ExperimentError(
            f"workers: expected auto or a number from 1, not {workers!r}",
            "For example: --workers 2",
        )
    if cluster:
        raise errors.ExperimentError(
            "workers are processes of this machine, and a Dask cluster has its own",
            "Leave out --workers or --scheduler.",
        )
    return number


def raise_if_unavailable(run: PlannedRun) -> None:
    """Refuse a run with classes that a worker process of this machine could not import.

    Raises
    ------
    errors.ExperimentError
        A class is defined in this session, or registered in this process only.
    """
    settings = (run.experiment, run.component)
    raise_if_unreachable(settings)
    for component in nested_components(settings):
        cls = type(component)
        if local_file_of(cls) is None and cls in component.registry.registered().values():
            raise errors.ExperimentError(
                f"{component.registry.kind} {cls.__name__} is registered in this process only, so "
                "worker processes do not know it",
                "Put the class in a file that they can read: "
                "cv.load_plugins('./my_plugins.py') or plugins = [\"./my_plugins.py\"]",
            )
