"""The live reporters: what TensorBoard and MLflow are told, read back from where they keep it."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.testing import ReporterChecks

pytest.importorskip("cellvision_tracking", reason="cellvision-tracking is not installed")

EPOCHS = "tensorboard/events.out.tfevents.0.epochs"
RESULTS = "tensorboard/events.out.tfevents.1.results"


@pytest.fixture(autouse=True, scope="module")
def _plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, tiny.on_offer():
        patch.setenv("CELLVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("GIT_PYTHON_REFRESH", "quiet")
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def alone(images: Path, tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    """A run that nobody followed."""
    return cv.train(tiny.experiment(images), tmp_path_factory.mktemp("alone") / "run")


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
    experiment = client.get_experiment_by_name("cellvision")
    assert experiment is not None
    return sorted(
        client.search_runs([experiment.experiment_id]), key=lambda run: run.info.run_name or ""
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
def test_a_reporter_that_follows_a_run_is_a_copy(name: str, images: Path, tmp_path: Path) -> None:
    reporter = cv.reporters.create(name)
    reporter.on_epoch_end(1, {"loss": 0.5})  # of no run: nobody is told
    told = reporter.on_run_begin(tmp_path / "reports", tiny.experiment(images))
    assert told is not reporter
    assert reporter == cv.reporters.create(name)
    assert pickle.loads(pickle.dumps(reporter)) == reporter
    assert list(tmp_path.iterdir()) == []
    assert not reporter.enabled_by_default


# --- TensorBoard -------------------------------------------------------------------------


def test_tensorboard_is_told_of_every_epoch_while_the_network_trains(
    images: Path, tmp_path: Path
) -> None:
    seen = []

    def look(epoch: int, logs: Any) -> None:
        seen.append(max(step for step, _ in numbers(tmp_path / "run" / "reports" / EPOCHS)))

    class Watcher(cv.Reporter):
        """Looks at the file after each epoch."""

        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            look(epoch, logs)

    cv.reporters.register("watcher", Watcher)
    try:
        asked = tiny.experiment(
            images, reporters=["tensorboard", "watcher"], split={"validation": 0.2}
        )
        run = cv.train(asked, tmp_path / "run")
    finally:
        cv.reporters.unregister("watcher")
    assert seen == [1, 2, 3]
    expected = history_of(run)
    assert {name for _, name in expected} == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert numbers(run.folder / "reports" / EPOCHS) == pytest.approx(expected)


def test_tensorboard_has_the_results_and_figures_of_a_run(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("cellvision_reporters", reason="cellvision-reporters is not installed")
    run = cv.train(tiny.experiment(images, reporters=["curves", "tensorboard"]), tmp_path / "run")
    found = numbers(run.folder / "reports" / RESULTS)
    assert found[3, "final/test/accuracy"] == pytest.approx(run.scores["test"].accuracy)
    values = [v for event in events(run.folder / "reports" / RESULTS) for v in event.summary.value]
    pictures = [v for v in values if v.WhichOneof("value") == "image"]
    assert pictures[0].image.encoded_image_string.startswith(b"\x89PNG")
    texts = [v.tensor.string_val[0].decode() for v in values if v.HasField("tensor")]
    assert str(run.folder / "model.keras") in "".join(texts)


def test_tensorboard_reports_again_and_on_runs_that_it_did_not_follow(
    alone: cv.Run, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    made = [sorted(cv.reporters.create("tensorboard").run(alone, folder)) for _ in range(2)]
    assert made[0] == made[1] == [folder / EPOCHS, folder / RESULTS]
    assert numbers(folder / EPOCHS) == pytest.approx(history_of(alone))
    times = [event.wall_time for event in events(folder / EPOCHS)][1:]
    assert times == sorted(times)


def test_tensorboard_keeps_the_runs_of_a_study_apart(images: Path, tmp_path: Path) -> None:
    study = cv.study(tiny.experiment(images, reporters=["tensorboard"]), 2, tmp_path / "study")
    for run in study.runs:
        expected = pytest.approx(history_of(run))
        assert numbers(run.folder / "reports" / EPOCHS) == expected
        of_run = study.folder / "reports" / "tensorboard" / run.folder.name
        assert numbers(of_run / Path(EPOCHS).name) == expected
        found = numbers(of_run / Path(RESULTS).name)
        assert found[3, "final/test/accuracy"] == pytest.approx(run.scores["test"].accuracy)
    first, second = study.runs
    assert history_of(first) != history_of(second)


def test_tensorboard_keeps_what_a_killed_run_told(images: Path, tmp_path: Path) -> None:
    asked = tiny.experiment(images, reporters=["tensorboard"])
    cv.save_experiment(asked, tmp_path / "experiment.json")
    words = ("train", str(tmp_path / "experiment.json"), "--out", str(tmp_path / "run"))
    killed = tiny.process(*words, TINY_DIE_BEFORE="model.keras")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert {step for step, _ in numbers(tmp_path / "run" / "reports" / EPOCHS)} == {1, 2, 3}
    # The same command again starts anew, and nothing of the first is left.
    run = cv.train(asked, tmp_path / "run")
    assert len(events(run.folder / "reports" / EPOCHS)) == 4
    assert numbers(run.folder / "reports" / EPOCHS) == pytest.approx(history_of(run))


# --- MLflow ------------------------------------------------------------------------------


def test_mlflow_is_told_of_epochs_scores_settings_and_the_model(
    images: Path, tmp_path: Path, store: str
) -> None:
    pytest.importorskip("cellvision_reporters", reason="cellvision-reporters is not installed")
    reporter = {"type": "mlflow", "uri": store}
    run = cv.train(tiny.experiment(images, reporters=["curves", reporter]), tmp_path / "run")
    (found,) = runs_of(store)
    assert found.info.run_name == "run"
    assert found.info.status == "FINISHED"
    expected = {step: value for (step, name), value in history_of(run).items() if name == "loss"}
    assert curve_of(store, found, "loss") == pytest.approx(expected)
    score = run.scores["test"].accuracy
    assert found.data.metrics["final/test/accuracy"] == pytest.approx(score)
    assert found.data.params["training.epochs"] == "3"
    assert found.data.params["architecture.type"] == "level"
    assert found.data.tags["cellvision.model"] == str(run.folder / "model.keras")
    figures = Path(found.info.artifact_uri.removeprefix("file://")) / "figures"
    assert [file.suffix for file in figures.iterdir()] == [".png"]


def test_mlflow_is_told_while_the_network_trains_and_a_killed_run_stays_open(
    images: Path, tmp_path: Path, store: str
) -> None:
    asked = tiny.experiment(images, reporters=[{"type": "mlflow", "uri": store}])
    cv.save_experiment(asked, tmp_path / "experiment.json")
    words = ("train", str(tmp_path / "experiment.json"), "--out", str(tmp_path / "run"))
    killed = tiny.process(*words, TINY_DIE_BEFORE="model.keras")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    (found,) = runs_of(store)
    assert found.info.status == "RUNNING"
    assert sorted(curve_of(store, found, "loss")) == [1, 2, 3]
    cv.train(asked, tmp_path / "run")
    assert sorted(run.info.status for run in runs_of(store)) == ["FINISHED", "RUNNING"]


def test_mlflow_puts_the_runs_of_a_study_below_one(
    images: Path, tmp_path: Path, store: str
) -> None:
    asked = tiny.experiment(images, reporters=[{"type": "mlflow", "uri": store}])
    study = cv.study(asked, 2, tmp_path / "study")
    parent, *runs = runs_of(store)
    assert [run.info.run_name for run in runs] == ["study/000", "study/001"]
    for found, run in zip(runs, study.runs, strict=True):
        assert found.info.status == "FINISHED"
        assert found.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert found.data.params["training.seed"] == str(run.metadata.seed)
        score = run.scores["test"].accuracy
        assert found.data.metrics["final/test/accuracy"] == pytest.approx(score)
        assert sorted(curve_of(store, found, "loss")) == [1, 2, 3]


def test_mlflow_reports_again_on_the_same_run(alone: cv.Run, tmp_path: Path, store: str) -> None:
    reporter = cv.reporters.create("mlflow", uri=store)
    folder = tmp_path / "made"
    made = [list(reporter.run(alone, folder)) for _ in range(2)]
    assert made[0] == made[1] == [folder / "mlflow.json"]
    (found,) = runs_of(store)
    assert sorted(curve_of(store, found, "loss")) == [1, 2, 3]


@pytest.mark.usefixtures("store")
def test_mlflow_takes_a_data_base(alone: cv.Run, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="cellvision-tracking[mlflow] is not installed")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    cv.reporters.create("mlflow", uri=uri).run(alone, tmp_path / "made")
    (found,) = runs_of(uri)
    assert sorted(curve_of(uri, found, "loss")) == [1, 2, 3]


def test_mlflow_without_a_place_is_an_error_that_spoils_nothing(
    images: Path,
    tmp_path: Path,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = cv.train(tiny.experiment(images, reporters=["mlflow"]), tmp_path / "run")
    assert "MLFLOW_TRACKING_URI is not set" in caplog.text
    with pytest.raises(errors.ExperimentError, match="no uri"):
        cv.reporters.create("mlflow").run(run, tmp_path / "made")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert cv.reporters.create("mlflow").run(run, tmp_path / "made")
