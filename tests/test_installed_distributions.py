"""Reading the metadata of installed distributions directly, as importlib_metadata would."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import importlib_metadata
import pytest

from cellvision.installed_distributions import InstalledDistribution, installed_distributions
from cellvision.plugin_candidates import entry_points

DATASETS = "cellvision.datasets"
POINTS = "[cellvision.datasets]\n# none\nplates = lab.plates : Plates [extra]\n\n[other]\na=b\n"
METADATA = "Metadata-Version: 2.1\nName: Lab_Plates\nVersion: 1.2\nRequires-Dist: cellvision>=0.1\n"


def install(folder: Path, name: str = "Lab_Plates-1.2.dist-info", **files: str) -> Path:
    information = folder / name
    information.mkdir(parents=True)
    for file, text in files.items():
        (information / file.replace("_txt", ".txt")).write_text(text)
    return information


def only(folder: Path) -> InstalledDistribution:
    (found,) = installed_distributions([str(folder)])
    return found


def points(distributions: Iterable[InstalledDistribution]) -> list[tuple[str, str, str]]:
    return [(p.group, p.name, p.value) for d in distributions for p in d.entry_points()]


def test_all_that_is_installed_is_found_as_importlib_metadata_finds_it() -> None:
    theirs = importlib_metadata.entry_points()
    ours = entry_points()
    listed = {(group, p.name, p.value) for group, points in ours.items() for p in points}
    assert listed == {(point.group, point.name, point.value) for point in theirs}
    known = {p.name: (p.distribution.name, p.distribution.version) for p in ours[DATASETS]}
    for point in theirs.select(group=DATASETS):
        assert known[point.name] == (point.dist.name, point.dist.version)


def test_headers_and_entry_points_are_read(tmp_path: Path) -> None:
    readme = "\nName: not this one\nRequires-Dist: nor this\n"
    install(tmp_path, METADATA=METADATA + readme, entry_points_txt=POINTS)
    found = only(tmp_path)
    assert (found.name, found.version) == ("Lab_Plates", "1.2")
    assert (found.key, found.requires) == ("lab-plates", ("cellvision>=0.1",))
    plates = ("cellvision.datasets", "plates", "lab.plates : Plates [extra]")
    assert points([found]) == [plates, ("other", "a", "b")]


def test_an_entry_point_imports_its_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab_loaded.py").write_text("class Plates:\n    class Inner: ...\n")
    install(tmp_path, entry_points_txt="[g]\nx = lab_loaded:Plates.Inner [extra]\n")
    monkeypatch.syspath_prepend(tmp_path)
    (point,) = only(tmp_path).entry_points()
    assert point.load().__qualname__ == "Plates.Inner"


def test_the_first_distribution_of_a_name_hides_the_others(tmp_path: Path) -> None:
    install(tmp_path / "a", METADATA=METADATA, entry_points_txt="[g]\nx = first\n")
    install(tmp_path / "b", "lab.plates-2.dist-info", METADATA=METADATA, entry_points_txt=POINTS)
    path = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "gone")]
    assert points(installed_distributions(path)) == [("g", "x", "first")]


def test_what_an_uninstallation_left_hides_nothing(tmp_path: Path) -> None:
    install(tmp_path / "a", entry_points_txt="[g]\nx = left\n")
    install(tmp_path / "b", METADATA=METADATA, entry_points_txt="[g]\nx = right\n")
    path = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert points(installed_distributions(path)) == [("g", "x", "right")]


def test_faulty_metadata_affect_only_their_distribution(tmp_path: Path) -> None:
    install(tmp_path, "good-1.dist-info", METADATA=METADATA, entry_points_txt="[g]\nx = y\n")
    install(tmp_path, "empty-1.dist-info")
    install(tmp_path, "odd-1.dist-info", entry_points_txt="no group = 1\n[g]\nno value\n[h\n= \n")
    bad = install(tmp_path, "bytes-1.dist-info")
    (bad / "METADATA").write_bytes(b"Name: caf\xe9\nVersion: 1\n")
    (bad / "entry_points.txt").mkdir()
    (tmp_path / "file-1.egg-info").write_text(METADATA)
    found = {each.key: each for each in installed_distributions([str(tmp_path)])}
    assert set(found) == {"good", "empty", "odd", "bytes", "file"}
    assert points([found["good"], found["empty"], found["bytes"], found["file"]]) == [
        ("g", "x", "y")
    ]
    assert (found["bytes"].name, found["bytes"].requires) == ("caf\N{REPLACEMENT CHARACTER}", ())
    assert (found["empty"].name, found["empty"].requires) == ("", None)


def test_zip_files_and_eggs_are_searched(tmp_path: Path) -> None:
    wheel = tmp_path / "lab.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("lab_plates-1.2.dist-info/METADATA", METADATA)
        archive.writestr("lab_plates-1.2.dist-info/entry_points.txt", POINTS)
    egg = tmp_path / "lab_old-1.0-py3.egg"
    install(egg, "EGG-INFO", **{"PKG-INFO": METADATA.replace("Lab_Plates", "lab_old")})
    found = installed_distributions([str(wheel), str(egg)])
    assert [(each.key, each.version) for each in found] == [
        ("lab-plates", "1.2"),
        ("lab-old", "1.2"),
    ]
    assert len(points(found)) == 2


def test_finders_of_other_import_systems_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install(tmp_path, METADATA=METADATA, entry_points_txt="[g.frozen]\nx = y\n")

    class Frozen:
        def find_distributions(self, context: Any) -> Any:
            return [importlib_metadata.PathDistribution(folder)]

    class Faulty:
        def find_distributions(self, context: Any) -> Any:
            raise TypeError(context)

    monkeypatch.setattr(sys, "meta_path", [Faulty(), Frozen(), PathFinder])
    assert ("g.frozen", "x", "y") in points(installed_distributions())
