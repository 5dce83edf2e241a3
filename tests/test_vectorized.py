"""Vectorized runs on JAX equal runs trained one by one."""

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

pytestmark = pytest.mark.exhaustive

# Trains each study in this process and prints what only this process knows.
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
augmenters = [{{"type": "rotation", "degrees": 20}}, {{"type": "flip"}}]
warnings = []

class ListHandler(logging.Handler):
    def emit(self, record):
        warnings.append(record.getMessage())

logging.getLogger("cellvision").addHandler(ListHandler())

def study(name, runs=3, architecture="mixed", seed=5, **settings):
    settings = {{"augmenters": augmenters, "batch_size": 7, "restarts": 0, **settings}}
    experiment = tiny.experiment(images, architecture, seed=seed, **settings)
    return cv.study(experiment, runs, root / name)

def memory_for_two(train):
    def limited(program, seeds, *rest):
        if len(seeds) > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return train(program, seeds, *rest)
    return limited

with tiny.on_offer():
    cv.study(cv.load_experiment(root / "killed.json"), 3, root / "killed")
    epochs = [epoch for epoch, *_ in tiny.heard]
    study("alone")
    stopping = {{"early_stopping": 1, "keep": "best", "checkpoints": True, "epochs": 4}}
    other = {{"preprocessing": {{"channels": "rgb"}}, **stopping}}
    study("stopped", architecture="not-averaged", vectorize=True, **other)
    study("stopped-alone", architecture="not-averaged", vectorize=False, **other)
    study("averaged", 2, "penalised", vectorize=True, **other)

    # Five runs; the estimate says that four fit in memory, but only two do.
    memory, train = vectorized._free_memory, vectorized._train_group
    vectorized._train_group = memory_for_two(train)
    needed = []
    fits = VectorizedProgram.runs_that_fit
    def memory_for_four(program, runs, memory):
        needed.append([program._bytes(number) for number in (4, runs)])
        return fits(program, runs, needed[0][0])
    VectorizedProgram.runs_that_fit = memory_for_four
    study("short", 5, "level", augmenters=[], epochs=1, vectorize=True)
    VectorizedProgram.runs_that_fit, vectorized._train_group = fits, train
    vectorized._free_memory = lambda: 0
    study("none", 2, "level", augmenters=[], epochs=1, vectorize=True)
    vectorized._free_memory = memory

    larger = {{"preprocessing": {{"size": (64, 64)}}}}
    study("solved", 2, "scattering", augmenters=[], vectorize=True, **larger)

    for name, vectorize in (("restarted", True), ("restarted-alone", False)):
        study(name, 2, "level", augmenters=[], epochs=1, vectorize=vectorize, restarts=1)

    # By default on a GPU, if a trial shows that it is faster.
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

