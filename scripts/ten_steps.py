"""From wide-field images to a conclusion, in ten steps.

Run as ``python scripts/ten_steps.py OUT``. With ``--quick`` it takes a minute, too short to
conclude anything. The script creates its images; put your own in place of step 0.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cellvision as cv


@dataclass(frozen=True)
class Scale:
    """Size of the data and length of the training."""

    source_images: int
    source_size: int
    tiles: int
    angles: tuple[int, ...]
    architecture: str
    epochs: int
    runs: int


FULL = Scale(6, 1024, 16, tuple(range(-5, 5)), "deep", 9, 12)
QUICK = Scale(4, 256, 4, (-5, 4), "fmnist_deep", 2, 2)

SETS = {"train": (1.0, 0), "plate_2": (1.0, 1), "low_dose": (0.3, 2)}
"""Training images and two test sets: strength of the phenotype, and seed of the cells."""


def ten_steps(out: Path, scale: Scale) -> cv.Study:
    """Take the ten steps and write everything below `out`."""
    # 0. Wide-field images of control and treated cells, in three sets.
    for name, (strength, seed) in SETS.items():
        cells = cv.datasets.create(
            "synthetic_cells",
            fields=scale.source_images,
            field_size=scale.source_size,
            strength=strength,
            seed=seed,
        )
        cells.write_fields(out / "wide" / name)

    # 1. Slice every wide-field image into tiles. 2. Number them: s0, s1, ...
    cv.prepare.slice_images(out / "wide", out / "tiles", tiles=scale.tiles)
    cv.prepare.number_images(out / "tiles", out / "series")

    # 3. Rotate copies for training; test images stay as they are. The manifests record the source
    #    image of every tile and copy, so that no source image is on two sides of a split.
    for name in SETS:
        angles = scale.angles if name == "train" else (0,)
        cv.prepare.rotate_images(out / "series" / name, out / "images" / name, angles=angles)

    # 4. Load: list the images and their splits.
    side = scale.source_size // round(scale.tiles**0.5)
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
            f"source images (95 % interval {low:.3f} to {high:.3f})"
        )
    print("Look at", *sorted((run.folder / "reports").glob("*.png")), sep="\n  ")

    # 9. Repeat the training from other seeds, 10. and draw box plots and training curves.
    study = cv.study(experiment, scale.runs, out / "study")
    print(study.table.groupby("split")["accuracy"].agg(["mean", "std", "min", "max", "count"]))
    print("Look at", *sorted((study.folder / "reports").glob("*.png")), sep="\n  ")
    return study


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--quick", action="store_true", help="small images and two short runs")
    options = parser.parse_args()
    ten_steps(options.out, QUICK if options.quick else FULL)


if __name__ == "__main__":
    main()
