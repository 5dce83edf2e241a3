"""From wide-field images to a conclusion, in ten steps.

Run as ``python scripts/ten_steps.py OUT``; with ``--quick`` it takes a minute and is too short to
conclude anything from. The images are made here; put your own in place of step 0.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cellvision as cv


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    fields: int
    field_size: int
    tiles: int
    angles: tuple[int, ...]
    architecture: str
    epochs: int
    runs: int


FULL = Scale(6, 1024, 16, tuple(range(-5, 5)), "deep", 9, 12)
QUICK = Scale(4, 256, 4, (-5, 4), "fmnist_deep", 2, 2)

SETS = {"train": (1.0, 0), "plate_2": (1.0, 1), "low_dose": (0.3, 2)}
"""Images to train on and two test sets: the phenotype's strength, and the seed of the cells."""


def ten_steps(out: Path, scale: Scale) -> cv.Study:
    """Take the ten steps; everything is written below `out`."""
    # 0. Wide-field images of control and treated cells, in three sets.
    for name, (strength, seed) in SETS.items():
        cells = cv.datasets.create(
            "synthetic_cells",
            fields=scale.fields,
            field_size=scale.field_size,
            strength=strength,
            seed=seed,
        )
        cells.write_fields(out / "fields" / name)

    # 1. Slice every field into tiles. 2. Number them: s0, s1, ...
    cv.prepare.slice_images(out / "fields", out / "tiles", tiles=scale.tiles)
    cv.prepare.number_images(out / "tiles", out / "series")

    # 3. Rotated copies to train on; test images stay as they are. The manifests remember the
    #    field of every tile and copy, so that no field is on two sides of a split.
    for name in SETS:
        angles = scale.angles if name == "train" else (0,)
        cv.prepare.rotate_images(out / "series" / name, out / "images" / name, angles=angles)

    # 4. Load: what is there, and what the network would be given.
    side = scale.field_size // round(scale.tiles**0.5)
    experiment = cv.Experiment(
        dataset=cv.datasets.create("folder", path=out / "images"),
        architecture=cv.architectures.create(scale.architecture),
        preprocessing=cv.Preprocessing(size=(side, side), channels=(0, 1)),
        training=cv.Training(epochs=scale.epochs),
    )
    print(cv.audit(experiment).counts)

    # 5. Show training images as the network sees them, 6. train, 7. evaluate on both test sets,
    # 8. look at single predictions: one run.
    run = cv.train(experiment, out / "run")
    for name in run.test_splits:
        score = run.scores[name]
        low, high = score.accuracy_low, score.accuracy_high
        print(
            f"{name}: {score.accuracy:.3f} of {score.n} images from {score.groups} "
            f"fields (95 % interval {low:.3f} to {high:.3f})"
        )
    print("Look at", *sorted((run.folder / "reports").glob("*.png")), sep="\n  ")

    # 9. Repeat it from other seeds, 10. and draw all of it: box plots and training curves.
    study = cv.study(experiment, scale.runs, out / "study")
    print(study.table.groupby("split")["accuracy"].agg(["mean", "std", "min", "max", "count"]))
    print("Look at", *sorted((study.folder / "reports").glob("*.png")), sep="\n  ")
    return study


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--quick", action="store_true", help="small images and two short runs")
    asked = parser.parse_args()
    ten_steps(asked.out, QUICK if asked.quick else FULL)


if __name__ == "__main__":
    main()
