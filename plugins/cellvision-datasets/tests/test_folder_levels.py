"""Two levels of folders that are no splits: the error says what they may be, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

import cellvision as cv
from cellvision import errors


def write(root: Path, folders: Sequence[str]) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        Image.new("L", (8, 8)).save(root / folder / "1.png")
    return root


def error(root: Path) -> errors.FolderError:
    with pytest.raises(errors.FolderError) as caught:
        cv.datasets.create("folder", path=root).catalog()
    return caught.value


def test_one_folder_around_the_classes(tmp_path: Path) -> None:
    root = write(tmp_path, ["images/control", "images/treated"])
    fault = error(root)
    assert "contains only the folder 'images'" in fault.what
    assert fault.hint == f"Give that folder: {root / 'images'}"
    assert "train" not in str(fault)


def test_plates_inside_classes(tmp_path: Path) -> None:
    fault = error(write(tmp_path, ["control/plate1", "control/plate2", "treated/plate3"]))
    assert "the outer ones (control, treated) look like classes" in fault.what
    assert "dataset.type=table" in fault.hint
    assert "call one" not in fault.hint


def test_classes_inside_plates(tmp_path: Path) -> None:
    folders = [f"plate{n}/{name}" for n in range(1, 6) for name in ("control", "treated")]
    fault = error(write(tmp_path, folders))
    assert "(plate1, plate2, plate3, ..., or control, treated)" in fault.what
    assert "If the outer folders are splits, call one of them 'train'." in fault.hint


@pytest.mark.parametrize(
    "folders",
    [["train/a", "train/b", "lab 2/a"], ["Training/a", "x/a"], ["train/a", "train/b"]],
)
def test_splits_are_still_splits(tmp_path: Path, folders: Sequence[str]) -> None:
    table = cv.datasets.create("folder", path=write(tmp_path, folders)).catalog()
    assert set(table["split"]) == {folder.split("/")[0] for folder in folders}


def test_splits_without_training_images_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path, ["test/a", "test/b", "validation/a", "validation/b"])
    with pytest.raises(errors.CatalogError, match="none is called 'train'"):
        cv.audit(cv.datasets.create("folder", path=root))
