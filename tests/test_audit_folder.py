"""``cv.audit`` with paths, and the folder that it writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from images import write_folder

import cellvision as cv
from cellvision import errors

if TYPE_CHECKING:
    from cellvision.results.audits import AuditReport


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = write_folder(tmp_path / "images", {"a": 12, "b": 12})
    rows = "".join(f"{c}/{n}.png,w{c}{n // 2}\n" for c in "ab" for n in range(12))
    (root / "groups.csv").write_text("file,well\n" + rows)
    return root


class Counts(cv.Reporter):
    """Reports on audits only."""

    def audit(self, report: AuditReport, folder: Path) -> Sequence[cv.Artifact]:
        path = folder / "counts.txt"
        path.write_text(f"{len(report.audit.images.table)} images, {report.folder.name}")
        return [cv.Artifact(path, "Counts", "data")]


class Fails(cv.Reporter):
    """Fails on audits."""

    def audit(self, report: AuditReport, folder: Path) -> Sequence[cv.Artifact]:
        raise RuntimeError("no paper")


def test_a_folder_and_its_group_by_name(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images.parent)
    report = cv.audit("images", group="well")
    assert report.group_column == "well"
    assert sum(report.groups.values()) == 12
    # The recipe chooses what the network will see, as it does for train.
    assert report.images.preprocessing.size == (19, 16)  # the images have 12 × 10 pixels
    assert report.images.preprocessing.channels == "gray"


def test_a_folder_that_no_recipe_can_use_is_audited(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a": 3, "b": 3})
    for file in root.glob("*/*.png"):
        file.write_bytes(b"\x89PNG\r\n\x1a\n")
    report = cv.audit(root)
    assert {file.status for file in report.files} == {"refused"}
    assert all(". Copy or export the file again" in file.reason for file in report.files)
    with pytest.raises(errors.InvalidInput, match="none of the training images can be read: "):
        cv.audit(root, recipe="quick")


def test_slips_have_the_texts_of_the_command_line(images: Path) -> None:
    with pytest.raises(errors.FolderError, match="imagse: no such file or folder"):
        cv.audit(images.parent / "imagse")
    with pytest.raises(errors.CatalogError, match=r"dataset\.group names 'wel'"):
        cv.audit(images, group="wel")
    with pytest.raises(errors.ExperimentError, match="group is for a folder"):
        cv.audit(cv.datasets.create("folder", path=images), group="well")


def test_the_folder(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "audits" / "first"
    report = cv.audit(images, group="well", out=out)
    content = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(report.to_json()))
    reopened = cv.Audit.from_json(content)
    assert reopened == report
    with pytest.raises(errors.InvalidInput, match="its images are not at hand"):
        _ = reopened.images
    names = {path.name for path in (out / "reports").iterdir()}
    assert {"report.html", "sheet_acquired.png", "sheet_network.png", "intensities.png"} <= names
    (images / "b" / "11.png").unlink()
    cv.audit(images, group="well", out=out)
    assert json.loads((out / "audit.json").read_text())["counts"] != content["counts"]


def test_a_folder_with_other_files_is_refused(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(errors.FolderError, match=r"other files, such as 'notes\.txt'"):
        cv.audit(images, out=out)
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == ["notes.txt"]
    with pytest.raises(errors.FolderError):
        cv.audit(images, out=out / "notes.txt")


def test_third_party_reporters_report_on_audits(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, cls in (("counts", Counts), ("fails", Fails)):
        cv.reporters.register(name, cls)
        monkeypatch.setattr(cls, "enabled_by_default", True)
    try:
        cv.audit(images, out=tmp_path / "out")
    finally:
        cv.reporters.unregister("counts")
        cv.reporters.unregister("fails")
    assert (tmp_path / "out" / "reports" / "counts.txt").read_text() == "24 images, out"
    assert "reporter 'fails' (registered here) failed: RuntimeError: no paper" in caplog.text
    page = (tmp_path / "out" / "reports" / "report.html").read_text(encoding="utf-8")
    assert "counts.txt" in page
    assert "The reporter &#39;fails&#39; failed" in page


def test_images_as_acquired(images: Path) -> None:
    report = cv.audit(images)
    names = list(report.images.table["image"])
    read = list(report.images.read(names[:4]))
    for name, pixels in zip(names, read, strict=False):
        np.testing.assert_array_equal(pixels, report.images.dataset.read(name))
    assert set(report.images.splits) == set(report.counts)
    table = report.images.table
    table["label"] = "changed"
    assert set(report.images.table["label"]) == {"a", "b"}


def test_the_command_prints_the_page(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cellvision.cli import main

    out = tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        main(
            [
                *("audit", str(images), "--out", str(out)),
                *("--set", "dataset.group=well", "--set", "preprocessing.size=[64,64]"),
            ]
        )
    assert caught.value.code == 0
    page = out / "reports" / "report.html"
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == str(page)
    shown = page.read_text(encoding="utf-8")
    assert "12 wells" in shown
    for text in (shown, " ".join(printed.split())):
        assert "24 images are enlarged for the network" in text
        assert "6 × 5 to 64 × 64 pixels" in text
    with pytest.raises(SystemExit) as caught:
        main(["audit", str(tmp_path / "imagse"), "--out", str(tmp_path / "new")])
    assert caught.value.code == 2
    assert not (tmp_path / "new").exists()


def test_images_that_cannot_be_split_are_prepared_as_in_training(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    for name, count in (("rare", 1), ("common", 6)):
        for number in range(count):
            path = tmp_path / "images" / name / f"{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, chance.integers(0, 256, (4, 40, 40), np.uint8))
    audit = cv.audit(tmp_path / "images", progress=False)
    said = " ".join(audit.warnings)
    assert "class 'rare' has one image left" in said
    assert "dataset.classes" in said
    assert "enlarged" not in said
    assert "preprocessing.channels" not in said
