"""State of a training after an epoch, from which an interrupted training resumes exactly."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import atomic_io, errors
from cellvision.experiment import ABOUT_RECIPE
from cellvision.local_plugins import digests_of, raise_if_changed
from cellvision.migration import with_defaults
from cellvision.results.environment import plugin_requirements
from cellvision.results.resumed_images import say_moved, with_images_of
from cellvision.setting_differences import setting_differences

if TYPE_CHECKING:
    import keras

    from cellvision.data.prepared import PreparedData
    from cellvision.experiment import Experiment


_DAMAGE = (OSError, ValueError, LookupError, EOFError, TypeError)
"""What reading a damaged file may raise."""


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
    images : str or None
        Identifies the images, their labels and splits; None until it is saved.
    """

    history: list[dict[str, float]]
    restarted_seeds: tuple[int, ...]
    best_loss: float
    since_best: int
    model: list[np.ndarray]
    optimizer: list[np.ndarray]
    best: list[np.ndarray]
    images: str | None = None

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    def restore(self, model: keras.Model) -> None:
        """Set the variables of a compiled training model and of its optimizer."""
        try:
            for variable, value in zip(model.variables, self.model, strict=True):
                variable.assign(value)
            for variable, value in zip(model.optimizer.variables, self.optimizer, strict=True):
                variable.assign(value)
        except ValueError as error:
            raise errors.ResumeError(
                "the state of the interrupted training does not fit the network: "
                f"{errors.first_line(error)}",
                "Install the plugin versions of the run, or train again in another folder.",
            ) from error

    def save(self, path: Path, prepared: PreparedData) -> None:
        """Write the state, the settings and what identifies the images to a file atomically."""
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
            "experiment": prepared.experiment.model_dump(mode="json"),
            "plugins": plugin_requirements(prepared.experiment),
            "local_plugins": digests_of(prepared.experiment),
            "images": prepared.split_digest(),
        }
        with atomic_io.path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, progress=np.array(json.dumps(progress)), **arrays)

    @classmethod
    def load(cls, path: Path, experiment: Experiment) -> TrainingState:
        """Read the state of an experiment's training from a file in the folder of its run.

        Raises
        ------
        errors.ResumeError
            The file is missing or damaged, or another experiment was interrupted.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                progress: dict[str, Any] = json.loads(str(archive["progress"]))
                arrays = {
                    kind: [archive[name] for name in sorted(archive.files) if name.startswith(kind)]
                    for kind in ("model_", "optimizer_", "best_")
                }
            state = cls(
                progress["history"],
                tuple(progress["restarted_seeds"]),
                progress["best_loss"],
                progress["since_best"],
                arrays["model_"],
                arrays["optimizer_"],
                arrays["best_"],
                progress["images"],
            )
            recorded, local_plugins = progress["experiment"], progress["local_plugins"]
            plugins = progress.get("plugins", {})
        except (*_DAMAGE, zipfile.BadZipFile, zlib.error) as error:
            raise errors.ResumeError(
                f"{path}: the state of the interrupted training cannot be read: {error}",
                "Train again in another folder.",
            ) from error
        raise_if_changed(local_plugins, digests_of(experiment), path.parent, "run")
        recorded = with_defaults(recorded, plugins)
        moved = with_images_of(recorded, experiment.model_dump(mode="json"), plugins)
        _raise_if_other(moved, experiment, path.parent)
        if moved is not recorded:
            say_moved(moved, path.parent)
        return state


def raise_if_other_images(state: TrainingState, prepared: PreparedData, folder: Path) -> None:
    """Refuse to resume with other images, labels or splits: test images may have been trained on.

    Raises
    ------
    errors.ResumeError
        They have changed since the training was interrupted.
    """
    if state.images != prepared.split_digest():
        raise errors.ResumeError(
            f"{folder}: the images, their labels or their splits have changed since the training "
            "was interrupted",
            "Restore the images as they were then, or train again in another folder.",
        )


def _raise_if_other(recorded: Mapping[str, Any], experiment: Experiment, folder: Path) -> None:
    before, now = (
        {key: value for key, value in settings.items() if key not in ABOUT_RECIPE}
        for settings in (recorded, experiment.model_dump(mode="json"))
    )
    changed = setting_differences(before, now)
    if changed:
        raise errors.ResumeError(
            f"{folder}: the interrupted run has other settings ({changed})",
            "Resume with the same settings, or name another folder.",
        )


def values(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copy variables from the device."""
    import keras

    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
