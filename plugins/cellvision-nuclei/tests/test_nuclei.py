"""Nuclei of drawn images are found, divided, written as masks, and cropped."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from cellvision_nuclei import draw_outlines, find_nuclei
from cellvision_nuclei.folders import Settings, find_in_folder
from PIL import Image

import cellvision as cv
from cellvision import errors

SHAPE = (120, 160)
DISCS = ((30, 30, 9), (30, 46, 9), (80, 60, 10), (90, 120, 8), (30, 110, 9))
"""Row, column and radius; the first two touch."""


def drawn(
    discs: Sequence[tuple[int, int, int]] = DISCS, noise: float = 30, high: float = 900
) -> np.ndarray:
    """Draw bright discs on an uneven, noisy background, uint16."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = 200 + 0.5 * columns
    for row, column, radius in discs:
        image = np.where(np.hypot(rows - row, columns - column) <= radius, high, image)
    image = image + np.random.default_rng(0).normal(0, noise, SHAPE)
    return np.clip(image, 0, 65535).astype(np.uint16)


def centres(labels: np.ndarray) -> list[tuple[int, int]]:
    numbers = range(1, labels.max() + 1)
    found = [np.argwhere(labels == number).mean(axis=0) for number in numbers]
    return sorted((round(row), round(column)) for row, column in found)


@pytest.mark.parametrize("diameter", [None, 18.0])
def test_every_nucleus_is_found_and_touching_ones_are_divided(diameter: float | None) -> None:
    nuclei = find_nuclei(drawn(), diameter=diameter)
    assert nuclei.count == len(DISCS)
    for (row, column), (y, x, _) in zip(centres(nuclei.labels), sorted(DISCS), strict=True):
        assert abs(row - y) <= 1
        assert abs(column - x) <= 1
    areas = np.bincount(nuclei.labels.ravel())[1:]
    assert sorted(areas) == pytest.approx(sorted(np.pi * r**2 for *_, r in DISCS), rel=0.2)
    assert nuclei.diameter == pytest.approx(18, abs=3)
    assert 300 < nuclei.threshold < 900
    assert not nuclei.is_doubtful


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", drawn())
    out = tmp_path / "out"
    with cv.io.folder_lock(out, "train"), pytest.raises(errors.FolderError, match="in use by: tra"):
        find_in_folder(tmp_path / "images", out, Settings())
    assert not out.exists()
    find_in_folder(tmp_path / "images", out, Settings())
    assert (out / "nuclei.csv").is_file()


def test_dark_nuclei_borders_and_small_areas() -> None:
    dark = 1200 - drawn().astype(int)
    nuclei = find_nuclei(dark, dark=True)
    assert nuclei.count == len(DISCS)
    assert 300 < nuclei.threshold < 900
    at_edge = drawn([*DISCS, (0, 80, 9), (100, 30, 3)])
    assert find_nuclei(at_edge).count == len(DISCS) + 1  # the small one is dropped
    assert find_nuclei(at_edge, border="drop").count == len(DISCS)
    assert find_nuclei(at_edge, smallest=10).count == len(DISCS) + 2
    assert find_nuclei(at_edge, smallest=290).count < len(DISCS)


def test_images_without_nuclei() -> None:
    assert find_nuclei(np.full((20, 20), 7)).count == 0
    noise = find_nuclei(np.random.default_rng(0).normal(100, 10, (100, 100)))
    assert noise.is_doubtful
    with pytest.raises(errors.InvalidInput, match="Choose one channel"):
        find_nuclei(np.zeros((4, 4, 3)))
    with pytest.raises(errors.InvalidInput, match="diameter is 0"):
        find_nuclei(drawn(), diameter=0)


def test_outlines_surround_the_nuclei() -> None:
    image = drawn()
    labels = find_nuclei(image).labels
    picture = draw_outlines(image, labels)
    assert (picture.shape, picture.dtype) == ((*SHAPE, 3), np.uint8)
    marked = (picture == (255, 140, 0)).all(axis=-1)
    assert (labels[marked] > 0).all()
    assert not marked[80, 60]
    assert 100 < marked.sum() < 400
    assert picture[80, 60].min() > 150 > picture[2, 2].max()


