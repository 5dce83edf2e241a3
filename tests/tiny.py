"""Tiny images, networks and augmenters with which the trainer's tests are quick.

``python -m tiny ...`` is the command line with them on offer, for tests that need a process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from python_path import TESTS, python_path

import cellvision as cv

if TYPE_CHECKING:
    import keras

SIDE = 32
BRIGHTNESS = {"dark": 60, "light": 120}


class Level(cv.Architecture):
    """Learns how bright an image is within a few steps."""

    width: int = 8

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        import keras
        from keras import layers

        stack = [
            keras.Input(input_shape),
            layers.GlobalAveragePooling2D(),
            layers.Dense(self.width, activation="relu"),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
        return keras.Sequential(stack, name="level")

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        return cv.TrainingRecipe(keras.optimizers.Adam(0.1))


class Mixed(cv.Architecture):
    """Has everything that a new run must reset: statistics, dropout, a schedule."""

    penalty: ClassVar[str | None] = None

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        import keras
        from keras import layers

        stack = [
            keras.Input(input_shape),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(
                classes, activation="softmax", dtype="float32", kernel_regularizer=self.penalty
            ),
        ]
        return keras.Sequential(stack, name="mixed")

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        schedule = keras.optimizers.schedules.InverseTimeDecay(0.05, 1, 0.3)
        return cv.TrainingRecipe(keras.optimizers.SGD(schedule, momentum=0.9))


class Penalised(Mixed):
    """Adds a penalty on weights to the loss, and an optimiser that ends with averages."""

    penalty: ClassVar[str | None] = "l2"
    averaging: ClassVar[dict[str, Any]] = {"use_ema": True, "ema_momentum": 0.5}

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        return cv.TrainingRecipe(
            keras.optimizers.SGD(0.05, 0.9, weight_decay=0.01, clipnorm=1.0, **self.averaging),
            metrics=[keras.metrics.AUC(name="auc", num_thresholds=50)],
        )


class NotAveraged(Penalised):
    """The same without averages."""

    averaging: ClassVar[dict[str, Any]] = {}


class Traced(Level):
    """Counts how often its training step is traced."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        import keras

        @keras.saving.register_keras_serializable(package="tiny")
        class Counter(keras.layers.Layer):  # type: ignore[misc]
            def call(self, x: Any, training: bool | None = None) -> Any:
                traces["training"] += bool(training)
                return x

        network = super().build(input_shape, classes)
        return keras.Sequential([keras.Input(input_shape), Counter(), *network.layers])


traces = {"training": 0}


class WrongShape(cv.Architecture):
    """Returns one output too many."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        return Level().build(input_shape, classes + 1)


class NoModel(cv.Architecture):
    """Returns no model."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        return "a network"  # type: ignore[return-value]


class Blackout(cv.Augmenter):
    """Hides every training image."""

    def build(self, seed: int) -> keras.layers.Layer:
        import keras

        class Black(keras.layers.Layer):  # type: ignore[misc]
            def call(self, x: Any, training: bool = False) -> Any:
                return x * 0.0 if training else x

        return Black(name="blackout")


class Listener(cv.Reporter):
    """Records epochs, and fails where `fails` says."""

    fails: tuple[str, ...] = ()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        heard.append((epoch, dict(logs), traces["training"]))
        if "interrupt" in self.fails:
            raise KeyboardInterrupt
        if "epoch" in self.fails:
            raise RuntimeError("no ink")

    def run(self, run: cv.Run, folder: Path) -> Sequence[cv.Artifact]:
        if "run" in self.fails:
            raise RuntimeError("no paper")
        path = folder / "heard.txt"
        path.write_text(str(len(heard)))
        return [cv.Artifact(path, "What the listener heard", "data")]

    def study(self, study: cv.Study, folder: Path) -> Sequence[cv.Artifact]:
        if "study" in self.fails:
            raise RuntimeError("no paper")
        return []


class StopOnce(cv.Reporter):
    """Interrupts the first training that reaches the epoch `after`."""

    after: int = 1

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        if epoch == self.after and not stopped:
            stopped.append(epoch)
            raise KeyboardInterrupt


class EarlyWriter(cv.Reporter):
    """Writes before the first epoch, and interrupts."""

    def on_run_begin(self, folder: Path, experiment: cv.Experiment) -> cv.Reporter:
        folder.mkdir(parents=True)
        (folder / "early.txt").write_text("early")
        raise KeyboardInterrupt


