"""Vectorized runs on JAX equal runs that are trained alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors

# Together or not, each is a study of its own; the last lines tell what only their process knows.
SCRIPT = """
import json, logging
from pathlib import Path
import jax
import tiny
import cellvision as cv
from cellvision import errors
from cellvision.backends import devices
from cellvision.studies import vectorized
from cellvision.studies.vectorized_program import VectorizedProgram

root, images = Path({root!r}), Path({images!r})
varied = [{{"type": "rotation", "degrees": 20}}, {{"type": "flip"}}]
warned = []

class Kept(logging.Handler):
    def emit(self, record):
        warned.append(record.getMessage())

logging.getLogger("cellvision").addHandler(Kept())

def study(name, runs=3, architecture="mixed", seed=5, **settings):
    made = {{"augmenters": varied, "batch_size": 7, **settings}}
    asked = tiny.experiment(images, architecture, seed=seed, **made)
    return cv.study(asked, runs, root / name)

def memory_for_two(train):
    def only_two(program, seeds, *rest):
        if len(seeds) > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return train(program, seeds, *rest)
    return only_two

with tiny.on_offer():
    cv.study(cv.load_experiment(root / "killed.json"), 3, root / "killed")
    heard = [epoch for epoch, *_ in tiny.heard]
    study("alone")
    held = {{"early_stopping": 1, "keep": "best", "checkpoints": True, "epochs": 4}}
    other = {{"architecture": "penalised", "preprocessing": {{"channels": "rgb"}}, **held}}
    study("held", vectorize=True, **other)
    study("held-alone", vectorize=False, **other)

    # Five runs with memory for four by the plan, and for two in truth.
    memory, train = vectorized._free_memory, vectorized._train_group
    vectorized._train_group = memory_for_two(train)
    needed = []
    fits = VectorizedProgram.runs_that_fit
    def four(program, runs, memory):
        needed.append([program._bytes(number) for number in (4, runs)])
        return fits(program, runs, needed[0][0])
    VectorizedProgram.runs_that_fit = four
    study("short", 5, "level", augmenters=[], epochs=1, vectorize=True)
    VectorizedProgram.runs_that_fit, vectorized._train_group = fits, train
    vectorized._free_memory = lambda: 0
    study("none", 2, "level", augmenters=[], epochs=1, vectorize=True)
    vectorized._free_memory = memory

    # By itself, where there is a GPU, if a trial shows that it is faster.
    accelerators, devices.accelerators = devices.accelerators, lambda: ["cpu:0"]
    seconds = {{}}
    measure = VectorizedProgram._step_seconds
    def measured(program, runs):
        seconds[runs] = measure(program, runs)
        return 1.0 if runs == 1 else faster
    VectorizedProgram._step_seconds = measured
    faster = 1.9
    study("faster", 2, "level", augmenters=[], epochs=1, precision="float32")
    faster = 2.1
    study("slower", 2, "level", augmenters=[], epochs=1, precision="float32")

    devices.accelerators = accelerators
    try:
        study("two", devices=2, batch_size=6, vectorize=True)
    except errors.ExperimentError as error:
        two = error.what

