"""Check constants of the verdict with real networks: the factor 1.3, the margin 0.10, the slide.

``python -m benchmarks.worlds.constants --out FOLDER`` trains networks on synthetic cells of known
phenotype and measures, on many fresh wells, what the intervals of few wells should contain.
Finished studies in FOLDER are kept; ``--table`` only prints.

*Folds*: 12 wells of each class, five folds; the truth is the accuracy of the folds' networks on 60
fresh wells of each class. *Margin*: 12 training wells of each class and 120 test wells, which make
15 test sets of 8; the truth is the difference of balanced accuracies on all 120. *Clustering*:
see `benchmarks.worlds.clustering`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import cellvision as cv
from benchmarks.evidence.table import Figure, markdown
from benchmarks.worlds.clustering import clustering_figures, clustering_record
from benchmarks.worlds.conditions import experiment_on
from benchmarks.worlds.images import CLASSES, World, write_fixed_split, write_images
from cellvision.statistics import (
    MARGIN,
    accuracy_interval,
    compare_with_control,
    cross_validated_accuracy,
    paired_difference,
)

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""Strengths of the phenotype, one after another over the seeds."""

FRESH = 10_000
"""Added to a seed: fresh wells of the same world."""

WELLS, FRESH_WELLS, TEST_WELLS, SMALL = 12, 60, 120, 8


def fold_record(seed: int, folder: Path) -> dict[str, Any]:
    """Cross-validate, and measure the folds' networks on fresh wells."""
    strength = STRENGTHS[seed % len(STRENGTHS)]
    write_images(World(strength=strength, wells=WELLS), seed, folder / "images")
    fresh = folder / "fresh"
    write_images(World(strength=strength, wells=FRESH_WELLS), seed + FRESH, fresh)
    dataset = cv.datasets.create("folder", path=folder / "images", group="well")
    study = cv.study(experiment_on(dataset), 1, folder / "study", folds=5, progress=False)
    table = study.out_of_fold
    right = (table["predicted"] == table["label"]).to_numpy()
    truth = []
    for run in study.experiments[0].fold_runs:
        files = [fresh / name for name in CLASSES]
        answers = cv.predict(run, files, engine="keras", progress=False)
        label = [Path(image).parent.name for image in answers["image"]]
        truth.append(float(np.mean(answers["predicted"] == label)))
    plain = accuracy_interval(right, table["group"])
    widened = cross_validated_accuracy(right, table["group"])
    return {
        "truth": float(np.mean(truth)),
        "accuracy": float(right.mean()),
        "plain": [plain.low, plain.high],
        "widened": [widened.low, widened.high],
    }


def margin_record(seed: int, folder: Path) -> dict[str, Any]:
    """Compare a network with its controls on many small test sets and on all test wells."""
    strength = STRENGTHS[seed % len(STRENGTHS)]
    world = World(strength=strength, wells=WELLS + TEST_WELLS)
    dataset = cv.datasets.create("table", path=write_fixed_split(world, seed, folder, WELLS))
    controls = ("background", "intensity")
    study = cv.study(experiment_on(dataset), 1, folder / "study", controls=controls, progress=False)
    trained = study.experiments[0]
    network = trained.runs[0].predictions_of("test").set_index("image").sort_index()
    well = network["group"].str.rsplit("_", n=1).str[1].astype(int).to_numpy()
    right = (network["predicted"] == network["label"]).to_numpy()
    record: dict[str, Any] = {"accuracy": float(right.mean()), "intervals": [], "controls": {}}
    small = [(well - WELLS) // SMALL == number for number in range(TEST_WELLS // SMALL)]
    for rows_of in small:
        interval = accuracy_interval(right[rows_of], network["group"][rows_of])
        record["intervals"].append([interval.low, interval.high])
    for name in controls:
        control = trained.controls[name][0].predictions_of("test").set_index("image")
        other = (control["predicted"] == control["label"]).reindex(network.index).to_numpy(bool)
        record["controls"][name] = {
            "truth": float(right.mean() - other.mean()),
            "findings": [_finding(right[s], other[s], network["group"][s]) for s in small],
        }
    return record


def _finding(right: np.ndarray, other: np.ndarray, groups: Any) -> dict[str, Any]:
    difference, equivalence = (
        paired_difference(right, other, groups, level) for level in (0.95, 0.90)
    )
    return {
        "finding": compare_with_control(difference, equivalence),
        "interval": [difference.low, difference.high],
    }


PARTS: dict[str, Callable[[int, Path], Mapping[str, Any]]] = {
    "folds": fold_record,
    "margin": margin_record,
    "clustering": clustering_record,
}


def measure(part: str, seed: int, out: Path) -> None:
    """Write one record, unless it is there."""
    file = out / part / f"{seed:02d}.json"
    if file.is_file():
        return
    folder = out / part / f"{seed:02d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file.write_text(json.dumps(PARTS[part](seed, folder), indent=1), encoding="utf-8")
    shutil.rmtree(folder)


def figures(out: Path) -> list[Figure]:
    """Return the rates over all records; those without a case are left out."""
    records = {
        part: [json.loads(file.read_text("utf-8")) for file in sorted((out / part).glob("*.json"))]
        for part in PARTS
    }
    folds, studies = records["folds"], records["margin"]
    inside = {
        kind: [_inside(each["truth"], each[kind]) for each in folds]
        for kind in ("widened", "plain")
    }
    small = [_inside(each["accuracy"], limits) for each in studies for limits in each["intervals"]]
    compared = [
        (control["truth"], each["finding"], each["interval"])
        for study in studies
        for control in study["controls"].values()
        for each in control["findings"]
    ]
    covered = [_inside(truth, limits) for truth, _, limits in compared]
    better = [found == "no more" for truth, found, _ in compared if truth >= MARGIN]
    hardly = [found == "no more" for truth, found, _ in compared if MARGIN <= truth < 2 * MARGIN]
    equal = [found == "more" for truth, found, _ in compared if truth <= 0]
    same = [found == "no more" for truth, found, _ in compared if truth <= MARGIN / 5]
    rates: list[tuple[str, list[bool], str]] = [
        ("folds: fresh accuracy in the widened interval", inside["widened"], ">= 0.92"),
        ("folds: fresh accuracy in the plain interval", inside["plain"], ""),
        ("test sets of 8 wells a class: accuracy in its interval", small, ""),
        ("difference in its interval", covered, ""),
        ("better by 10 points or more, called 'no more'", better, "<= 0.07"),
        ("better by 10 to 20 points, called 'no more'", hardly, "<= 0.07"),
        ("not better, called 'more'", equal, "<= 0.05"),
        ("better by 2 points at most, called 'no more' (power)", same, ""),
    ]
    return [
        Figure(what, float(np.mean(hits)), len(hits), bound) for what, hits, bound in rates if hits
    ] + clustering_figures(records["clustering"])


def _inside(value: float, limits: list[float]) -> bool:
    return limits[0] <= value <= limits[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worlds.constants")
    parser.add_argument("--out", type=Path, required=True, help="folder of the records")
    parser.add_argument("--seeds", type=int, default=40, help="number of data seeds (40)")
    parser.add_argument("--table", action="store_true", help="print finished records only")
    options = parser.parse_args()
    os.environ.setdefault("CELLVISION_ODOMETER", "off")  # these test sets are drawn anew
    for seed in () if options.table else range(options.seeds):
        for part in PARTS:
            measure(part, seed, options.out)
            print(f"{part} {seed}", file=sys.stderr, flush=True)
    print(markdown(figures(options.out)))


if __name__ == "__main__":
    main()
