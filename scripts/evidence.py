"""Measure how often the verdict is right where the truth is known.

``python scripts/evidence.py --out FOLDER`` runs the studies of every condition with 20 data seeds
each and prints a table of verdicts. ``--only NAME`` selects a condition, ``--seeds N`` and
``--first K`` other seeds. Finished studies in FOLDER are kept, so conditions can be measured in
parallel and combined afterwards.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
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

Condition = Callable[[int, Path], cv.Experiment]
"""Returns the experiment for a data seed, with its images in a folder."""


class SmallNetwork(cv.Architecture):
    """Three small convolutions, which learn 48×48 pixels within seconds."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network."""
        import keras
        from keras import layers

        stack = [keras.Input(input_shape)]
        for filters in (16, 16, 32):
            stack += [
                layers.Conv2D(filters, 3, padding="same", use_bias=False),
                # There are few steps, so the running statistics must adapt quickly.
                layers.BatchNormalization(momentum=0.7),
                layers.ReLU(),
                layers.MaxPooling2D(2),
            ]
        stack += [
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
        return keras.Sequential(stack, name="small_network")

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:  # noqa: ARG002
        """Train by Adam with rate 0.003."""
        import keras

        return cv.TrainingRecipe(keras.optimizers.Adam(3e-3))


class MemorisingNetwork(SmallNetwork):
    """A dense layer that can memorise a few images one by one."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network."""
        import keras
        from keras import layers

        stack = [
            keras.Input(input_shape),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
        return keras.Sequential(stack, name="memorising_network")

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:  # noqa: ARG002
        """Train by Adam with rate 0.001."""
        import keras

        return cv.TrainingRecipe(keras.optimizers.Adam(1e-3))


def experiment_on(
    dataset: cv.Dataset,
    architecture: str = "small_network",
    epochs: int = 12,
    allow_leak: bool = False,
) -> cv.Experiment:
    """Return the experiment on a data set."""
    return cv.Experiment(
        dataset=dataset,
        architecture=architecture,
        preprocessing=cv.Preprocessing(channels=(0, 1), size=(48, 48)),
        split=cv.Split(validation=0, test=0.4, allow_leak=allow_leak),
        training=cv.Training(epochs=epochs, batch_size=16, precision="float32"),
        reporters=(),
    )


def cells(strength: float, **settings: Any) -> Condition:
    """Synthetic cells without further changes."""

    def create(seed: int, _: Path) -> cv.Experiment:
        options = {**CELLS, "strength": strength, **settings}
        return experiment_on(cv.datasets.create("synthetic_cells", seed=seed, **options))

    return create


def leaking(shared: int, allowed: bool) -> Condition:
    """No phenotype, and copies of training images in the test set.

    `shared` source images of each class are on both sides; the test set has two more of each.
    """

    def create(seed: int, folder: Path) -> cv.Experiment:
        options = {**CELLS, "strength": 0.0, "fields": 8}
        data = cv.datasets.create("synthetic_cells", seed=seed, path=folder / "cells", **options)
        table = data.catalog()
        rows = []
        for image, label, group in zip(table["image"], table["label"], table["group"], strict=True):
            number = int(str(group).rpartition("_")[2])
            file = f"cells/tiles/{image}"
            rows.append((file, label, "test" if number >= 6 else "train", group))
            if number < shared:
                copy = folder / "copies" / image
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / file, copy)
                rows.append((f"copies/{image}", label, "test", group))
        with (folder / "images.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([("file", "label", "split", "group"), *rows])
        listed = cv.datasets.create("table", path=folder / "images.csv")
        return experiment_on(listed, "memorising_network", epochs=40, allow_leak=allowed)

    return create


CONDITIONS: dict[str, tuple[str, tuple[str, ...], Condition]] = {
    "learnable": ("strength 1", ("learned", "learned, open"), cells(1.0)),
    "nothing": ("strength 0", ("cannot tell", "memorised"), cells(0.0)),
    "shortcut": (
        "strength 0, background of one class raised",
        ("shortcut possible",),
        cells(0, shortcut=1),
    ),
    "leak": (
        "one source image of each class on both sides",
        ("refused",),
        leaking(1, allowed=False),
    ),
    "allowed": (
        "six source images of each class on both sides, leak allowed",
        ("suspicious", "refused"),
        leaking(6, allowed=True),
    ),
    "intensity": (
        "strength 1, phenotype aggregates",
        ("learned", "learned, open", "learned, no more"),
        cells(1.0, phenotype="aggregates"),
    ),
}
"""By name: a description, the correct verdicts, and the experiment."""


def verdict_word(name: str, seed: int, out: Path) -> str:
    """Run one study, unless it is finished, and return the word of its verdict."""
    folder = out / name / f"{seed:02d}"
    record = folder / "word.json"
    if record.is_file():
        return str(json.loads(record.read_text())["word"])
    folder.mkdir(parents=True, exist_ok=True)
    experiment = CONDITIONS[name][2](seed, folder)
    try:
        study = cv.study(experiment, RUNS, folder / "study", controls=CONTROLS, progress=False)
    except cv.errors.LeakError:
        content: dict[str, Any] = {"word": "refused"}
    else:
        verdict = study.verdicts[0]
        content = {"word": verdict.word, "verdict": verdict.model_dump(mode="json")}
    for model in folder.glob("study/runs/*/model.keras"):
        model.unlink()
    record.write_text(json.dumps(content, indent=1))
    return str(content["word"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the studies")
    parser.add_argument("--only", choices=CONDITIONS, action="append", help="one condition")
    parser.add_argument("--seeds", type=int, default=20, help="number of data seeds (20)")
    parser.add_argument("--first", type=int, default=0, help="first data seed (0)")
    options = parser.parse_args()
    os.environ.setdefault("CELLVISION_ODOMETER", "off")  # these test sets are drawn anew
    cv.architectures.register("small_network", SmallNetwork)
    cv.architectures.register("memorising_network", MemorisingNetwork)
    seeds = range(options.first, options.first + options.seeds)
    words: dict[str, Counter[str]] = {}
    for name in options.only or CONDITIONS:
        words[name] = Counter(verdict_word(name, seed, options.out) for seed in seeds)
        print(f"{name}: {dict(words[name])}", file=sys.stderr, flush=True)
    columns = sorted(set().union(*words.values()))
    print(f"| planted | correct | studies | {' | '.join(columns)} | wrong |")
    print("|---" * (len(columns) + 4) + "|")
    for name, counts in words.items():
        title, correct, _ = CONDITIONS[name]
        wrong = sum(count for word, count in counts.items() if word not in correct)
        numbers = [str(counts[word]) for word in columns]
        cells_of_row = (title, " or ".join(correct), str(len(seeds)), *numbers, str(wrong))
        print(f"| {' | '.join(cells_of_row)} |")


if __name__ == "__main__":
    main()