class Scaled(Level):
    """Has a registered custom layer, which multiplies by a factor of this module."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        import keras

        @keras.saving.register_keras_serializable(package="tiny")
        class Scale(keras.layers.Layer):  # type: ignore[misc]
            def call(self, x: Any) -> Any:
                return x * scale["factor"]

        network = super().build(input_shape, classes)
        return keras.Sequential([keras.Input(input_shape), Scale(), *network.layers])


scale = {"factor": 1.0}

stopped: list[int] = []

heard: list[tuple[int, dict[str, float], int]] = []

_OFFERED = (
    (cv.architectures, {"level": Level, "mixed": Mixed, "traced": Traced}),
    (cv.architectures, {"penalised": Penalised, "not-averaged": NotAveraged}),
    (cv.architectures, {"wrong-shape": WrongShape, "no-model": NoModel}),
    (cv.augmenters, {"blackout": Blackout}),
    (cv.architectures, {"scaled": Scaled}),
    (cv.reporters, {"listener": Listener, "stop-once": StopOnce, "early-writer": EarlyWriter}),
)


@contextmanager
def on_offer() -> Iterator[None]:
    """Register all of them for the duration of a block."""
    for registry, classes in _OFFERED:
        for name, cls in classes.items():
            registry.register(name, cls)
    try:
        yield
    finally:
        for registry, classes in _OFFERED:
            for name in classes:
                registry.unregister(name)


def pixels(level: float, seed: int, spread: float = 10) -> np.ndarray:
    """One grey image of a certain mean."""
    noise = np.random.default_rng(seed).normal(0, spread, (SIDE, SIDE))
    return np.clip(np.rint(level + noise), 0, 255).astype(np.uint8)


def write(path: Path, image: np.ndarray) -> Path:
    """Write an image as PNG or TIFF, as its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        from PIL import Image

        Image.fromarray(image).save(path)
    else:
        import tifffile

        tifffile.imwrite(path, image)
    return path


def make_folder(root: Path, count: int = 24, wells: int = 8) -> Path:
    """Write dark and light images, with their wells in groups.csv."""
    rows = ["file,well"]
    for number, (name, level) in enumerate(BRIGHTNESS.items()):
        for k in range(count):
            file = write(root / name / f"s{k}.png", pixels(level, 1000 * number + k))
            rows.append(f"{name}/{file.name},{name}{k % wells}")
    (root / "groups.csv").write_text("\n".join(rows) + "\n")
    return root


def make_splits(root: Path, counts: Mapping[str, Mapping[str, int]], swapped: str = "") -> Path:
    """Make named splits; in the one that is `swapped`, dark images are called light."""
    seed = 0
    for split, classes in counts.items():
        for name, count in classes.items():
            other = {"dark": "light", "light": "dark"}[name]
            level = BRIGHTNESS[other if split == swapped else name]
            for k in range(count):
                seed += 1
                write(root / split / name / f"s{k}.png", pixels(level, seed))
    return root


def experiment(path: Path, architecture: Any = "level", **settings: Any) -> cv.Experiment:
    """Make an experiment on a folder; settings of the training go by their own names."""
    rest = {
        key: settings.pop(key)
        for key in ("augmenters", "split", "reporters", "group")
        if key in settings
    }
    preprocessing = {"size": (16, 16), "channels": "gray", **settings.pop("preprocessing", {})}
    training = {"epochs": 3, "batch_size": 10, "precision": "float32", **settings}
    return cv.Experiment(
        dataset=cv.datasets.create("folder", path=path, group=rest.pop("group", None)),
        architecture=architecture,
        preprocessing=preprocessing,
        training=training,
        **{"reporters": (), **rest},
    )


def probabilities(table: Any) -> np.ndarray:
    """The probabilities of a table of predictions."""
    return table[[name for name in table.columns if name.startswith("p_")]].to_numpy()


def process(*words: str, **extra: str) -> subprocess.Popen[str]:
    """Start this module in a new process."""
    environment = {**os.environ, "PYTHONPATH": python_path(TESTS), "PYTHONUNBUFFERED": "1", **extra}
    return subprocess.Popen(
        [sys.executable, "-m", "tiny", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(*words: str, **extra: str) -> Iterator[subprocess.Popen[str]]:
    """Start this module in a new process, and end it when the block ends."""
    started = process(*words, **extra)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def json_of(script: str, **extra: str) -> Any:
    """Run a script in a new process and read the JSON on its last line."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": python_path(TESTS), **extra},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def _die_before(name: str) -> None:
    """Kill this process when a file of that name is about to appear."""
    replace = os.replace

    def killing(source: Any, target: Any) -> None:
        if Path(target).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = killing


if __name__ == "__main__":
    from cellvision.cli import main

    if "TINY_DIE_BEFORE" in os.environ:
        _die_before(os.environ["TINY_DIE_BEFORE"])
    with on_offer():
        main()
