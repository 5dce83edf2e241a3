"""Looking at plugins without importing them, what was imported, and for which version it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import cellvision as cv
from cellvision import errors, interface_versions, plugin_source, plugin_trace
from cellvision.cli import main
from cellvision.interface_versions import Introduced
from cellvision.recognised_paths import recognising_dataset
from cellvision.results.reporting import default_reporters
from cellvision.testing.isolation import Isolation

SOURCE = '''
"""Augmenters of a lab."""

import cellvision as cv


class Turn(cv.Augmenter):
    """Turns each image."""

    def build(self, seed):
        return None
'''


def fake(isolation: Isolation, number: int, source: str = SOURCE, **changes: object) -> None:
    name = f"lab_fake_{number}"
    isolation.install(
        name.replace("_", "-"), {"augmenter": {name: f"{name}:Turn"}}, {name: source}, **changes
    )


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, str]]:
    with pytest.raises(SystemExit) as caught:
        main(["plugins", "--json", *words])
    assert caught.value.code == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_fifty_plugins_are_listed_and_none_is_imported(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(50):
        fake(isolated_registries, number)
    fake(isolated_registries, 50, "import time\ntime.sleep(2)\n" + SOURCE)
    fake(isolated_registries, 51, "class Turn(:\n")
    rows = listed(capsys)
    assert len(rows) == 52
    assert not [name for name in sys.modules if name.startswith("lab_fake_")]
    assert rows["lab_fake_7"]["description"] == "Turns each image."
    assert rows["lab_fake_50"]["status"] == "ok"
    assert rows["lab_fake_51"]["status"] == "broken"
    assert rows["lab_fake_51"]["reason"].startswith("SyntaxError, line 1: ")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert not [name for name in sys.modules if name.startswith("lab_fake_")]


@pytest.mark.parametrize(
    ("target", "source", "reason"),
    [
        ("nowhere_at_all:X", "", "No module named 'nowhere_at_all'"),
        ("lab_odd:Gone", SOURCE, "has no 'Gone'"),
        ("lab_odd:turn", "def turn(): pass", "turn is not a class"),
        ("lab_odd:Turn", "import nowhere_at_all\n" + SOURCE, "No module named 'nowhere_at_all'"),
        ("lab_odd:Turn", SOURCE.replace("cv.Augmenter", "cv.Dataset"), "derives from Dataset"),
    ],
)
def test_the_source_shows_some_faults(
    target: str, source: str, reason: str, isolated_registries: Isolation
) -> None:
    isolated_registries.install("lab-odd", {"augmenter": {"odd": target}}, {"lab_odd": source})
    (info,) = cv.augmenters.plugins()
    assert info.status == "broken"
    assert reason in info.reason


def test_other_faults_are_found_by_loading(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(isolated_registries, 1, SOURCE + "\nraise RuntimeError('no luck')\n")
    assert listed(capsys)["lab_fake_1"]["status"] == "ok"
    row = listed(capsys, "--load")["lab_fake_1"]
    assert row["status"] == "broken"
    assert "no luck" in row["reason"]


def test_a_reexported_class_is_described(isolated_registries: Isolation) -> None:
    modules = {"lab_public": "from lab_hidden import Turn as Public\n", "lab_hidden": SOURCE}
    isolated_registries.install("lab-odd", {"augmenter": {"odd": "lab_public:Public"}}, modules)
    (info,) = cv.augmenters.plugins()
    assert (info.status, info.description) == ("ok", "Turns each image.")


def test_descriptions_are_cached_until_the_file_changes(
    isolated_registries: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(isolated_registries, 1)
    assert cv.augmenters.plugins()[0].description == "Turns each image."
    with monkeypatch.context() as patch:
        patch.setattr(plugin_source, "parse", lambda *_, **__: pytest.fail("parsed again"))
        plugin_source._cache.cache_clear()  # as in a new process
        assert cv.augmenters.plugins()[0].description == "Turns each image."
    file = isolated_registries.folder / "lab_fake_1.py"
    file.write_text(SOURCE.replace("Turns each image.", "Turns every image about."))
    assert cv.augmenters.plugins()[0].description == "Turns every image about."


REPORTER = """
from typing import ClassVar