output = {{"epochs": epochs, "two": two, "seconds": seconds, "warnings": warnings}}
print(json.dumps({{**output, "needed": needed[0]}}))
"""


def weights(run: cv.Run) -> list[np.ndarray]:
    return run.model().get_weights()


def largest_difference(first: cv.Run, second: cv.Run) -> float:
    """Return the largest difference of weights, relative to the largest of each array."""
    pairs = zip(weights(first), weights(second), strict=True)
    return max(float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) for a, b in pairs)


def runs_in_program(run: cv.Run) -> int:
    return run.metadata.timings.vectorized


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"), count=18, wells=6)


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Any]:
    """All studies, trained in two processes; the first was killed during training."""
    root = tmp_path_factory.mktemp("studies")
    augmenters = [{"type": "rotation", "degrees": 20}, {"type": "flip"}]
    with tiny.on_offer():
        experiment = tiny.experiment(
            images, "mixed", augmenters=augmenters, seed=5, batch_size=7, vectorize=True,
            restarts=0, reporters=[{"type": "listener"}],
        )  # fmt: skip
        cv.save_experiment(experiment, root / "killed.json")
    arguments = ["study", str(root / "killed.json"), "--runs", "3", "--out", str(root / "killed")]
    process = tiny.process(*arguments, KERAS_BACKEND="jax", TINY_DIE_BEFORE="model.keras")
    _, stderr = process.communicate()
    assert process.returncode == -signal.SIGKILL, stderr
    lines = [line for line in stderr.splitlines() if "epoch" in line]
    histories = sorted(path.parent.name for path in (root / "killed/runs").glob("*/history.csv"))
    assert histories == ["000", "001", "002"]
    output = tiny.json_of(
        SCRIPT.format(root=str(root), images=str(images)),
        KERAS_BACKEND="jax",
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )
    return root, lines, output


def test_each_run_equals_a_single_training(trained: Any) -> None:
    """With dropout, batch normalisation, a schedule, augmenters and a smaller last batch."""
    root, _, _ = trained
    joint, alone = (cv.load_study(root / name) for name in ("killed", "alone"))
    assert [runs_in_program(run) for run in joint.runs] == [3, 3, 3]
    assert [runs_in_program(run) for run in alone.runs] == [1, 1, 1]
    for one, other in zip(joint.runs, alone.runs, strict=True):
        assert one.metadata.counts["train"]["dark"] * 2 % 7
        assert largest_difference(one, other) < 1e-4
        columns = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
        np.testing.assert_allclose(
            one.history[columns], other.history[columns], rtol=1e-3, atol=1e-6
        )
        assert one.metadata.seed == other.metadata.seed
        for split, score in one.scores.items():
            assert score.loss == pytest.approx(other.scores[split].loss, rel=1e-3)
    assert largest_difference(joint.runs[0], joint.runs[1]) > 1e-2


def test_each_run_has_a_complete_folder(trained: Any) -> None:
    root, lines, output = trained
    with tiny.on_offer():
        for run in cv.load_study(root / "killed").runs:
            assert {path.name for path in run.folder.iterdir()} == {
                "run.json", "history.csv", "predictions.csv", "provenance.csv", "model.keras",
                "audit.json", "sketches.npy",
            }  # fmt: skip
            assert run.experiment.training.seed == run.metadata.seed
            stored = run.model_input(list(run.predictions["image"])).astype("float32")
            predicted = np.asarray(run.model().predict(stored, verbose=0))
            np.testing.assert_allclose(predicted, tiny.probabilities(run.predictions), atol=1e-5)
    assert output["epochs"] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len(lines) == 3
    assert lines[0].startswith("3 runs together (seeds 5 to 7)  epoch 1/3  loss ")


def test_each_run_has_its_early_stopping_best_epoch_and_checkpoints(trained: Any) -> None:
    """With a weight penalty, and grey images as RGB."""
    root, _, _ = trained
    joint, alone = (cv.load_study(root / name) for name in ("stopped", "stopped-alone"))
    assert [runs_in_program(run) for run in joint.runs] == [3, 3, 3]
    lengths = [len(run.history) for run in joint.runs]
    assert min(lengths) < 4
    for one, other in zip(joint.runs, alone.runs, strict=True):
        assert len(one.history) == len(other.history)
        further = ["auc", "val_auc"]
        np.testing.assert_allclose(one.history[further], other.history[further], atol=0.02)
        assert largest_difference(one, other) < 1e-3  # rounding grows over four epochs
        checkpoints = [
            sorted(path.name for path in run.folder.glob("checkpoints/*")) for run in (one, other)
        ]
        assert checkpoints[0] == checkpoints[1]
        assert len(checkpoints[0]) == len(one.history)


def test_averaged_weights_that_are_validated_are_trained_one_by_one(trained: Any) -> None:
    root, _, output = trained
    assert [runs_in_program(run) for run in cv.load_study(root / "averaged").runs] == [1, 1]
    assert any("Moving averages of the weights" in warning for warning in output["warnings"])


def test_a_dead_network_is_restarted_alone(trained: Any) -> None:
    root, _, _ = trained
    joint, alone = (cv.load_study(root / name) for name in ("restarted", "restarted-alone"))
    assert [runs_in_program(run) for run in joint.runs] == [1, 2]
    restarted = [run.metadata.restarted_seeds for run in joint.runs]
    assert [len(seeds) for seeds in restarted] == [1, 0]
    assert restarted == [run.metadata.restarted_seeds for run in alone.runs]
    for one, other in zip(joint.runs, alone.runs, strict=True):
        assert largest_difference(one, other) < 1e-4


def test_a_network_that_is_solved_is_not_trained_in_epochs(trained: Any) -> None:
    for run in cv.load_study(trained[0] / "solved").runs:
        assert run.metadata.solved
        assert runs_in_program(run) == 1


def test_memory_limits_the_runs_per_program(trained: Any) -> None:
    root, _, output = trained
    short, none = (cv.load_study(root / name) for name in ("short", "none"))
    four, five = output["needed"]
    assert 0 < four < five
    # Four should fit, so the plan was groups of three and two; only two did fit.
    assert [runs_in_program(run) for run in short.runs] == [2, 2, 2, 2, 1]
    assert [runs_in_program(run) for run in none.runs] == [1, 1]
    assert [text for text in output["warnings"] if "memory" in text] == [
        "Too little device memory for 3 runs at once: trying 2.",
        "Too little device memory for several runs: training them one by one.",
    ]
    assert [run.metadata.seed for run in short.runs] == [5, 6, 7, 8, 9]
    # The groups make no difference, not even with Adam.
    pairs = list(zip(short.runs, none.runs, strict=False))
    assert len(pairs) == 2
    assert max(largest_difference(*pair) for pair in pairs) < 1e-4


def test_auto_vectorizes_on_an_accelerator_if_that_is_faster(trained: Any) -> None:
    root, _, output = trained
    for name, expected in (("alone", 1), ("faster", 2), ("slower", 1)):
        assert {runs_in_program(run) for run in cv.load_study(root / name).runs} == {expected}
    assert "needs one device, not 2" in output["two"]
    assert all(0 < value < 60 for value in output["seconds"].values())


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "jax", reason="JAX can vectorize")
def test_another_backend_is_refused(images: Path, tmp_path: Path) -> None:
    with tiny.on_offer():
        experiment = tiny.experiment(images, vectorize=True)
        with pytest.raises(errors.ExperimentError, match="JAX backend") as caught:
            cv.study(experiment, runs=2, out=tmp_path / "study")
    assert "KERAS_BACKEND=jax" in caught.value.hint
