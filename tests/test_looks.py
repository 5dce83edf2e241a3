"""Looks at a test set: what counts as another look and another setting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

import cellvision as cv
from cellvision.data.prepared import prepare_data
from cellvision.statistics import Odometer
from cellvision.studies.looks import VARIABLE, setting_digest


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A separate log of looks, and tiny networks."""
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "looks.jsonl"))
    with tiny.on_offer():
        yield tmp_path / "looks.jsonl"


def digest(experiment: cv.Experiment) -> str:
    return setting_digest(experiment.model_dump(mode="json"))


def test_seed_reports_devices_and_folder_are_no_other_setting(tmp_path: Path) -> None:
    first = digest(tiny.experiment(tmp_path, epochs=3))
    other: dict[str, Any] = {"seed": 7, "devices": "cpu", "reporters": None}
    assert digest(tiny.experiment(tmp_path / "moved", epochs=3, **other)) == first
    assert digest(tiny.experiment(tmp_path, epochs=4)) != first
    assert digest(tiny.experiment(tmp_path, "mixed", epochs=3)) != first
    split = cv.Split(splitter=cv.splitters.create("group_k_fold", k=3))
    assert digest(tiny.experiment(tmp_path, epochs=3, split=split)) != first


def test_a_test_set_is_known_by_its_pixels_and_labels(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=8, wells=4)
    first = prepare_data(tiny.experiment(images, group="well"))
    test = first.rows("test")
    renamed = tiny.make_folder(tmp_path / "again", count=8, wells=4)
    for number, path in enumerate(sorted(renamed.glob("*/*.png"))):
        path.rename(path.with_name(f"renamed_{7 - number % 8}.png"))
    (renamed / "groups.csv").unlink()
    again = prepare_data(tiny.experiment(renamed, split=cv.Split(test=0, validation=0)))
    everything = range(len(first.labels))
    assert first.digest(list(everything)) == again.digest(list(everything))  # type: ignore[arg-type]
    assert first.digest(test) != first.digest(list(everything))  # type: ignore[arg-type]
    assert first.digest(test[:0]) is None


@pytest.mark.slow
def test_studies_of_one_test_set_are_looks_and_settings(tmp_path: Path, log: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=16, wells=8)

    def study(name: str, epochs: int, runs: int = 1) -> cv.Study:
        return cv.study(tiny.experiment(images, group="well", epochs=epochs), runs, tmp_path / name)

    first, second = study("a", 1).verdicts[0], study("b", 2).verdicts[0]
    assert (first.looks, first.settings_tried) == (1, 1)
    assert first.p == first.unadjusted_p
    assert (second.looks, second.settings_tried) == (2, 2)
    assert second.unadjusted_p is not None
    assert second.p == min(1, 2 * second.unadjusted_p)
    again = study("a", 1, runs=2).verdicts[0]  # extended: the same look, the first one
    assert (again.looks, again.settings_tried) == (1, 1)
    assert len(Odometer(log).read()) == 2


@pytest.mark.exhaustive
def test_experiments_of_one_study_are_one_look(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tiny.make_folder(tmp_path / "images", count=16, wells=8)
    experiments = {
        str(epochs): tiny.experiment(images, group="well", epochs=epochs) for epochs in (1, 2)
    }
    both = cv.study(experiments, 1, tmp_path / "both")
    assert [(each.looks, each.settings_tried) for each in both.verdicts] == [(1, 1), (1, 1)]
    assert len(both.pairs) == 1
    assert len(Odometer(log).read()) == 1
    monkeypatch.setenv(VARIABLE, "off")
    alone = cv.study(experiments["1"], 1, tmp_path / "alone")
    assert alone.verdicts[0].looks is None
    assert len(Odometer(log).read()) == 1
