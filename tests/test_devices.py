"""Several devices share a training: two virtual processors stand in for two GPUs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tiny

from cellvision import errors
from cellvision.backends import devices

TWO = {
    "jax": "",
    "tensorflow": """
import tensorflow
processor = tensorflow.config.list_physical_devices("CPU")[0]
half = tensorflow.config.LogicalDeviceConfiguration()
tensorflow.config.set_logical_device_configuration(processor, [half, half])
""",
}

SCRIPT = """
import json
from pathlib import Path
import tiny
import cellvision as cv
from cellvision import errors
root = Path({root!r})
held_out = {{"validation": {{"dark": 4, "light": 4}}, "test": {{"dark": 4, "light": 5}}}}
even = tiny.make_splits(root / "even", {{"train": {{"dark": 13, "light": 13}}, **held_out}})
odd = tiny.make_splits(root / "odd", {{"train": {{"dark": 6, "light": 7}}, **held_out}})

def refusal(images, **settings):
    try:
        cv.train(tiny.experiment(images, **settings), root / "refused")
    except errors.ExperimentError as error:
        return error.what

with tiny.on_offer():
    one = cv.train(tiny.experiment(even, batch_size=6, seed=1), root / "one")
    study = cv.study(tiny.experiment(even, batch_size=6, devices=2), runs=2, out=root / "study")
    two = study.runs[1]
    again = tiny.probabilities(cv.predict(two, even / "test"))
    stored = tiny.probabilities(two.predictions[two.predictions["split"] == "test"])
    flip = [{{"type": "flip"}}]
    mixed = tiny.experiment(odd, "mixed", devices=2, epochs=2, batch_size=4, augmenters=flip)
    print(json.dumps({{
        "devices": [run.metadata.environment.device for run in (one, two)],
        "histories": [run.history.iloc[:, :-1].to_numpy().tolist() for run in (one, two)],
        "losses": [run.scores["test"].loss for run in (one, two)],
        "again": float(abs(again - stored).max()),
        "mixed": cv.train(mixed, root / "mixed").history["loss"].tolist(),
        "three": refusal(even, devices=3, batch_size=6),
        "uneven": refusal(even, devices=2, batch_size=5),
    }}))
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", sorted(TWO))
def test_two_devices_train_as_one_does(backend: str, tmp_path: Path) -> None:
    results = tiny.json_of(
        TWO[backend] + SCRIPT.format(root=str(tmp_path)),
        KERAS_BACKEND=backend,
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
        CELLVISION_CACHE=str(tmp_path / "cache"),
    )
    assert results["devices"] == ["cpu:0", "cpu:0, cpu:1"]
    # The same batches in the same order; only sums are added up in another one.
    one, two = results["histories"]
    np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5)
    assert results["losses"][1] == pytest.approx(results["losses"][0], rel=1e-3)
    assert results["again"] < 1e-5
    # Dropout, batch normalisation, an augmenter and an odd number of images are no obstacle.
    assert len(results["mixed"]) == 2
    assert np.isfinite(results["mixed"]).all()
    assert "is 3, but there are 2 devices" in results["three"]
    assert "batch of 5" in results["uneven"]


def test_auto_takes_as_many_accelerators_as_divide_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "accelerators", lambda: [f"gpu:{k}" for k in range(8)])
    assert devices.choose("auto", 32) == [f"gpu:{k}" for k in range(8)]
    assert len(devices.choose("auto", 20)) == 5
    assert devices.choose("auto", 7)[-1] == "gpu:6"
    assert devices.choose("cpu", 20) == ["cpu:0"]
    assert devices.choose(2, 20) == ["gpu:0", "gpu:1"]


def test_other_backends_train_on_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    monkeypatch.setattr(devices, "accelerators", lambda: ["gpu:0", "gpu:1"])
    assert devices.choose("auto", 20) == ["gpu:0"]
    with pytest.raises(errors.ExperimentError, match="torch backend"):
        devices.sharing(["gpu:0", "gpu:1"])


def test_one_processor_is_taken_where_there_is_no_accelerator() -> None:
    if devices.accelerators():
        pytest.skip("this machine has an accelerator")
    assert devices.choose("auto", 20) == ["cpu:0"]
    with pytest.raises(errors.ExperimentError, match=r"training\.devices=auto|there are"):
        devices.choose((os.cpu_count() or 1) + 1000, 20)


def test_retracing_warnings_of_tensorflow_do_not_reach_the_user() -> None:
    from cellvision.backends.startup import _is_no_retracing_warning

    text = "5 out of the last 5 calls to <f> triggered tf.function retracing. Tracing is expensive"
    for message, shown in ((text, False), ("The GPU has failed", True)):
        record = logging.LogRecord("tensorflow", logging.WARNING, "", 0, message, None, None)
        assert _is_no_retracing_warning(record) is shown


STARTS = {
    "a script": ("start_backend()", False),
    "a command": ("own_process(); start_backend()", True),
    "a worker of a study": ("local_worker.main(); start_backend()", True),
}


@pytest.mark.parametrize("process", STARTS)
def test_the_start_leaves_garbage_collection_as_it_was(process: str) -> None:
    """Only processes of cellvision itself exempt the imported packages from it."""
    start, exempts = STARTS[process]
    script = f"""
import gc, json, os, sys
from cellvision.backends.startup import own_process, start_backend
from cellvision.studies import local_worker
before = gc.isenabled(), gc.get_threshold()
answers = os.dup(1)
sys.stdin = open(os.devnull)  # a worker ends with its input
{start}
os.dup2(answers, 1)  # a worker has redirected it
print(json.dumps([before == (gc.isenabled(), gc.get_threshold()), gc.get_freeze_count()]))
"""
    is_unchanged, exempt = tiny.json_of(script)
    assert is_unchanged
    assert (exempt > 100_000) is exempts


@pytest.mark.parametrize("verb", ["train", "predict"])
def test_every_command_exempts_what_it_imports(verb: str) -> None:
    script = f"""
import json
from cellvision import cli
from cellvision.backends import startup
try:
    cli.main([{verb!r}, "--help"])
except SystemExit:
    print()
print(json.dumps(startup._owns_process))
"""
    assert tiny.json_of(script)
