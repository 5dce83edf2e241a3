"""The live reporters: what TensorBoard and MLflow receive, read back from where they store it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import cellvision as cv
from cellvision import Artifact, errors
from cellvision.testing import ReporterChecks, example_experiment, example_plugins, write_images

pytestmark = pytest.mark.exhaustive

EPOCHS = "tensorboard/events.out.tfevents.0.epochs"
RESULTS = "tensorboard/events.out.tfevents.1.results"


@pytest.fixture(autouse=True, scope="module")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, example_plugins():
        patch.setenv("CELLVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("GIT_PYTHON_REFRESH", "quiet")
        yield


class Drawing(cv.Reporter):
    """Writes one figure."""

    def run(self, run: cv.Run, folder: Path) -> list[Artifact]:
        (path,) = write_images(folder / "images", ("a",), 1)
        target = path.rename(folder / "drawing.png")
        (folder / "images" / "a").rmdir()
        return [Artifact(target, "A drawing", "figure")]


@pytest.fixture(autouse=True, scope="module")
def _drawing() -> Iterator[None]:
    cv.reporters.register("drawing", Drawing)
    yield
    cv.reporters.unregister("drawing")


def experiment(*reporters: Any) -> cv.Experiment:
    return example_experiment(reporters=list(reporters))


def killed_training(folder: Path, experiment: cv.Experiment) -> None:
    """Train in a process that is killed just before it writes the model."""
    cv.save_experiment(experiment, folder / "experiment.json")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "import cellvision as cv\n"
        "from cellvision.testing import example_plugins\n"
        "replace = os.replace\n"
        "def kill(source, target):\n"
        "    if Path(target).name == 'model.keras':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    replace(source, target)\n"
        "os.replace = kill\n"
        "with example_plugins():\n"
        "    cv.train(cv.load_experiment(sys.argv[1]), sys.argv[2])\n"
    )
    words = [str(folder / "experiment.json"), str(folder / "run")]
    done = subprocess.run([sys.executable, "-c", script, *words], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    """A run that no reporter followed."""
    return cv.train(experiment(), tmp_path_factory.mktemp("alone") / "run")


@pytest.fixture
def store(tmp_path: Path) -> str:
    pytest.importorskip("mlflow", reason="cellvision-tracking[mlflow] is not installed")
    return (tmp_path / "mlruns").as_uri()


def events(file: Path) -> list[Any]:
    """Read an event file back by TensorFlow's own reader, which checks every checksum."""
    import tensorflow as tf

    return list(tf.compat.v1.train.summary_iterator(str(file)))


def numbers(file: Path) -> dict[tuple[int, str], float]:
    """By step and tag."""
    return {
        (event.step, value.tag): value.simple_value
        for event in events(file)
        for value in event.summary.value
        if value.WhichOneof("value") == "simple_value"
    }


def history_of(run: cv.Run) -> dict[tuple[int, str], float]:
    table = run.history.drop(columns="seconds").dropna(axis="columns", how="all")
    return {
        (int(row["epoch"]), str(name)): value
        for row in table.to_dict("records")
        for name, value in row.items()
        if name != "epoch"
    }


def runs_of(store: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    mlflow_experiment = client.get_experiment_by_name("cellvision")
    assert mlflow_experiment is not None
    return sorted(
        client.search_runs([mlflow_experiment.experiment_id]),
        key=lambda run: run.info.run_name or "",
    )


def curve_of(store: str, run: Any, name: str) -> dict[int, float]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    return {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)}


class TestTensorBoard(ReporterChecks):
    name = "tensorboard"


class TestMlflow(ReporterChecks):
    name = "mlflow"

    def settings(self, folder: Path) -> dict[str, Any]:
        pytest.importorskip("mlflow", reason="cellvision-tracking[mlflow] is not installed")
        return {"uri": (folder / "store").as_uri()}


# --- both --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_reporter_that_follows_a_run_is_a_copy(name: str, tmp_path: Path) -> None:
    reporter = cv.reporters.create(name)
    reporter.on_epoch_end(1, {"loss": 0.5})  # of no run: nothing is written
    follower = reporter.on_run_begin(tmp_path / "reports", experiment())
    assert follower is not reporter
    assert reporter == cv.reporters.create(name)
    assert pickle.loads(pickle.dumps(reporter)) == reporter
    assert list(tmp_path.iterdir()) == []
    assert not reporter.enabled_by_default


