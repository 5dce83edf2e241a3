"""Metadata of installed distributions: read once, and again when they change."""

from __future__ import annotations

import json
import os
from pathlib import Path

import importlib_metadata
import pytest

from cellvision import installed_metadata, plugin_candidates
from cellvision.installed_metadata import InstalledDistribution, installed_distributions


def write(folder: Path, name: str, points: str, version: str = "1.0", more: str = "") -> Path:
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"
    (information / "METADATA").write_text(text)
    (information / "entry_points.txt").write_text(f"[cellvision.datasets]\n{points}\n")
    return information


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of the search path, and an empty cache."""
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def found(name: str) -> InstalledDistribution:
    (distribution,) = [each for each in installed_distributions() if each.name == name]
    return distribution


def test_what_metadata_say(site: Path) -> None:
    needs = "Requires-Dist: numpy>=1\nRequires-Dist: cellvision>=0.1\n\nA README: with colons.\n"
    write(site, "lab-cells", "cells = lab_cells:Cells", more=needs)
    point = ("cells", "lab_cells:Cells", "cellvision.datasets")
    expected = InstalledDistribution("lab-cells", "1.0", ("cellvision>=0.1",), (point,))
    for _ in range(2):  # read, and from the cache
        assert found("lab-cells") == expected


def test_unchanged_metadata_are_not_read_again(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(site, "lab-cells", "cells = lab_cells:Cells")
    before = installed_distributions()

    def read_text(self: object, name: str) -> str:
        raise AssertionError(f"{name} is read again")

    monkeypatch.setattr(importlib_metadata.PathDistribution, "read_text", read_text)
    assert installed_distributions() == before


def test_edited_entry_points_are_read_again(site: Path) -> None:
    information = write(site, "lab-cells", "cells = lab_cells:Cells")
    assert found("lab-cells").entry_points[0][0] == "cells"
    (information / "entry_points.txt").write_text("[cellvision.datasets]\nplates = lab_cells:P\n")
    assert found("lab-cells").entry_points[0][0] == "plates"


def test_another_version_in_the_same_folder_is_read_again(site: Path) -> None:
    information = write(site, "lab-cells", "cells = lab_cells:Cells")
    assert found("lab-cells").version == "1.0"
    new = information / "new"
    new.write_text("Metadata-Version: 2.1\nName: lab-cells\nVersion: 1.1\n")
    new.replace(information / "METADATA")
    os.utime(information, ns=(1, 1))  # whatever the resolution of the clock
    assert found("lab-cells").version == "1.1"


def test_the_first_of_two_distributions_of_a_name_counts(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(site, "lab-cells", "cells = lab_cells:Cells", "2.0")
    other = tmp_path / "other"
    write(other, "Lab_Cells", "cells = lab_cells:Old", "1.0")
    monkeypatch.syspath_prepend(str(other))
    names = {each.name: each.version for each in installed_distributions()}
    assert names["Lab_Cells"] == "1.0"
    assert "lab-cells" not in names


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"format": 1}', '{"format": FORMAT, "distributions": {"PATH": {"state": 1}}}'],
)
def test_a_damaged_cache_is_ignored(site: Path, content: str) -> None:
    information = write(site, "lab-cells", "cells = lab_cells:Cells")
    assert found("lab-cells")
    cache = installed_metadata._cache_file()
    stored = json.loads(cache.read_text())
    state = json.dumps(stored["distributions"][str(information)]["state"])
    text = content.replace("FORMAT", json.dumps(stored["format"]))
    cache.write_text(
        text.replace("PATH", str(information)).replace('"state": 1', f'"state": {state}')
    )
    assert found("lab-cells").entry_points


def test_a_cache_that_cannot_be_written_is_done_without(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "file" / "cache"))
    write(site, "lab-cells", "cells = lab_cells:Cells")
    assert found("lab-cells").version == "1.0"


def test_faulty_entry_points_are_named_each_time(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(site, "lab-bad", "no value")
    for _ in range(2):
        assert found("lab-bad").entry_points == ()
    assert len(caplog.messages) == 2
    assert "lab_bad-1.0.dist-info cannot be read" in caplog.text


def test_distributions_that_are_gone_leave_the_cache(site: Path) -> None:
    information = write(site, "lab-cells", "cells = lab_cells:Cells")
    installed_distributions()
    for file in information.iterdir():
        file.unlink()
    information.rmdir()
    write(site, "lab-more", "more = lab_more:More")
    installed_distributions()
    assert "lab_cells" not in installed_metadata._cache_file().read_text()


def test_a_new_distribution_is_found_in_the_same_process(site: Path) -> None:
    assert "lab_new" not in {
        c.name for c in plugin_candidates.installed_candidates("cellvision.datasets")
    }
    write(site, "lab-new", "lab_new = lab_new:New")
    assert "lab_new" in {
        c.name for c in plugin_candidates.installed_candidates("cellvision.datasets")
    }
