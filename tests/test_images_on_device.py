"""Training on JAX with all images on the device equals training with batches that are sent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.training.images_on_device import _steps_together

# Trains in one process, and prints what only this process knows.
SCRIPT = """
import json
from dataclasses import replace
from pathlib import Path
import jax
import numpy as np
import keras
import tiny
import cellvision as cv
from cellvision.backends import devices
from cellvision.data.prepared import prepare_data
from cellvision.progress import Display
from cellvision.training.duration import DurationEstimate
from cellvision.training.images_on_device import keeps_images_on_device
from cellvision.training.trainer import Trainer

root, images = Path({root!r}), Path({images!r})
augmenters = [{{"type": "rotation", "degrees": 20}}, {{"type": "flip"}}]
stopping = {{"early_stopping": 1, "keep": "best", "checkpoints": True, "epochs": 4}}
cases = {{
    "plain": {{"architecture": "mixed", "augmenters": augmenters}},
    "rgb": {{"architecture": "penalised", "preprocessing": {{"channels": "rgb"}}, **stopping}},
    "labels": {{"augmenters": [{{"type": "mixup"}}], "ema": 0.9, "keep": "best"}},
    "left_over": {{"split": {{"validation": 0}}, "steps_per_execution": 3, "batch_size": 4}},
}}
with tiny.on_offer():
    for name, settings in cases.items():
        for on_device in (True, False):
            settings = {{"seed": 5, "batch_size": 7, "images_on_device": on_device, **settings}}
            out = root / f"{{name}}-{{on_device}}"
            cv.train(tiny.experiment(images, **settings), out, progress=False)

    # The pixels of the same images may change, as in a control.
    prepared = prepare_data(tiny.experiment(images, images_on_device=True, restarts=0))
    inverted = replace(prepared, pixels=255 - np.asarray(prepared.pixels))
    def losses(trainer):
        monitor = trainer.fit(0, Display(), lambda *_: None)[1]
        return [row["loss"] for row in monitor.history]
    trainer = Trainer(prepared)
    first, changed = losses(trainer), losses(trainer.on(inverted))
    again, alone = losses(trainer), losses(Trainer(inverted))
    left = [array.shape for array in jax.live_arrays() if array.shape == (18, 16, 16, 1)]

    estimates = []
    DurationEstimate.step = lambda *_: estimates.append("in the first epoch")
    brief = tiny.experiment(images, images_on_device=True, epochs=1, batch_size=4)
    Trainer(prepare_data(brief)).fit(0, Display(), lambda *_: None)

    chosen = {{}}
    for free in (10**9, 1000):
        devices.free_memory = lambda: free
        for accelerators in ([], ["cpu:0"]):
            devices.accelerators = lambda: accelerators
            auto = prepare_data(tiny.experiment(images))
            chosen[f"{{free}} {{len(accelerators)}}"] = keeps_images_on_device(auto, 24, ["cpu:0"])

print(json.dumps({{"losses": [first, changed, again, alone], "chosen": chosen, "left": left,
                  "estimates": estimates}}))
"""

CASES = ("plain", "rgb", "labels", "left_over")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    root = tmp_path_factory.mktemp("runs")
    images = tiny.make_folder(tmp_path_factory.mktemp("images"), count=18, wells=6)
    script = SCRIPT.format(root=str(root), images=str(images))
    return root, tiny.json_of(script, KERAS_BACKEND="jax")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_training_is_the_same(trained: tuple[Path, Any], case: str) -> None:
    """Batches, augmentation, dropout, the smaller last batch and the kept weights."""
    one, other = (cv.load_run(trained[0] / f"{case}-{on_device}") for on_device in (True, False))
    with tiny.on_offer():
        assert one.experiment.training.images_on_device is True
        assert len(one.history) == len(other.history)
        columns = [name for name in one.history.columns if name != "seconds"]
        np.testing.assert_allclose(one.history[columns], other.history[columns], rtol=1e-3)
        pairs = zip(one.model().get_weights(), other.model().get_weights(), strict=True)
        assert max(float(np.abs(a - b).max()) for a, b in pairs) < 1e-4
        first, second = (tiny.probabilities(run.predictions) for run in (one, other))
        np.testing.assert_allclose(first, second, atol=1e-3)


@pytest.mark.slow
def test_other_pixels_of_the_same_images_take_their_place(trained: tuple[Path, Any]) -> None:
    first, changed, again, alone = trained[1]["losses"]
    assert first == pytest.approx(again, rel=1e-5)
    assert changed == pytest.approx(alone, rel=1e-5)
    assert first != pytest.approx(changed, rel=1e-2)


@pytest.mark.slow
def test_images_leave_the_device_after_the_training(trained: tuple[Path, Any]) -> None:
    assert trained[1]["left"] == []


@pytest.mark.slow
def test_the_first_programs_of_an_epoch_say_nothing_of_its_length(
    trained: tuple[Path, Any],
) -> None:
    """The second one, a smaller batch, is compiled within the epoch."""
    assert trained[1]["estimates"] == []


@pytest.mark.slow
def test_images_stay_on_a_gpu_if_they_fit(trained: tuple[Path, Any]) -> None:
    assert trained[1]["chosen"] == {
        "1000000000 0": False, "1000000000 1": True, "1000 0": False, "1000 1": False,
    }  # fmt: skip


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "jax", reason="JAX keeps images on a device")
def test_only_jax_keeps_images_on_a_device(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=6, wells=3)
    with tiny.on_offer():
        experiment = tiny.experiment(images, images_on_device=True)
        with pytest.raises(errors.ExperimentError, match="needs the JAX backend and one device"):
            cv.train(experiment, tmp_path / "run", progress=False)


@pytest.mark.slow
def test_fused_max_pooling_equals_that_of_keras() -> None:
    """Outputs, gradients without ties, odd sizes and overlapping windows."""
    output = tiny.json_of(
        """
import json
import jax, keras, numpy as np
from cellvision.backends.fused_pooling import fuse_max_pooling

def results(fused, side, pool, strides):
    pooling = keras.layers.MaxPooling2D(pool, strides)
    model = keras.Sequential([keras.Input((side, side, 3)), pooling])
    if fused:
        fuse_max_pooling(model)
    x = np.random.default_rng(0).permutation(2 * side * side * 3).reshape(2, side, side, 3)
    weights = np.random.default_rng(1).random((2, *model.output_shape[1:]))
    loss = lambda x: (model(x) * weights).sum()
    x = jax.numpy.asarray(x, "float32")
    text = jax.jit(jax.grad(loss)).lower(x).as_text()
    return np.asarray(model(x)), np.asarray(jax.grad(loss)(x)), "select_and_scatter" in text

rows = []
for side, pool, strides in ((8, 2, None), (9, 3, None), (9, 2, None), (8, 3, 2)):
    stock, fused = (results(number, side, pool, strides) for number in (False, True))
    same = [bool(np.array_equal(a, b)) for a, b in zip(stock[:2], fused[:2])]
    rows.append([*same, fused[2]])
print(json.dumps(rows))
""",
        KERAS_BACKEND="jax",
    )
    assert [row[:2] for row in output] == [[True, True]] * 4
    assert [row[2] for row in output] == [False, False, True, True]


@pytest.mark.parametrize(
    ("full", "setting", "together"),
    [
        *((0, "auto", 1), (1, "auto", 1), (199, "auto", 199), (200, "auto", 200)),
        *((211, "auto", 105), (2550, "auto", 170), (100, 7, 7), (5, 7, 5)),
    ],
)
def test_programs_have_few_steps_left_over(full: int, setting: Any, together: int) -> None:
    assert _steps_together(full, setting) == together
