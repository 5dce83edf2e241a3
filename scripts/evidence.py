"""Measure how often the verdict is right where the truth is known.

``python scripts/evidence.py --out FOLDER`` makes the studies of every condition, 20 data seeds
each, and prints the table of ``docs/evidence.md``; ``--only NAME`` does one condition,
``--seeds N`` and ``--first K`` other seeds. Studies that are in FOLDER already are not made
again, so that conditions can be measured side by side and put together at the end.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellvision as cv

if TYPE_CHECKING:
    import keras

RUNS = 2
CONTROLS = ("permuted_groups", "background", "intensity")
CELLS = {"phenotype": "location", "fields": 24, "field_size": 96, "tiles": 4}


class Quick(cv.Architecture):
    """Three small convolutions: 48×48 pixels are learned within seconds."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Make the network."""
        import keras
        from keras import layers

        stack = [keras.Input(input_shape)]
        for filters in (16, 16, 32):
            stack += [
                layers.Conv2D(filters, 3, padding="same", use_bias=False),
                # Few steps: the running statistics must follow quickly.
                layers.BatchNormalization(momentum=0.7),
                layers.ReLU(),
                layers.MaxPooling2D(2),
            ]
        stack += [
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
        return keras.Sequential(stack, name="quick")

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:  # noqa: ARG002
        """Adam, in large steps."""
        import keras

        return cv.TrainingRecipe(keras.optimizers.Adam(3e-3))


class Remembering(Quick):
    """The same with a dense layer that can remember a few images one by one."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Make the network."""
        import keras
        from keras import layers

        stack = [
            keras.Input(input_shape),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
        return keras.Sequential(stack, name="remembering")

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:  # noqa: ARG002
        """Adam."""
        import keras

        return cv.TrainingRecipe(keras.optimizers.Adam(1e-3))


def asked(
    dataset: cv.Dataset, architecture: str = "quick", epochs: int = 12, allow_leak: bool = False
) -> cv.Experiment:
    """The experiment on a data set."""
    return cv.Experiment(
        dataset=dataset,
        architecture=architecture,
        preprocessing=cv.Preprocessing(channels=(0, 1), size=(48, 48)),
        split=cv.Split(validation=0, test=0.4, allow_leak=allow_leak),
        training=cv.Training(epochs=epochs, batch_size=16, precision="float32"),
        reporters=(),
    )


def cells(strength: float, **settings: Any) -> Callable[[int, Path], cv.Experiment]:
    """Synthetic cells as they come."""

    def make(seed: int, _: Path) -> cv.Experiment:
        options = {**CELLS, "strength": strength, **settings}
        return asked(cv.datasets.create("synthetic_cells", seed=seed, **options))

    return make


def leaking(fields: int, allowed: bool) -> Callable[[int, Path], cv.Experiment]:
    """No phenotype, and copies of training fields in the test set.

    `fields` of each class stand on both sides; the test set has two more of each.
    """

    def make(seed: int, folder: Path) -> cv.Experiment:
        options = {**CELLS, "strength": 0.0, "fields": 8}
        data = cv.datasets.create("synthetic_cells", seed=seed, path=folder / "cells", **options)
        table = data.catalog()
        rows = []
        for image, label, group in zip(table["image"], table["label"], table["group"], strict=True):
            number = int(str(group).rpartition("_")[2])
            file = f"cells/tiles/{image}"
            rows.append((file, label, "test" if number >= 6 else "train", group))
            if number < fields:
                copy = folder / "copies" / image
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / file, copy)
                rows.append((f"copies/{image}", label, "test", group))
        with (folder / "images.csv").open("w", newline="") as file_:
            csv.writer(file_).writerows([("file", "label", "split", "group"), *rows])
        listed = cv.datasets.create("table", path=folder / "images.csv")
        return asked(listed, "remembering", epochs=40, allow_leak=allowed)

    return make


CONDITIONS: dict[str, tuple[str, tuple[str, ...], Callable[[int, Path], cv.Experiment]]] = {
    "learnable": ("strength 1", ("learned",), cells(1.0)),
    "nothing": ("strength 0", ("cannot tell", "memorised"), cells(0.0)),
    "shortcut": ("strength 0, background of one class raised", ("shortcut",), cells(0, shortcut=1)),
    "leak": ("one field of each class on both sides", ("refused",), leaking(1, allowed=False)),
    "allowed": (
        "six fields of each class on both sides, leak allowed",
        ("suspicious", "refused"),
        leaking(6, allowed=True),
    ),
    "ruler": (
        "strength 1, phenotype aggregates",
        ("shortcut",),
        cells(1.0, phenotype="aggregates"),
    ),
}
"""By name: in words, the verdicts that are right, and how it is made."""


def measure(name: str, seed: int, out: Path) -> str:
    """Make one study, if it is not there yet, and give its verdict's word."""
    folder = out / name / f"{seed:02d}"
    told = folder / "word.json"
    if told.is_file():
        return str(json.loads(told.read_text())["word"])
    folder.mkdir(parents=True, exist_ok=True)
    experiment = CONDITIONS[name][2](seed, folder)
    try:
        study = cv.study(experiment, RUNS, folder / "study", controls=CONTROLS, progress=False)
        word, verdict = study.verdicts[0]["word"], study.verdicts[0]
    except cv.errors.LeakError:
        word, verdict = "refused", {}
    for model in folder.glob("study/runs/*/model.keras"):
        model.unlink()
    told.write_text(json.dumps({"word": word, "verdict": verdict}, indent=1))
    return str(word)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=CONDITIONS, action="append")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    cv.architectures.register("quick", Quick)
    cv.architectures.register("remembering", Remembering)
    seeds = range(given.first, given.first + given.seeds)
    words = ("learned", "cannot tell", "memorised", "suspicious", "shortcut", "refused")
    print(f"| planted | right | studies | {' | '.join(words)} | wrong |")
    print("|---" * (len(words) + 4) + "|")
    for name in given.only or CONDITIONS:
        title, right, _ = CONDITIONS[name]
        found = Counter(measure(name, seed, given.out) for seed in seeds)
        wrong = sum(count for word, count in found.items() if word not in right)
        counts = " | ".join(str(found[word]) for word in words)
        told = (title, " or ".join(right), str(len(seeds)), counts, str(wrong))
        print(f"| {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
