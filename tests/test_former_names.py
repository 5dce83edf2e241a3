"""Renamed settings and plugins: old experiments and runs open, with a dated warning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.cli import main
from cellvision.component import FormerSetting
from cellvision.migration import migrate_file
from cellvision.testing.isolation import Isolation

SOURCE = '''
from pathlib import Path
import numpy as np
import pandas as pd
import cellvision as cv


class Plates(cv.Dataset):
    """Images of plates."""

    former_names = {"wells": "2027-06-30"}
    former_settings = {
        "file": cv.FormerSetting("path", "2027-06-30"),
        "number": cv.FormerSetting("count", "2027-06-30"),
    }

    path: Path
    count: int = 4

    def catalog(self):
        return pd.DataFrame({"image": ["1", "2"], "label": ["a", "b"]})

    def read(self, image):
        return np.zeros((4, 4, 1), "uint8")
'''


@pytest.fixture(autouse=True)
def _plates(isolated_registries: Isolation) -> None:
    names = {"plates": "lab_plates:Plates", "wells": "lab_plates:Plates"}
    example = {"good": "cellvision.testing.examples:SyntheticNetwork"}
    isolated_registries.install(
        "lab-plates", {"dataset": names, "architecture": example}, {"lab_plates": SOURCE}
    )


def test_a_former_setting_is_understood(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = cv.datasets.create("plates", file="here", number=7)
    assert dataset.model_dump()["count"] == 7
    assert (
        "the setting 'number' of Plates is now called 'count'; the former name works until "
        "2027-06-30" in caplog.text
    )
    (tmp_path / "a.toml").write_text(
        'architecture = "good"\n[dataset]\ntype = "plates"\nfile = "below"\n'
    )
    experiment = cv.load_experiment(tmp_path / "a.toml")
    assert experiment.dataset.model_dump()["path"] == tmp_path / "below"


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(errors.ExperimentError, match="'number' is the former name of 'count'"):
        cv.datasets.create("plates", path="here", number=7, count=8)


def test_a_former_name_of_a_plugin_is_understood(caplog: pytest.LogCaptureFixture) -> None:
    dataset = cv.datasets.create("wells", path="here")
    assert dataset == cv.datasets.create("plates", path="here")
    assert caplog.text.count("dataset 'wells' is now called 'plates'") == 1
    assert "works until 2027-06-30" in caplog.text
    assert dataset.model_dump()["type"] == "plates"
    described = {info.name: info.description for info in cv.datasets.plugins()}
    assert described["wells"] == "Images of plates. (former name of another one, until 2027-06-30)"


TOML = """# The plate of Monday.
architecture = "good"

[dataset]
type = "wells"  # what we count
file = "below"
number = 5
"""


def test_migrate_keeps_comments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.toml"
    file.write_text(TOML)
    with pytest.raises(SystemExit) as caught:
        main(["migrate", str(file)])
    assert caught.value.code == 0
    assert set(capsys.readouterr().out.splitlines()) == {
        "wells -> plates",
        "file -> path",
        "number -> count",
    }
    assert file.read_text() == TOML.replace("wells", "plates").replace("file", "path").replace(
        "number", "count"
    )
    assert (tmp_path / "a.toml.old").read_text() == TOML
    assert migrate_file(file) == []


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".toml"])
def test_values_that_look_like_names_stay(suffix: str, tmp_path: Path) -> None:
    values = {"architecture": "good", "dataset": {"type": "plates", "file": "file"}}
    file = tmp_path / f"a{suffix}"
    content = {
        ".json": json.dumps(values),
        ".yaml": "architecture: good\ndataset: {type: plates, file: file}\n",
        ".toml": 'architecture = "good"\ndataset = {type = "plates", file = "file"}\n',
    }[suffix]
    file.write_text(content)
    assert migrate_file(file, tmp_path / f"b{suffix}") == [("file", "path")]
    assert file.read_text() == content
    experiment = cv.load_experiment(tmp_path / f"b{suffix}")
    assert experiment.dataset.model_dump()["path"] == tmp_path / "file"


def test_names_of_the_core_migrate_too(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        'architecture = "good"\ndataset = {type = "plates", path = "here"}\n'
        "[intake]\nsize = [8, 8]\n[training]\ntogether = false\n"
    )
    assert cv.load_experiment(file).preprocessing.size == (8, 8)
    assert sorted(migrate_file(file)) == [("intake", "preprocessing"), ("together", "vectorize")]
    experiment = cv.load_experiment(file)
    assert experiment.training.vectorize is False


def test_the_record_of_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"experiment": {}}')
    with pytest.raises(errors.ExperimentError, match="record of a run"):
        migrate_file(tmp_path / "run.json")


def test_settings_of_any_group_can_be_renamed() -> None:
    class Box(cv.Preprocessing):
        former_settings: ClassVar[Mapping[str, FormerSetting]] = {
            "shape": FormerSetting("size", "2027-06-30")
        }

    assert Box.model_validate({"shape": (8, 8)}).size == (8, 8)
