"""Outcome of one training."""

from __future__ import annotations

from dataclasses import dataclass

from cellvision.training.state import TrainingState


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """Outcome of one training.

    Attributes
    ----------
    history : list of dict
        One row per epoch, as in ``history.csv``.
    seconds : float
        Duration.
    images_per_second : float
        Training speed, without validation, and without the first epoch or, if there is no other,
        without its first batch, which also compiles.
    data_wait_fraction : float
        Fraction of training time spent waiting for data. An upper bound on GPUs, where Python
        runs ahead of the device.
    vectorized : int
        Number of runs trained as one program; times and speed refer to all of them.
    restarted_seeds : tuple of int
        Seeds whose networks were dead after the warm-up and were drawn again.
    interrupted : TrainingState or None
        State to resume from, if the training was interrupted.
    is_solved : bool
        Whether the weights were solved at once, as those of a frozen network, not in epochs.
    overruled_callback : bool
        Whether a callback of the recipe changed the weights at the end, and ``keep=best`` replaced
        them.
    """

    history: list[dict[str, float]]
    seconds: float
    images_per_second: float
    data_wait_fraction: float
    vectorized: int = 1
    restarted_seeds: tuple[int, ...] = ()
    interrupted: TrainingState | None = None
    is_solved: bool = False
    overruled_callback: bool = False