def run(*words: object) -> int:
    from cellvision.cli import main

    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Two classes with an image each; nuclei are in the second channel."""
    for name, discs in (("a/one.tif", DISCS), ("b/two.ome.tif", DISCS[2:])):
        path = tmp_path / "fields" / name
        path.parent.mkdir(parents=True)
        empty = np.random.default_rng(1).normal(100, 5, SHAPE).astype(np.uint16)
        options: dict[str, Any] = {"photometric": "minisblack"}
        tifffile.imwrite(path, np.stack([empty, drawn(discs)]), **options)
    return tmp_path / "fields"


@pytest.mark.slow
def test_the_command_writes_masks_that_prepare_crop_reads(
    fields: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "nuclei"
    assert run("nuclei", fields, "--out", out, "--channel", 1) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "8 nuclei in 2 images" in said.out
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        *("masks/a/one.tif", "masks/b/two.ome.tif", "outlines/a/one.png"),
        *("outlines/b/two.ome.png", "nuclei.png", "nuclei.csv"),
    }
    mask = tifffile.imread(out / "masks" / "a" / "one.tif")
    assert (mask.dtype, mask.shape, mask.max()) == (np.uint16, SHAPE, 5)
    assert np.asarray(Image.open(out / "nuclei.png")).std() > 10
    table = pd.read_csv(out / "nuclei.csv")
    assert list(table["image"]) == ["a/one.tif"] * 5 + ["b/two.ome.tif"] * 3
    inside = table["x"].between(table["left"], table["right"])
    assert inside.all()
    # The command that is printed works, and so does the table.
    words = shlex.split(said.out.splitlines()[-1])
    assert run(*words[1:]) == 0
    cells = tmp_path / "nuclei-cells"
    assert len(list((cells / "a").glob("*.tif"))) == 5
    assert cv.io.read_image(next((cells / "b").glob("*.tif"))).pixels.shape[2] == 2
    crops = cv.prepare.crop_images(
        fields, tmp_path / "by_table", table=out / "nuclei.csv", size=(32, 32)
    )
    assert len(crops) == 8
    assert list(crops["field"].unique()) == ["a/one", "b/two"]


def test_mistakes_get_a_hint(
    fields: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("nuclei", fields, "--out", tmp_path / "nuclei") == 2
    assert "has 2 channels" in capsys.readouterr().err
    assert run("nuclei", fields, "--out", tmp_path / "n", "--channel", 2) == 2
    assert "none is number 2" in capsys.readouterr().err
    assert run("nuclei", fields, "--out", fields / "out", "--channel", 1) == 2
    assert "lies in the folder of images" in capsys.readouterr().err
    assert run("nuclei", tmp_path / "nowhere", "--out", tmp_path / "n") == 2
    assert "no such folder" in capsys.readouterr().err
    (fields / "a" / "one.png").write_bytes((fields / "a" / "one.tif").read_bytes())
    assert run("nuclei", fields, "--out", tmp_path / "n", "--channel", 1) == 2
    assert "would have the same mask" in capsys.readouterr().err
    assert not (tmp_path / "n").exists()


def test_images_without_clear_nuclei_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).normal(1000, 100, SHAPE).astype(np.uint16)
    tifffile.imwrite(tmp_path / "empty.tif", noise)
    assert run("nuclei", tmp_path / "empty.tif", "--out", tmp_path.parent / "nuclei-of-noise") == 0
    assert "hardly differ from the background" in capsys.readouterr().err


def test_what_to_do_next_fits_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "even.tif", np.full((40, 60), 300, np.uint16))
    assert run("nuclei", tmp_path / "even.tif", "--out", tmp_path.parent / "none") == 0
    said = capsys.readouterr().out
    assert "0 nuclei in 1 image\n" in said
    assert "Try --dark" in said
    assert "prepare crop" not in said
    tifffile.imwrite(tmp_path / "one.tif", drawn(DISCS[2:3])[40:115, 20:100])
    assert run("nuclei", tmp_path / "one.tif", "--out", tmp_path.parent / "single") == 0
    said = capsys.readouterr().out
    assert "1 nucleus in 1 image\n" in said
    assert "prepare crop" in said
    with Image.open(tmp_path.parent / "single" / "nuclei.png") as sheet:
        assert sheet.size[1] > 5 * 75  # an image of 75 × 80 pixels fills its place
