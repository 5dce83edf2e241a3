"""Synthetic worlds on which verdicts are measured: plates, wells, effects, and the table."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.worlds import constants
from benchmarks.worlds.__main__ import finished_studies, markdown
from benchmarks.worlds.clustering import KINDS, ClusteringRecord, SmallTestSet, clustering_figures
from benchmarks.worlds.conditions import CONDITIONS
from benchmarks.worlds.images import World, assign_plates, write_fixed_split, write_images
from cellvision.io import read_image


@pytest.mark.parametrize(
    ("layout", "own", "other"), [("crossed", 10, 10), ("80/20", 16, 4), ("nested", 20, 0)]
)
def test_plates_hold_the_classes_that_the_layout_says(layout: str, own: int, other: int) -> None:
    world = World(layout=layout)  # type: ignore[arg-type]
    control, treated = assign_plates(world, np.random.default_rng(0))
    assert np.isin(control, [0, 2]).sum() == np.isin(treated, [1, 3]).sum() == own
    assert np.isin(control, [1, 3]).sum() == np.isin(treated, [0, 2]).sum() == other
    assert max(Counter([*control, *treated]).values()) == 10  # plates are equally large


def test_images_of_a_plate_share_its_effect(tmp_path: Path) -> None:
    worlds = {sd: World(wells=2, plates=2, plate_effect=sd) for sd in (0.0, 1.0)}
    means = {}
    for sd, world in worlds.items():
        write_images(world, 3, tmp_path / str(sd))
        with (tmp_path / str(sd) / "groups.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 16
        assert len({row["well"] for row in rows}) == 4
        means[sd] = {
            row["file"]: (row["plate"], read_image(tmp_path / str(sd) / row["file"]).pixels.mean())
            for row in rows
        }
    changes: dict[str, set[bool]] = {}
    for name, (plate, mean) in means[1.0].items():
        changes.setdefault(plate, set()).add(bool(mean > means[0.0][name][1]))
    assert all(len(directions) == 1 for directions in changes.values())


def test_the_table_counts_wrong_verdicts(tmp_path: Path) -> None:
    background = {"control": "background", "finding": "open"}
    for name, word, controls in [
        ("nothing", "learned", []),
        ("nothing", "cannot tell", []),
        ("background", "learned, no more", [background]),
        ("background", "learned", [background | {"finding": "more"}]),
    ]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        record = {"word": word, "sentence": word, "verdict": {"controls": controls}}
        (folder / f"{word}.json").write_text(json.dumps(record))
    table = markdown(finished_studies(tmp_path)).splitlines()
    assert len(table) == 4
    assert table[2].endswith("| 2 | cannot tell: 1, learned: 1 | 1 of 2 (0.09 to 0.91) |  |")
    assert CONDITIONS["background"].title in table[3]
    assert table[3].endswith("| 2 of 2 (0.34 to 1.00) | 1 |")


def test_rates_of_the_constants_are_those_of_the_records(tmp_path: Path) -> None:
    fold = {"truth": 0.8, "accuracy": 0.9, "plain": [0.82, 1.0], "widened": [0.79, 1.0]}
    findings = [
        {"finding": "no more", "interval": [-0.1, 0.1]},
        {"finding": "open", "interval": [-0.1, 0.2]},
    ]
    study = {"accuracy": 0.8, "intervals": [[0.7, 0.9], [0.9, 1.0]]}
    study["controls"] = {
        "background": {"truth": 0.15, "findings": findings},
        "intensity": {"truth": 0.0, "findings": findings},
    }
    for part, record in {"folds": fold, "margin": study}.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "00.json").write_text(json.dumps(record))
    rates = [figure.value for figure in constants.figures(tmp_path)]
    assert rates == [1.0, 0.0, 0.5, 0.75, 0.5, 0.5, 0.0, 0.5]


@pytest.mark.parametrize("stray", [0.0, 1.0])
def test_only_wells_held_out_carry_the_other_label(tmp_path: Path, stray: float) -> None:
    table = write_fixed_split(World(wells=3), 0, tmp_path, 2, stray=stray)
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["split"] for row in rows) == {"train": 16, "test": 8}
    for row in rows:
        true = row["group"].rpartition("_")[0]
        assert (row["label"] != true) == (stray == 1 and row["split"] == "test")
        assert (tmp_path / row["file"]).is_file()


def test_coverage_is_counted_by_correlation_and_wells() -> None:
    limits = dict(zip(KINDS, ([0.7, 0.9], [0.75, 0.85], [0.0, 0.6]), strict=True))
    small: list[SmallTestSet] = [{"wells": wells, "limits": limits} for wells in (4, 4, 16)]
    records: list[ClusteringRecord] = [
        {"accuracy": 0.8, "correlation": 0.2, "small": small},
        {"accuracy": 0.72, "correlation": 0.95, "small": small},
    ]
    figures = clustering_figures(records)
    assert [figure.value for figure in figures] == [1.0, 1.0, 0.0] * 2 + [1.0, 0.0, 0.0] * 2
    assert [figure.simulations for figure in figures] == [2, 2, 2, 1, 1, 1] * 2
    assert {figure.bound for figure in figures} == {">= 0.93", ">= 0.86", ""}
