"""Images of synthetic cells in wells on plates, as files with known truth."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile

import cellvision as cv

CLASSES = ("control", "treated")

OFFSET = 100.0
"""Dark level of the simulated camera, in counts."""

FULL_SCALE = 4095
"""Largest value of the simulated camera."""

Layout = Literal["crossed", "80/20", "nested"]
"""Which wells a plate holds: half of each class, four fifths of one class, or one class."""


@dataclass(frozen=True)
class World:
    """What is planted in the images.

    Attributes
    ----------
    phenotype : str
        Difference between the classes, as in the data set ``synthetic_cells``.
    strength : float
        Its strength; 0 means that nothing is planted.
    background : float
        Fraction by which the background of one class is raised.
    plate_effect : float
        Standard deviation of the logarithm of the plates' brightness; haze grows with it.
    layout : str
        Which wells a plate holds.
    wells : int
        Wells of each class.
    plates : int
        Number of plates.
    """

    phenotype: Literal["aggregates", "location"] = "location"
    strength: float = 0.0
    background: float = 0.0
    plate_effect: float = 0.0
    layout: Layout = "crossed"
    wells: int = 20
    plates: int = 4


def write_images(world: World, seed: int, folder: Path) -> None:
    """Write ``folder/<class>/*.tif`` and ``folder/groups.csv``, with the columns well and plate."""
    cells = cv.datasets.create(
        "synthetic_cells",
        path=folder.with_name(folder.name + "_cells"),
        seed=seed,
        phenotype=world.phenotype,
        strength=world.strength,
        shortcut=world.background,
        fields=world.wells,
        field_size=96,
        tiles=4,
    )
    rng = np.random.default_rng([seed, 1])
    plate_of = assign_plates(world, rng)
    # Brightness of each plate and channel, and haze in counts.
    gain = np.exp(rng.normal(0.0, world.plate_effect, (world.plates, 2)))
    haze = np.abs(rng.normal(0.0, 200.0 * world.plate_effect, (world.plates, 2)))
    rows = [("file", "well", "plate")]
    table = cells.catalog()
    for image, label, field in zip(table["image"], table["label"], table["group"], strict=True):
        number = int(str(field).rpartition("_")[2])
        plate = plate_of[CLASSES.index(label)][number]
        name = f"{label}/{Path(image).stem}.tif"
        counts = cells.read(image).astype(np.float64) - OFFSET
        counts = OFFSET + counts * gain[plate] + haze[plate]
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        planes = np.clip(np.rint(counts), 0, FULL_SCALE).astype(np.uint16).transpose(2, 0, 1)
        tifffile.imwrite(file, planes, photometric="minisblack", metadata=None)
        rows.append((name, f"{label}_{number:02d}", f"plate_{plate}"))
    with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def write_fixed_split(
    world: World, seed: int, folder: Path, training_wells: int, stray: float = 0.0
) -> Path:
    """Write images, and a table that trains on the first `training_wells` wells of each class.

    The others are held out; a share `stray` of them carries the other class's label.
    """
    images = folder / "images"
    write_images(world, seed, images)
    rng = np.random.default_rng([seed, 3])
    held_out = np.arange(world.wells) >= training_wells
    strays = {label: held_out & (rng.random(world.wells) < stray) for label in CLASSES}
    rows = [("file", "label", "split", "group")]
    for file in sorted(images.glob("*/*.tif")):
        true, number = file.parent.name, int(file.stem.split("_")[1])
        label = CLASSES[CLASSES.index(true) ^ int(strays[true][number])]
        split = "test" if held_out[number] else "train"
        rows.append((f"images/{true}/{file.name}", label, split, f"{true}_{number}"))
    table = folder / "images.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return table


def assign_plates(world: World, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the plate of each well, for each class.

    Even plates hold most wells of the first class, odd plates most wells of the second.
    """
    share = {"crossed": 0.5, "80/20": 0.8, "nested": 1.0}[world.layout]
    half = np.arange(world.plates // 2)
    own = round(share * world.wells)
    plates = []
    for number in range(2):
        mostly, rarely = 2 * half + number, 2 * half + 1 - number
        plate = np.concatenate([np.resize(mostly, own), np.resize(rarely, world.wells - own)])
        plates.append(rng.permutation(plate))
    return plates[0], plates[1]
