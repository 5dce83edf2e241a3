"""A control that fails does not cost the study: it is finished without it, and retried."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

import cellvision as cv
from cellvision.cli.study import show

pytestmark = pytest.mark.slow

CONTROL = '''
"""A control of ours."""
from pathlib import Path
import cellvision as cv
from cellvision.statistics import ControlMeaning

class Mirror(cv.Control):
    """Trains on mirror images."""

    def meaning(self):
        return ControlMeaning("alternative explanation", "the mirror image")

    def change_image(self, pixels):
        if Path(__file__).with_name("fails").exists():
            raise ValueError("no mirror")
        return pixels[:, ::-1]

class NoPane(cv.errors.InvalidInput):
    """An error that is made from other values."""

    def __init__(self, number):
        super().__init__(f"no pane {number}")

class Pane(Mirror):
    """Fails with that error."""

    def change_image(self, pixels):
        raise NoPane(4)

class Eighth(cv.Control):
    """Trains on a channel that the images lack."""

    def meaning(self):
        return ControlMeaning("lower rung", "the eighth channel")

    def change_experiment(self, experiment):
        channels = experiment.preprocessing.model_copy(update={"channels": (7,)})
        return experiment.model_copy(update={"preprocessing": channels})

class Rusty(cv.Architecture):
    """Fails in the first step of its training, inside Keras."""

    def build(self, input_shape, classes):
        import keras

        layers = [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
        return keras.Sequential(layers)

    def recipe(self, plan):
        import keras

        class Rust(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                raise RuntimeError("rust")

        return cv.TrainingRecipe(keras.optimizers.SGD(0.1), callbacks=[Rust()])

class Unfit(Rusty):
    """Fails when it is built."""

    def build(self, input_shape, classes):
        raise KeyError("unfit")

class Old(cv.Control):
    """Trains a network that rusts."""

    architecture: str = "rusty"

    def meaning(self):
        return ControlMeaning("lower rung", "an old network")

    def change_experiment(self, experiment):
        network = cv.architectures.create(self.architecture)
        return experiment.model_copy(update={"architecture": network})

class Stops(Mirror):
    """Raises what must end a study."""

    error: str = "full"

    def change_image(self, pixels):
        if self.error == "full":
            raise OSError(28, "No space left on device")
        raise KeyboardInterrupt
'''


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # Images that another test has changed would be read from the cache.
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mirror.py").write_text(CONTROL)
    (tmp_path / "fails").touch()
    cv.load_plugins(tmp_path / "mirror.py")
    return "mirror"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_control_is_left_out_and_tried_again(
    images: Path,
    mirror: str,
    tmp_path: Path,
    workers: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "study"
    experiment = tiny.experiment(images, "perceptron", reporters=(cv.reporters.create("html"),))

    def study() -> cv.Study:
        wanted = [mirror, "intensity"]
        return cv.study(experiment, 2, folder, controls=wanted, workers=workers, progress=False)

    first = study()
    assert list(first.controls) == ["intensity"]
    assert first.verdicts[0].missing_controls.count(mirror) == 1
    (record,) = first.metadata.experiments
    assert list(record.failed_controls) == [mirror]
    assert "ValueError: no mirror" in record.failed_controls[mirror]
    warnings = [line for line in caplog.messages if "goes on without the control" in line]
    assert len(warnings) == 1
    assert "no mirror" in warnings[0]
    page = (folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert "(failed: " in page
    assert cv.load_study(folder).controls.keys() == {"intensity"}

    done = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/run.json")}
    (tmp_path / "fails").unlink()
    again = study()
    assert set(again.controls) == {mirror, "intensity"}
    assert len(again.controls[mirror]) == 2
    assert again.metadata.experiments[0].failed_controls == {}
    assert mirror not in again.verdicts[0].missing_controls
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_workers_send_a_plugins_own_error(images: Path, mirror: str, tmp_path: Path) -> None:
    study = cv.study(
        tiny.experiment(images, "perceptron"),
        *(2, tmp_path / "study"),
        controls=["pane"],
        workers=2,
        progress=False,
    )
    ((name, reason),) = study.metadata.experiments[0].failed_controls.items()
    assert name == "pane"
    assert "no pane 4" in reason


def test_a_control_with_an_impossible_experiment_is_left_out(
    images: Path, mirror: str, tmp_path: Path
) -> None:
    (tmp_path / "fails").unlink()
    study = cv.study(
        tiny.experiment(images, "perceptron"),
        *(1, tmp_path / "study"),
        controls=["eighth", mirror],
        progress=False,
    )
    assert list(study.controls) == [mirror]
    ((name, reason),) = study.metadata.experiments[0].failed_controls.items()
    assert name == "eighth"
    assert "channel" in reason


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("fault", ["rusty", "unfit"])
def test_any_error_of_the_training_of_a_control_leaves_the_others(
    images: Path,
    mirror: str,
    tmp_path: Path,
    workers: int,
    fault: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = cv.study(
        tiny.experiment(images, "perceptron", reporters=(cv.reporters.create("html"),)),
        *(2, tmp_path / "study"),
        controls=[cv.controls.create("old", architecture=fault), "intensity"],
        workers=workers,
        progress=False,
    )
    assert list(study.controls) == ["intensity"]
    assert len(study.runs) == 2
    ((name, reason),) = study.metadata.experiments[0].failed_controls.items()
    assert name == "old"
    assert {"rusty": "rust", "unfit": "unfit"}[fault] in reason
    (verdict,) = study.verdicts
    assert "old" in verdict.missing_controls
    page = (tmp_path / "study" / "reports" / "report.html").read_text(encoding="utf-8")
    assert "(failed: " in page
    show(study, str(tmp_path / "study"))
    output = capsys.readouterr().out
    assert "Controls not run: " in output
    assert "The control 'old' failed: " in output


@pytest.mark.parametrize("error", ["full", "interrupt"])
def test_full_disks_and_interrupts_end_a_study(
    images: Path, mirror: str, tmp_path: Path, error: str
) -> None:
    kind = {"full": cv.errors.FolderError, "interrupt": KeyboardInterrupt}[error]
    with pytest.raises(kind):
        cv.study(
            tiny.experiment(images, "perceptron"),
            *(1, tmp_path / "study"),
            controls=[cv.controls.create("stops", error=error)],
            progress=False,
        )
    assert (tmp_path / "study" / "runs" / "000" / "run.json").is_file()
    assert not (tmp_path / "study" / "study.json").exists()
