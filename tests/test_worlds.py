"""Synthetic worlds on which verdicts are measured: plates, wells, effects, and the table."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.worlds.__main__ import finished_verdicts, markdown
from benchmarks.worlds.conditions import CONDITIONS
from benchmarks.worlds.images import World, assign_plates, write_images
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
    for name, word, sentence in [
        ("nothing", "learned", "learned"),
        ("nothing", "cannot tell", "cannot tell: too few groups"),
        ("background", "learned, no more", "more than the background is not shown"),
    ]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        record = {"word": word, "sentence": sentence}
        (folder / f"{word}.json").write_text(json.dumps(record))
    table = markdown(finished_verdicts(tmp_path)).splitlines()
    assert len(table) == 4
    assert table[2].endswith("| 2 | 1 | 1 | 0 | 1: 0.50 (0.09 to 0.91) |")
    assert table[3].endswith("| 1 | 0 | 0 | 1 | 1: 1.00 (0.21 to 1.00) |")
    assert CONDITIONS["background"].title in table[3]
