"""Results that lie in the folder of images are neither images nor provenance."""

from __future__ import annotations

from pathlib import Path

import pytest
from cellvision_datasets.folder import Folder

import cellvision as cv
from cellvision.data.file_search import walk_files
from cellvision.testing import write_images

RUN = ("run.json", "predictions.csv", "reports/panel_test.png", "reports/expert/a.png")
STUDY = ("study.json", "runs/000/run.json", "reports/panel_test.png")
EVALUATION = ("evaluation.json", "predictions.csv", "reports/panel_plate_3.png")
UNFINISHED = (".cellvision.json", "reports/sample_train.png")


def put_results(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"\x89PNG\r\n\x1a\n" if name.endswith(".png") else b"{}")


def test_an_audit_among_the_splits_changes_no_later_audit(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_images(tmp_path / split, ("a", "b"))
    cv.audit(tmp_path, out=tmp_path / "look")
    assert list(tmp_path.glob("look/reports/*.png"))
    again = cv.audit(tmp_path)
    assert again.counts.keys() == {"train", "validation", "test"}
    assert again.class_names == ("a", "b")


@pytest.mark.parametrize("names", [RUN, STUDY, EVALUATION, UNFINISHED])
def test_results_among_splits_are_skipped_with_a_reason(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for split in ("train", "test"):
        write_images(tmp_path / split, ("a", "b"), count=2)
    put_results(tmp_path / "results", names)
    folder = Folder(path=tmp_path)
    assert set(folder.catalog()["split"]) == {"train", "test"}
    reasons = {file.file: file.reason for file in folder.skipped_files()}
    assert reasons == {
        f"results/{name}": "a result of cellvision, not an image to read" for name in names
    }
    assert sum(is_image for _, is_image in walk_files(tmp_path)) == 8


def test_the_groups_of_a_run_are_no_provenance(tmp_path: Path) -> None:
    write_images(tmp_path, ("a", "b"), count=2)
    put_results(tmp_path / "results", RUN)
    (tmp_path / "results" / "groups.csv").write_text("split,group,label\ntest,A1,a\n")
    assert list(Folder(path=tmp_path).catalog().columns) == ["image", "label"]


def test_a_folder_with_one_file_of_the_same_name_is_read(tmp_path: Path) -> None:
    write_images(tmp_path, ("a", "b"), count=2)
    for name in ("run.json", "audit.json", "study.json"):
        (tmp_path / "a" / name).write_text("{}")
    assert len(Folder(path=tmp_path).catalog()) == 4
