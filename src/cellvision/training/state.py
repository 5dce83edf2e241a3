"""State of a training after an epoch, from which an interrupted training resumes exactly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io, errors

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Everything that the next epoch depends on.

    The order of images depends on the seed and the epoch only, and all other randomness is in
    the variables of the model. Callbacks of an architecture's recipe keep their own state, which
    is not saved.

    Attributes
    ----------
    history : list of dict
        One row per finished epoch.
    restarted_seeds : tuple of int
        Seeds whose networks were dead and were drawn again.
    best_loss : float
        Lowest validation loss.
    since_best : int
        Epochs since then.
    model, optimizer : list of numpy.ndarray
        Variables of the training model and of its optimizer.
    best : list of numpy.ndarray
        Weights of the best epoch; empty unless they are kept.
    """

    history: list[dict[str, float]]
    restarted_seeds: tuple[int, ...]
    best_loss: float
    since_best: int
    model: list[np.ndarray]
    optimizer: list[np.ndarray]
    best: list[np.ndarray]

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    def restore(self, model: keras.Model) -> None:
        """Set the variables of a compiled training model and of its optimizer."""
        for variable, value in zip(model.variables, self.model, strict=True):
            variable.assign(value)
        for variable, value in zip(model.optimizer.variables, self.optimizer, strict=True):
            variable.assign(value)

    def save(self, path: Path) -> None:
        """Write the state to a file, whole or not at all."""
        arrays = {
            f"{kind}_{number:06d}": value
            for kind in ("model", "optimizer", "best")
            for number, value in enumerate(getattr(self, kind))
        }
        progress = {
            "history": self.history,
            "restarted_seeds": self.restarted_seeds,
            "best_loss": self.best_loss,
            "since_best": self.since_best,
        }
        with atomic_io.path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, progress=np.array(json.dumps(progress)), **arrays)

    @classmethod
    def load(cls, path: Path) -> TrainingState:
        """Read the state from a file.

        Raises
        ------
        errors.FolderError
            The file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                progress: dict[str, Any] = json.loads(str(archive["progress"]))
                arrays = {
                    kind: [archive[name] for name in sorted(archive.files) if name.startswith(kind)]
                    for kind in ("model_", "optimizer_", "best_")
                }
            return cls(
                progress["history"],
                tuple(progress["restarted_seeds"]),
                progress["best_loss"],
                progress["since_best"],
                *arrays.values(),
            )
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise errors.FolderError(
                f"{path}: the state of the interrupted training cannot be read: {error}",
                "Train again in another folder.",
            ) from error


def values(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copy variables from the device."""
    import keras

    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
