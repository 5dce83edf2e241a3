"""Trainings that fail after an epoch: the weights are kept, and --resume finishes the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.results.claimed_folder import MARK, RESUME
from cellvision.training.state import TrainingState
from cellvision.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("tiny_plugins")

obstacles: list[Path] = []
"""What stands where a file of the run is to be written; removed by the test."""


class Obstructs(cv.Reporter):
    """Puts a folder where the run's predictions will be written."""

    def on_run_begin(self, folder: Path, experiment: cv.Experiment) -> cv.Reporter:
        if not obstacles:
            obstacles.append(folder.parent / "predictions.csv")
        return self

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        for path in obstacles:
            path.mkdir(exist_ok=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(autouse=True)
def _obstructs() -> Iterator[None]:
    cv.reporters.register("obstructs", Obstructs)
    obstacles.clear()
    yield
    cv.reporters.unregister("obstructs")


SETTINGS = {
    "best epoch": {"epochs": 3, "keep": "best"},
    "moving averages": {"epochs": 3, "keep": "last", "ema": 0.9},
    "early stopping": {"epochs": 50, "early_stopping": 1, "learning_rate": 1.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SETTINGS)
def test_a_training_whose_results_could_not_be_written_resumes(
    case: str, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings: dict[str, Any] = {**SETTINGS[case], "augmenters": [{"type": "flip"}]}
    whole = cv.train(tiny.experiment(images, "mixed", **settings), tmp_path / "whole")
    folder = tmp_path / "run"
    experiment = tiny.experiment(images, "mixed", reporters=[{"type": "obstructs"}], **settings)
    with pytest.raises(errors.CellvisionError, match=r"predictions\.csv"):
        cv.train(experiment, folder)
    epochs = len(whole.history)
    assert not (folder / "model.keras").exists()  # the state has the weights
    assert f"training is kept up to epoch {epochs} in {folder}" in caplog.text
    with pytest.raises(errors.FolderError, match="interrupted run") as caught:
        cv.train(experiment, folder)
    assert "--resume" in caught.value.hint
    with pytest.raises(
        errors.ResumeError, match=r"other settings \(training\.epochs is 51, and was"
    ):
        cv.train(
            tiny.experiment(images, "mixed", **{**settings, "epochs": 51}), folder, resume=True
        )
    obstacles.pop().rmdir()
    obstacles.append(tmp_path / "unused")
    resumed = cv.train(experiment, folder, resume=True)
    assert not resumed.interrupted
    assert list(resumed.history["epoch"]) == list(range(1, epochs + 1))
    assert resumed.metadata.kept_epoch == whole.metadata.kept_epoch
    assert resumed.predictions.equals(whole.predictions)
    assert not (folder / RESUME).exists()
    assert not (folder / MARK).exists()


def test_a_state_that_could_not_be_saved_is_named(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    obstacles.extend(tmp_path / "run" / name for name in ("predictions.csv", RESUME))
    experiment = tiny.experiment(images, epochs=1, reporters=[{"type": "obstructs"}])
    with pytest.raises(errors.CellvisionError, match=r"predictions\.csv"):
        cv.train(experiment, tmp_path / "run")
    assert "--resume will not be possible" in caplog.text
    assert "The same command trains from the beginning." in caplog.text
    assert not (tmp_path / "run" / "model.keras").exists()
    assert RESUME in caplog.text


def test_an_interrupt_after_the_last_epoch_keeps_the_training(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny.experiment(images, epochs=2)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "predict", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"kept up to epoch 2 .* --resume"):
            cv.train(experiment, tmp_path / "run")
    run = cv.train(experiment, tmp_path / "run", resume=True)
    assert len(run.history) == 2


def test_other_images_are_not_resumed_on(tmp_path: Path) -> None:
    folder = tiny.make_folder(tmp_path / "images")
    stopping = [{"type": "stop-once", "after": 1}]
    experiment = tiny.experiment(folder, epochs=2, reporters=stopping)
    tiny.stopped.clear()
    with pytest.raises(KeyboardInterrupt):
        cv.train(experiment, tmp_path / "run")
    image = min(folder.rglob("*.png"))
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(errors.ResumeError, match="images, their labels or their splits"):
        cv.train(experiment, tmp_path / "run", resume=True)
    image.write_bytes(content)
    assert not cv.train(experiment, tmp_path / "run", resume=True).interrupted


@pytest.mark.parametrize("damage", ["cut", "flipped", "list"])
def test_a_damaged_state_is_named(damage: str, tmp_path: Path) -> None:
    path = tmp_path / RESUME
    np.savez(path, progress=np.array("[1]"), model_000000=np.zeros(99))
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-30]
    elif damage == "flipped":
        content[40:120] = bytes(80)
    path.write_bytes(content)
    experiment = tiny.experiment(tmp_path)
    with pytest.raises(errors.FolderError, match=r"\.resume\.npz: the state .* cannot be read"):
        TrainingState.load(path, experiment)


def test_a_folder_with_other_files_is_named_once(images: Path) -> None:
    with pytest.raises(errors.FolderError) as caught:
        cv.train(tiny.experiment(images), images)
    assert str(caught.value).count("\n") == 1
    assert "permissions" not in str(caught.value)


def test_a_training_that_fails_in_its_first_epoch_leaves_a_free_folder(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = tiny.experiment(images, epochs=1)

    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr("cellvision.training.trainer.keras_fit", fails)
        with pytest.raises(MemoryError):
            cv.train(experiment, tmp_path / "run")
    assert not cv.train(experiment, tmp_path / "run").interrupted