import cellvision as cv


class Base(cv.Reporter):
    enabled_by_default = True


class Mine(BASE):
    '''Reports.'''

    BODY
"""


@pytest.mark.parametrize(
    ("base", "body", "imported"),
    [
        ("cv.Reporter", "pass", False),
        ("cv.Reporter", "enabled_by_default = False", False),
        ("cv.Reporter", "enabled_by_default: ClassVar[bool] = False", False),
        ("cv.Reporter", "enabled_by_default = True", True),
        ("cv.Reporter", "enabled_by_default = not 0", True),
        ("cv.Reporter", "if True:\n        enabled_by_default = True", True),
        ("Base", "pass", True),
        ("cv.Reporter, object", "pass", True),
    ],
)
def test_reporters_that_are_not_enabled_are_not_imported(
    base: str, body: str, imported: bool, isolated_registries: Isolation
) -> None:
    source = REPORTER.replace("BASE", base).replace("BODY", body)
    isolated_registries.install(
        "lab", {"reporter": {"mine": "lab_mine:Mine"}}, {"lab_mine": source}
    )
    names = [type(reporter).__name__ for reporter in default_reporters()]
    assert ("lab_mine" in sys.modules) == imported
    assert names == (["Mine"] if imported and base != "cv.Reporter, object" else [])


@pytest.mark.parametrize("recognises", [False, True])
def test_data_sets_that_recognise_nothing_are_not_imported(
    recognises: bool, isolated_registries: Isolation, tmp_path: Path
) -> None:
    method = "\n    @classmethod\n    def recognises(cls, path):\n        return False\n"
    source = SOURCE.replace("cv.Augmenter", "cv.Dataset") + (method if recognises else "")
    isolated_registries.install("lab", {"dataset": {"mine": "lab_mine:Turn"}}, {"lab_mine": source})
    (tmp_path / "plate.h5").touch()
    assert recognising_dataset(tmp_path / "plate.h5") is None
    assert ("lab_mine" in sys.modules) == recognises


def test_imports_are_traced(
    isolated_registries: Isolation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugin_trace, "_loads", {})
    fake(isolated_registries, 1, "import time\ntime.sleep(0.05)\n" + SOURCE)
    fake(isolated_registries, 2)
    with pytest.raises(SystemExit):
        main(["schema", "lab_fake_1", "--trace-plugins"])
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.startswith("plugins: 1 imported in 0.")
    (line,) = lines
    assert line.endswith("s  augmenter lab_fake_1 (lab-fake-1 1.0)")
    assert float(line.split()[0]) >= 0.05


# --- versions of interfaces ----------------------------------------------------------------


@pytest.fixture
def second_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that cellvision 0.1 changed the interface of augmenters."""
    versions = (Introduced(1, "0.0.5"), Introduced(2, "0.1"))
    monkeypatch.setitem(interface_versions.INTERFACE_VERSIONS, "cellvision.augmenters", versions)


@pytest.mark.parametrize(
    ("requirement", "version"),
    [
        ("cellvision>=0.1,<0.2", 2),
        ("cellvision~=0.1", 2),
        ("cellvision>=0.0.5", 1),
        ("cellvision==0.0.*", 1),
        ("cellvision<9", None),
        ("cellvision", None),
        ("numpy>=0.0.5", None),
    ],
)
@pytest.mark.usefixtures("second_version")
def test_the_oldest_cellvision_it_needs_decides(requirement: str, version: int | None) -> None:
    needed = interface_versions.required_cellvision([requirement])
    assert interface_versions.built_for("cellvision.augmenters", needed) == version


