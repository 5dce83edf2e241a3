"""What is planted, and the verdicts that are correct for it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cellvision as cv
from benchmarks.worlds.images import World, write_images

LEARNED = ("learned", "learned, open", "learned, no more")
NOTHING = ("cannot tell", "memorised")


@dataclass(frozen=True)
class Condition:
    """One row of the table.

    Attributes
    ----------
    title : str
        What is planted.
    correct : tuple of str
        Verdicts that are right.
    experiment : callable
        Returns the experiment for a data seed, with its images in a folder.
    explanation : str
        The control that does as well as any network here. A verdict may leave open whether the
        network does more; that is counted.
    """

    title: str
    correct: tuple[str, ...]
    experiment: Callable[[int, Path], cv.Experiment]
    explanation: str = ""


def experiment_on(dataset: cv.Dataset, *, allow_leak: bool = False) -> cv.Experiment:
    """Return the experiment: fixed wavelet features, of which the last layer is trained."""
    return cv.Experiment(
        dataset=dataset,
        architecture=cv.architectures.create("scattering"),
        preprocessing=cv.Preprocessing(channels=(0, 1), size=(48, 48)),
        split=cv.Split(validation=0, test=0.4, allow_leak=allow_leak),
        training=cv.Training(epochs=40, batch_size=16, precision="float32"),
        reporters=(),
    )


def plates(world: World) -> Callable[[int, Path], cv.Experiment]:
    """Wells on plates."""

    def create(seed: int, folder: Path) -> cv.Experiment:
        images = folder / "images"
        if not (images / "groups.csv").is_file():
            write_images(world, seed, images)
        dataset = cv.datasets.create("folder", path=images, group="well", batch="plate")
        return experiment_on(dataset)

    return create


def leaking(shared: int, *, allowed: bool) -> Callable[[int, Path], cv.Experiment]:
    """No phenotype, and copies of training images in the test set.

    `shared` wells of each class are on both sides; the test set has two more of each.
    """

    def create(seed: int, folder: Path) -> cv.Experiment:
        images = folder / "images"
        write_images(World(wells=8), seed, images)
        rows = [("file", "label", "split", "group")]
        for file in sorted(images.glob("*/*.tif")):
            label, number = file.parent.name, int(file.stem.split("_")[1])
            name = f"images/{label}/{file.name}"
            well = f"{label}_{number}"
            rows.append((name, label, "test" if number >= 6 else "train", well))
            if number < shared:
                copy = folder / "copies" / label / file.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
                rows.append((f"copies/{label}/{file.name}", label, "test", well))
        with (folder / "images.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(rows)
        listed = cv.datasets.create("table", path=folder / "images.csv")
        return experiment_on(listed, allow_leak=allowed)

    return create


CONDITIONS = {
    "phenotype": Condition(
        "phenotype (place of the aggregates); plates crossed with classes, with effects",
        LEARNED,
        plates(World(strength=1.0, plate_effect=0.3)),
    ),
    "nothing": Condition("nothing", NOTHING, plates(World())),
    "crossed": Condition(
        "nothing; plates crossed with classes, with effects",
        NOTHING,
        plates(World(plate_effect=0.3)),
    ),
    "unequal": Condition(
        "nothing; four fifths of each plate hold one class, plates with effects",
        (*NOTHING, "may be the batch"),
        plates(World(plate_effect=0.3, layout="80/20")),
    ),
    "nested": Condition(
        "nothing; each plate holds one class, plates with effects",
        ("class is batch",),
        plates(World(plate_effect=0.3, layout="nested")),
    ),
    "background": Condition(
        "background of one class raised",
        ("shortcut possible",),
        plates(World(background=1.0)),
        "background",
    ),
    "brightness": Condition(
        "phenotype (bright aggregates), which brightness reveals",
        LEARNED,
        plates(World(phenotype="aggregates", strength=1.0)),
    ),
    "leak": Condition(
        "nothing; one well of each class on both sides",
        ("refused",),
        leaking(1, allowed=False),
    ),
    "allowed": Condition(
        "nothing; six wells of each class on both sides, leak allowed",
        ("suspicious", "cannot tell"),
        leaking(6, allowed=True),
    ),
}
"""By name."""