def test_names_and_numbers_are_plain() -> None:
    from cellvision_tracking.values import finite_numbers, flat_settings, plain_names

    assert flat_settings({"a": {"b": [1, None, {"c": "x"}]}}) == {"a.b.0": 1, "a.b.2.c": "x"}
    values = {"n": 3, "low": float("nan"), "method": "Wilson", "x": 0.5, "flag": True}
    assert finite_numbers(values) == {"n": 3.0, "x": 0.5}
    assert plain_names(["a/b", "a_b", "a:b"]) == {"a/b": "a_b", "a_b": "a_b_2", "a:b": "a_b_3"}


# --- TensorBoard -------------------------------------------------------------------------


class Watcher(cv.Reporter):
    """Reads the event file after each epoch."""

    seen: ClassVar[list[int]] = []
    file: ClassVar[Path]

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        self.seen.append(max(step for step, _ in numbers(self.file)))


def test_tensorboard_receives_every_epoch_during_training(tmp_path: Path) -> None:
    Watcher.file = tmp_path / "run" / "reports" / EPOCHS
    Watcher.seen.clear()
    cv.reporters.register("watcher", Watcher)
    try:
        run = cv.train(experiment("tensorboard", "watcher"), tmp_path / "run")
    finally:
        cv.reporters.unregister("watcher")
    assert Watcher.seen == [1, 2]
    expected = history_of(run)
    assert {name for _, name in expected} == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert numbers(run.folder / "reports" / EPOCHS) == pytest.approx(expected)


def test_tensorboard_has_the_results_and_figures_of_a_run(tmp_path: Path) -> None:
    run = cv.train(experiment("tensorboard", "drawing"), tmp_path / "run")
    file = run.folder / "reports" / RESULTS
    assert numbers(file)[2, "final/test/accuracy"] == pytest.approx(run.scores["test"].accuracy)
    values = [value for event in events(file) for value in event.summary.value]
    pictures = [value for value in values if value.WhichOneof("value") == "image"]
    assert [picture.tag for picture in pictures] == ["drawing"]
    assert pictures[0].image.encoded_image_string.startswith(b"\x89PNG")
    texts = [value.tensor.string_val[0].decode() for value in values if value.HasField("tensor")]
    assert str(run.folder / "model.keras") in "".join(texts)


def test_tensorboard_reports_again_and_on_runs_that_it_did_not_follow(
    alone: cv.Run, tmp_path: Path
) -> None:
    reporter = cv.reporters.create("tensorboard")
    paths = [sorted(each.path for each in reporter.run(alone, tmp_path)) for _ in range(2)]
    assert paths[0] == paths[1] == [tmp_path / EPOCHS, tmp_path / RESULTS]
    assert numbers(tmp_path / EPOCHS) == pytest.approx(history_of(alone))
    times = [event.wall_time for event in events(tmp_path / EPOCHS)][1:]
    assert times == sorted(times)


def test_tensorboard_keeps_the_runs_of_a_study_apart(tmp_path: Path) -> None:
    study = cv.study(experiment("tensorboard"), 2, tmp_path / "study")
    for run in study.runs:
        expected = pytest.approx(history_of(run))
        assert numbers(run.folder / "reports" / EPOCHS) == expected
        folder = study.folder / "reports" / "tensorboard" / run.folder.name
        assert numbers(folder / Path(EPOCHS).name) == expected
        scores = numbers(folder / Path(RESULTS).name)
        assert scores[2, "final/test/accuracy"] == pytest.approx(run.scores["test"].accuracy)
    first, second = study.runs
    assert history_of(first) != history_of(second)


def test_tensorboard_keeps_the_epochs_of_a_killed_run(tmp_path: Path) -> None:
    followed = experiment("tensorboard")
    killed_training(tmp_path, followed)
    assert {step for step, _ in numbers(tmp_path / "run" / "reports" / EPOCHS)} == {1, 2}
    # The same training starts again, and nothing of the first is left.
    run = cv.train(followed, tmp_path / "run")
    assert len(events(run.folder / "reports" / EPOCHS)) == 3
    assert numbers(run.folder / "reports" / EPOCHS) == pytest.approx(history_of(run))


# --- MLflow ------------------------------------------------------------------------------