@pytest.mark.usefixtures("second_version")
def test_a_plugin_for_another_version_is_reported_and_refused(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(isolated_registries, 1, requires=["cellvision>=0.0.5"])
    fake(isolated_registries, 2, requires=["cellvision>=0.1"])
    both = SOURCE.replace("    def build", "    interface_version = 2\n\n    def build")
    fake(isolated_registries, 3, both, requires=["cellvision>=0.0.5"])
    rows = listed(capsys)
    assert rows["lab_fake_1"]["status"] == "version"
    assert rows["lab_fake_1"]["reason"].startswith(
        "built for version 1 of its interface (it needs cellvision >=0.0.5); this cellvision has 2."
        " Update it: python -m pip install --upgrade lab-fake-1"
    )
    assert {rows["lab_fake_2"]["status"], rows["lab_fake_3"]["status"]} == {"ok"}
    assert [rows[f"lab_fake_{k}"]["interface_version"] for k in (1, 2, 3)] == [1, 2, 2]
    with pytest.raises(errors.PluginContractError, match=r"lab-fake-1 1\.0.*version 1") as caught:
        cv.augmenters.get("lab_fake_1")
    assert "pip install --upgrade lab-fake-1" in caught.value.hint
    assert cv.augmenters.get("lab_fake_3").__name__ == "Turn"


@pytest.mark.parametrize(
    ("requirement", "is_refused"),
    [
        ("cellvision>=7", True),
        ("cellvision>7", True),
        ("cellvision==7.*", True),
        ("cellvision~=7.1", True),
        ("cellvision>=0.0.5,<0.1", False),  # the interface decides, and installers
        ("cellvision>=0.1,<0.2", False),
        ("cellvision>=0.1,!=7", False),
        ("cellvision", False),
    ],
)
def test_a_plugin_for_a_newer_cellvision_is_refused(requirement: str, is_refused: bool) -> None:
    fault = interface_versions.refusal("cellvision.augmenters", None, [requirement])
    assert bool(fault) == is_refused
    assert not fault or fault.startswith("needs cellvision ")


def test_it_is_not_even_imported(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(isolated_registries, 1, "import newer_than_this\n" + SOURCE, requires=["cellvision>=7"])
    rows = [listed(capsys)["lab_fake_1"], listed(capsys, "--load")["lab_fake_1"]]
    assert [row["status"] for row in rows] == ["version", "version"]
    with pytest.raises(errors.PluginContractError) as caught:
        cv.augmenters.create("lab_fake_1")
    assert "lab-fake-1 1.0" in caught.value.what
    assert caught.value.what.endswith(f"needs cellvision >=7, and this is {cv.__version__}")
    assert "install the cellvision that it needs" in caught.value.hint


def test_every_interface_has_a_version() -> None:
    from cellvision.cli.verbs import GROUP
    from cellvision.schema import REGISTRIES

    groups = {registry.group for registry in REGISTRIES} | {GROUP}
    assert groups <= set(interface_versions.INTERFACE_VERSIONS)
    versions = interface_versions.INTERFACE_VERSIONS.values()
    assert all([v.version for v in known] == list(range(1, len(known) + 1)) for known in versions)


def test_a_group_that_is_misspelt_by_a_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "lab_typo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-typo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[celvision.datasets]\nlost = lab:Y\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SystemExit):
        main(["plugins"])
    said = capsys.readouterr().err
    assert "'lost' is in the unknown group celvision.datasets. Did it mean cellvision.d" in said


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        (
            "entry_points.txt",
            b"[cellvision.datasets]\nno value\n",
            "bad-1.dist-info cannot be read",
        ),
        ("METADATA", b"Name: caf\xe9\nVersion: 1\n", ""),
    ],
)
def test_faulty_metadata_affect_only_their_distribution(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    content: bytes,
    what: str,
) -> None:
    before = set(cv.datasets.names())
    info = tmp_path / "lab_bad-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[cellvision.datasets]\nlab_bad = lab:Y\n")
    (info / name).write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(cv.datasets.names()) - before <= {"lab_bad"}
    assert before <= set(cv.datasets.names())
    assert what in caplog.text
