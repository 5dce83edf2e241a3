"""Several processes train one network; two processes here stand in for two machines."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import cli, errors
from cellvision.backends import distributed

pytestmark = pytest.mark.usefixtures("tiny_plugins")

# Run by every process. Only the first process of a training writes files.
SCRIPT = """
import json
from pathlib import Path
import tiny
import cellvision as cv
from cellvision import errors
root, number = Path({root!r}), {number}

def refusal(images, out, **settings):
    try:
        cv.train(tiny.experiment(images, **{{"batch_size": 6, **settings}}), out)
    except errors.CellvisionError as error:
        return error.what

messages = {{}}
with tiny.on_offer():
    if {total} > 1:
        messages["batch"] = refusal(root / "images", root / "refused", batch_size=5)
        messages["devices"] = refusal(root / "images", root / "refused", devices=3)
        messages["taken"] = refusal(root / "images", root / "taken")
        other = root / ("images" if number == 0 else "other")
        messages["other"] = refusal(other, root / "refused")
    experiment = tiny.experiment(
        root / "images", "mixed", augmenters=[{{"type": "flip"}}], batch_size=6, seed=1,
        epochs=4, keep="best", checkpoints=True,
    )
    run = cv.train(experiment, root / "run{total}")
print(json.dumps({{**messages, "accuracy": run.scores["test"].accuracy}}))
"""


def port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        number: int = server.getsockname()[1]
        return number


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The run of two processes, the run of one, and the output of all three processes."""
    root = tmp_path_factory.mktemp("processes")
    held_out = {"validation": {"dark": 4, "light": 4}, "test": {"dark": 4, "light": 5}}
    tiny.make_splits(root / "images", {"train": {"dark": 13, "light": 13}, **held_out})
    tiny.make_splits(root / "other", {"train": {"dark": 13, "light": 12}, **held_out})
    (root / "taken").mkdir()
    (root / "taken" / "notes.txt").write_text("mine")
    address = f"127.0.0.1:{port()}"

    def output(number: int, total: int) -> Any:
        variables = {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(total),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
        }
        script = SCRIPT.format(root=str(root), number=number, total=total)
        cache = str(root / f"cache{number}{total}")
        variables = variables if total > 1 else {}
        return tiny.json_of(script, KERAS_BACKEND="jax", CELLVISION_CACHE=cache, **variables)

    with ThreadPoolExecutor() as pool:
        return root, list(pool.map(output, (0, 1, 0), (2, 2, 1)))


@pytest.mark.exhaustive
def test_two_processes_train_like_one(trained: Any) -> None:
    root, outputs = trained
    two, one = cv.load_run(root / "run2"), cv.load_run(root / "run1")
    assert two.metadata.environment.processes == 2
    assert len(two.metadata.environment.device.split(", ")) == 2
    assert one.metadata.environment.processes == 1
    columns = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    np.testing.assert_allclose(two.history[columns], one.history[columns], rtol=1e-3)
    pairs = zip(two.model().get_weights(), one.model().get_weights(), strict=True)
    # Variances of batch normalization are far above 1.
    assert max(float((np.abs(a - b) / (1 + np.abs(b))).max()) for a, b in pairs) < 1e-4
    np.testing.assert_allclose(
        tiny.probabilities(two.predictions), tiny.probabilities(one.predictions), atol=1e-4
    )
    assert outputs[0]["accuracy"] == outputs[1]["accuracy"] == outputs[2]["accuracy"]


@pytest.mark.exhaustive
def test_only_the_first_process_writes_the_folder(trained: Any) -> None:
    root, _ = trained
    names = [{path.name for path in (root / name).iterdir()} for name in ("run1", "run2")]
    assert names[0] == names[1]
    assert len(list((root / "run2" / "checkpoints").iterdir())) == 4
    # Each process has its own cache, as on separate machines.
    assert {path.name for path in root.iterdir()} == {
        "images", "other", "taken", "run1", "run2", "cache02", "cache12", "cache01", "refused",
    }  # fmt: skip


@pytest.mark.exhaustive
def test_conflicts_are_refused_by_all_processes(trained: Any) -> None:
    first, second = trained[1][:2]
    assert first["batch"] == second["batch"]
    assert "2 processes cannot share a batch of 5" in first["batch"]
    assert "training.devices is 3, but there are 2 processes" in first["devices"]
    assert "notes.txt" in first["taken"]
    assert "the first process cannot write here" in second["taken"]
    assert first["other"] == second["other"]
    assert "not train on the same images" in first["other"]


def test_invalid_environments_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = tiny.experiment(tmp_path / "images")
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(errors.ExperimentError, match="JOB_ADDRESSES is not"):
        cv.train(experiment, tmp_path / "run")
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "127.0.0.1:1")
    for number in ("2", "-1", "first"):
        monkeypatch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", number)
        with pytest.raises(errors.ExperimentError, match="no such process"):
            cv.train(experiment, tmp_path / "run")
    monkeypatch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", "1")
    with pytest.raises(errors.ExperimentError, match="a study cannot be shared"):
        cv.study(experiment, 2, tmp_path / "study")
    if os.environ.get("KERAS_BACKEND") != "jax":
        cv.save_experiment(experiment, tmp_path / "experiment.json")
        with pytest.raises(SystemExit) as end:
            cli.main(["train", str(tmp_path / "experiment.json"), "--out", str(tmp_path / "run")])
        assert end.value.code == 2
        assert "needs the JAX backend, not tensorflow" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_first_process_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(distributed, "_TIMEOUT", 0.1)
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", f"127.0.0.1:{port()}")
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    monkeypatch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", "1")
    with pytest.raises(errors.CellvisionError, match="does not answer at 127"):
        cv.train(tiny.experiment(tmp_path / "images"), tmp_path / "run")
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "somewhere")
    with pytest.raises(errors.ExperimentError, match="not HOST:PORT"):
        cv.train(tiny.experiment(tmp_path / "images"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "jax", reason="tests the TensorFlow backend")
def test_tf_config_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    with pytest.raises(errors.ExperimentError, match="needs the JAX backend"):
        cv.train(tiny.experiment(tmp_path), tmp_path / "run")
