"""What a release consists of: one version, notes, files that state it, constraints that fit."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement

import cellvision

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_one_version(release: ModuleType) -> None:
    versions = release.versions()
    assert len(versions) > 10
    assert set(versions.values()) == {cellvision.__version__}


def test_the_version_is_written_everywhere(
    release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in release.versions():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.setattr(release, "ROOT", tmp_path)
    release.set_version("7.8.9")
    assert set(release.versions().values()) == {"7.8.9"}
    for name in release.versions():
        changed = (tmp_path / name).read_text().replace("7.8.9", cellvision.__version__)
        assert changed == (ROOT / name).read_text(), name


def test_notes_are_the_section_of_the_changelog(release: ModuleType) -> None:
    text = release.notes(cellvision.__version__)
    assert text.count("### Added") == 1
    assert "## [" not in text
    with pytest.raises(SystemExit, match=r"no section about 99\.0\.0"):
        release.notes("99.0.0")


def test_how_to_cite() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == "BSD-3-Clause"
    assert citation["authors"]
    deposit = json.loads((ROOT / ".zenodo.json").read_text())
    assert deposit["title"] == citation["title"]
    assert deposit["creators"][0]["name"] == citation["authors"][0]["name"]


def test_constraints_fit_what_every_distribution_requires(release: ModuleType) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {"keras", "tensorflow", "numpy", "jax"} <= set(pinned)
    for project in release.projects():
        values = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        for line in values["dependencies"]:
            need = Requirement(line)
            name = re.sub(r"[-_.]+", "-", need.name).lower()
            if not name.startswith("cellvision"):
                assert need.specifier.contains(pinned[name]), (project.name, line)


def test_every_plugin_is_found_by_its_keyword_and_most_are_standard(release: ModuleType) -> None:
    core, *plugins = (
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        for folder in release.projects()
    )
    assert all("cellvision-plugin" in plugin["keywords"] for plugin in plugins)
    major, minor = map(int, core["version"].split(".")[:2])
    limits = f">={major}.{minor},<{major}.{minor + 1}"
    needs_a_large_library = {"bioio", "cleanlab", "nuclei", "tracking"}
    names = {plugin["name"].removeprefix("cellvision-") for plugin in plugins}
    assert set(core["optional-dependencies"]["standard"]) == {
        f"cellvision-{name}{limits}" for name in names - needs_a_large_library
    }
    for plugin in plugins:
        assert f"cellvision{limits}" in plugin["dependencies"], plugin["name"]


@pytest.mark.exhaustive
def test_all_files_pass_the_check_of_the_index(release: ModuleType, tmp_path: Path) -> None:
    twine = subprocess.run([sys.executable, "-m", "twine", "--version"], check=False)
    if twine.returncode:
        pytest.skip("twine is not installed; .ci/generated-plugins builds and checks all files")
    files = release.build(tmp_path)
    assert len(files) == 2 * len(release.projects())