found = {{"heard": heard, "two": two, "seconds": seconds, "warned": warned}}
print(json.dumps({{**found, "needed": needed[0]}}))
"""


def weights(run: cv.Run) -> list[np.ndarray]:
    return run.model().get_weights()


def differ(first: cv.Run, second: cv.Run) -> float:
    pairs = zip(weights(first), weights(second), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def is_together(run: cv.Run) -> int:
    return run.metadata.timings.vectorized


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"), count=18, wells=6)


@pytest.fixture(scope="module")
def shown(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Any]:
    """All studies, made in two processes; the first was killed while it trained."""
    root = tmp_path_factory.mktemp("studies")
    varied = [{"type": "rotation", "degrees": 20}, {"type": "flip"}]
    with tiny.on_offer():
        asked = tiny.experiment(
            images, "mixed", augmenters=varied, seed=5, batch_size=7, vectorize=True,
            reporters=[{"type": "listener"}],
        )  # fmt: skip
        cv.save_experiment(asked, root / "killed.json")
    words = ["study", str(root / "killed.json"), "--runs", "3", "--out", str(root / "killed")]
    started = tiny.process(*words, KERAS_BACKEND="jax", TINY_DIE_BEFORE="model.keras")
    _, told = started.communicate()
    assert started.returncode == -signal.SIGKILL, told
    lines = [line for line in told.splitlines() if "epoch" in line]
    histories = sorted(path.parent.name for path in (root / "killed/runs").glob("*/history.csv"))
    assert histories == ["000", "001", "002"]
    found = tiny.json_of(
        SCRIPT.format(root=str(root), images=str(images)),
        KERAS_BACKEND="jax",
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )
    return root, lines, found


def test_each_run_equals_a_single_training(shown: Any) -> None:
    """Dropout, batch normalisation, a schedule, augmenters and a last batch of fewer images."""
    root, _, _ = shown
    joint, alone = (cv.load_study(root / name) for name in ("killed", "alone"))
    assert [is_together(run) for run in joint.runs] == [3, 3, 3]
    assert [is_together(run) for run in alone.runs] == [1, 1, 1]
    for one, other in zip(joint.runs, alone.runs, strict=True):
        assert one.metadata.counts["train"]["dark"] * 2 % 7
        assert differ(one, other) < 1e-4
        columns = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
        np.testing.assert_allclose(one.history[columns], other.history[columns], rtol=1e-3)
        assert one.metadata.seed == other.metadata.seed
        for split, score in one.scores.items():
            assert score.loss == pytest.approx(other.scores[split].loss, rel=1e-3)
    assert differ(joint.runs[0], joint.runs[1]) > 1e-2


def test_each_run_has_its_complete_folder(shown: Any) -> None:
    root, lines, found = shown
    with tiny.on_offer():
        for run in cv.load_study(root / "killed").runs:
            assert {path.name for path in run.folder.iterdir()} == {
                "run.json", "history.csv", "predictions.csv", "provenance.csv", "model.keras",
                "audit.json",
            }  # fmt: skip
            assert run.experiment.training.seed == run.metadata.seed
            stored = run.model_input(list(run.predictions["image"])).astype("float32")
            again = np.asarray(run.model().predict(stored, verbose=0))
            np.testing.assert_allclose(again, tiny.probabilities(run.predictions), atol=1e-5)
    assert found["heard"] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len(lines) == 3
    assert lines[0].startswith("3 runs together (seeds 5 to 7)  epoch 1/3  loss ")


def test_each_run_has_its_early_stopping_best_epoch_and_checkpoints(shown: Any) -> None:
    """With a penalty on weights, an optimiser that averages them, and grey images as colour."""
    root, _, _ = shown
    joint, alone = (cv.load_study(root / name) for name in ("held", "held-alone"))
    assert [is_together(run) for run in joint.runs] == [3, 3, 3]
    lengths = [len(run.history) for run in joint.runs]
    assert min(lengths) < 4
    for one, other in zip(joint.runs, alone.runs, strict=True):
        assert len(one.history) == len(other.history)
        assert differ(one, other) < 1e-4
        kept = [
            sorted(path.name for path in run.folder.glob("checkpoints/*")) for run in (one, other)
        ]
        assert kept[0] == kept[1]
        assert len(kept[0]) == len(one.history)


def test_memory_limits_the_runs_that_train_together(shown: Any) -> None:
    root, _, found = shown
    short, none = (cv.load_study(root / name) for name in ("short", "none"))
    four, five = found["needed"]
    assert 0 < four < five
    # The plan was three and two, for four fit and groups are even; what came was less.
    assert [is_together(run) for run in short.runs] == [2, 2, 2, 2, 1]
    assert [is_together(run) for run in none.runs] == [1, 1]
    assert [text for text in found["warned"] if "memory" in text] == [
        "3 runs at once are too many for the device's memory: trying 2.",
        "The device's memory is too small for several runs: they go one by one.",
    ]
    assert [run.metadata.seed for run in short.runs] == [5, 6, 7, 8, 9]
    # And it makes no difference, with Adam neither.
    assert [differ(*pair) < 1e-4 for pair in zip(short.runs, none.runs, strict=False)] == [True] * 2


def test_auto_vectorizes_on_an_accelerator_if_that_is_faster(shown: Any) -> None:
    root, _, found = shown
    for name, expected in (("alone", 1), ("faster", 2), ("slower", 1)):
        assert {is_together(run) for run in cv.load_study(root / name).runs} == {expected}
    assert "one device, not on 2" in found["two"]
    assert all(0 < value < 60 for value in found["seconds"].values())


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "jax", reason="JAX can do it")
def test_another_backend_is_refused(images: Path, tmp_path: Path) -> None:
    with tiny.on_offer():
        asked = tiny.experiment(images, vectorize=True)
        with pytest.raises(errors.ExperimentError, match="JAX backend") as caught:
            cv.study(asked, runs=2, out=tmp_path / "study")
    assert "KERAS_BACKEND=jax" in caught.value.hint