def test_mlflow_receives_epochs_scores_settings_and_the_model(tmp_path: Path, store: str) -> None:
    reporter = {"type": "mlflow", "uri": store}
    run = cv.train(experiment("drawing", reporter), tmp_path / "run")
    (mlflow_run,) = runs_of(store)  # the run that was opened during training
    assert mlflow_run.info.run_name == "run"
    assert mlflow_run.info.status == "FINISHED"
    expected = {step: value for (step, name), value in history_of(run).items() if name == "loss"}
    assert curve_of(store, mlflow_run, "loss") == pytest.approx(expected)
    score = run.scores["test"].accuracy
    assert mlflow_run.data.metrics["final/test/accuracy"] == pytest.approx(score)
    assert mlflow_run.data.params["training.epochs"] == "2"
    assert mlflow_run.data.params["architecture.type"] == "synthetic_network"
    assert mlflow_run.data.tags["cellvision.model"] == str(run.folder / "model.keras")
    figures = Path(mlflow_run.info.artifact_uri.removeprefix("file://")) / "figures"
    assert [file.name for file in figures.iterdir()] == ["drawing.png"]
    assert [each.reporter for each in run.reports] == ["drawing", "mlflow"]


def test_mlflow_follows_the_training_and_a_killed_run_stays_open(
    tmp_path: Path, store: str
) -> None:
    followed = experiment({"type": "mlflow", "uri": store})
    killed_training(tmp_path, followed)
    (mlflow_run,) = runs_of(store)
    assert mlflow_run.info.status == "RUNNING"
    assert sorted(curve_of(store, mlflow_run, "loss")) == [1, 2]
    cv.train(followed, tmp_path / "run")
    assert sorted(run.info.status for run in runs_of(store)) == ["FINISHED", "RUNNING"]


class Stops(cv.Reporter):
    """Interrupts a training after its first epoch, once."""

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


def test_mlflow_goes_on_with_the_run_of_a_training_that_resumes(tmp_path: Path, store: str) -> None:
    cv.reporters.register("stops", Stops)
    try:
        followed = experiment({"type": "mlflow", "uri": store}, "stops")
        with pytest.raises(KeyboardInterrupt):
            cv.train(followed, tmp_path / "run")
        cv.train(followed, tmp_path / "run", resume=True)
    finally:
        cv.reporters.unregister("stops")
    (mlflow_run,) = runs_of(store)
    assert mlflow_run.info.status == "FINISHED"
    assert sorted(curve_of(store, mlflow_run, "loss")) == [1, 2]


def test_mlflow_puts_the_runs_of_a_study_below_one(tmp_path: Path, store: str) -> None:
    study = cv.study(experiment({"type": "mlflow", "uri": store}), 2, tmp_path / "study")
    parent, *runs = runs_of(store)
    assert [run.info.run_name for run in runs] == ["study/000", "study/001"]
    for mlflow_run, run in zip(runs, study.runs, strict=True):
        assert mlflow_run.info.status == "FINISHED"
        assert mlflow_run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert mlflow_run.data.params["training.seed"] == str(run.seed)
        score = run.scores["test"].accuracy
        assert mlflow_run.data.metrics["final/test/accuracy"] == pytest.approx(score)
        assert sorted(curve_of(store, mlflow_run, "loss")) == [1, 2]


def test_mlflow_reports_again_on_the_same_run(alone: cv.Run, tmp_path: Path, store: str) -> None:
    reporter = cv.reporters.create("mlflow", uri=store)
    folder = tmp_path / "reports"
    paths = [[each.path for each in reporter.run(alone, folder)] for _ in range(2)]
    assert paths[0] == paths[1] == [folder / "mlflow.json"]
    (mlflow_run,) = runs_of(store)
    assert sorted(curve_of(store, mlflow_run, "loss")) == [1, 2]


@pytest.mark.usefixtures("store")
def test_mlflow_writes_to_a_database(alone: cv.Run, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="cellvision-tracking[mlflow] is not installed")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    cv.reporters.create("mlflow", uri=uri).run(alone, tmp_path / "reports")
    (mlflow_run,) = runs_of(uri)
    assert sorted(curve_of(uri, mlflow_run, "loss")) == [1, 2]


def test_mlflow_without_a_server_is_an_error_that_spoils_nothing(
    tmp_path: Path,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = cv.train(experiment("mlflow"), tmp_path / "run")
    assert "MLFLOW_TRACKING_URI is not set" in caplog.text
    with pytest.raises(errors.ExperimentError, match="uri is missing"):
        cv.reporters.create("mlflow").run(run, tmp_path / "reports")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert cv.reporters.create("mlflow").run(run, tmp_path / "reports")
