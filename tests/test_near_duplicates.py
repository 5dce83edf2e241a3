"""Near-duplicates across splits: found in many guises, told as a warning, and never refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from images import write
from PIL import Image
from scipy import ndimage

import cellvision as cv
from cellvision.cli import main
from cellvision.data.catalog import Catalog
from cellvision.data.image_stats import ImageStats
from cellvision.data.near_duplicates import NEAR, find_near_duplicates, sketch

SIDE = 48


def cell(seed: int) -> np.ndarray:
    """A bright, uneven spot near the middle of a dark background."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5 + rng.normal(0, 0.04, (2, 1, 1))
    turn = rng.uniform(0, np.pi)
    along = np.cos(turn) * rows + np.sin(turn) * columns
    across = np.cos(turn) * columns - np.sin(turn) * rows
    spot = np.exp(-((along / rng.uniform(0.12, 0.3)) ** 2) - (across / rng.uniform(0.08, 0.2)) ** 2)
    texture = ndimage.gaussian_filter(rng.normal(0, 1, (SIDE, SIDE)), 3)
    light = 20 + 110 * spot * (1 + 6 * texture) + rng.normal(0, 2, (SIDE, SIDE))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int = 60) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def dimmed(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels * 0.6 + 12).astype(np.uint8)


def noisy(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 6, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


GUISES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "dimmed": dimmed,
    "compressed": jpeg,
    "noisy": noisy,
    "turned": np.rot90,
    "mirrored": np.fliplr,
    "turned, mirrored": lambda pixels: np.flipud(np.rot90(pixels)),
    "cropped": lambda pixels: pixels[1:-1, 1:-1],
    "halved": lambda pixels: np.asarray(Image.fromarray(pixels).resize((SIDE // 2, SIDE // 2))),
    "all at once": lambda pixels: jpeg(noisy(dimmed(np.ascontiguousarray(np.rot90(pixels, 3))))),
}


def make(root: Path, copies: dict[str, np.ndarray] | None = None) -> Path:
    """Sixty cells to train on, thirty to test on; and copies, in the test set."""
    for number in range(90):
        split = "train" if number < 60 else "test"
        write(root / split / "ab"[number % 2] / f"{number}.png", cell(number))
    for name, pixels in (copies or {}).items():
        write(root / "test" / "a" / f"{name}.png", np.ascontiguousarray(pixels))
    return root


def audit(root: Path) -> cv.Audit:
    dataset = cv.datasets.create("folder", path=root)
    return cv.audit(cv.Experiment(dataset=dataset, split=cv.Split(validation=0)))


def test_exactly_the_modified_copies_are_reported(tmp_path: Path) -> None:
    copies = {
        name: change(cell(2 * number)) for number, (name, change) in enumerate(GUISES.items())
    }
    report = audit(make(tmp_path, copies))
    pairs = {(pair.image, pair.other) for pair in report.near_duplicates}
    assert pairs == {
        (f"test/a/{name}.png", f"train/a/{2 * number}.png") for number, name in enumerate(GUISES)
    }
    assert all(
        pair.split == "test" and pair.other_split == "train" for pair in report.near_duplicates
    )
    assert [pair.ratio for pair in report.near_duplicates] == sorted(
        pair.ratio for pair in report.near_duplicates
    )
    (warning,) = [line for line in report.warnings if "near-dup" in line]
    assert warning.startswith("9 images of test look like near-duplicates of images of train: ")
    assert "and 6 more" in warning
    assert report.leaks == ()


def test_cells_on_a_dark_background_are_no_copies(tmp_path: Path) -> None:
    report = audit(make(tmp_path))
    assert report.near_duplicates == ()
    assert not any("near-dup" in line for line in report.warnings)


def test_a_copy_is_warned_of_and_not_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, {"dim": dimmed(cell(4))})
    with pytest.raises(SystemExit) as end:
        main(["audit", str(tmp_path)])
    assert end.value.code == 0
    assert "'test/a/dim.png' and 'train/a/4.png'" in " ".join(capsys.readouterr().out.split())


def test_empty_tiles_are_called_empty(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    for split, count in (("train", 30), ("test", 12)):
        for label in "ab":
            for k in range(count):
                tile = 20 + rng.normal(0, 2, (96, 96)) + (x + y) / 32  # of uneven light
                for row, column in rng.integers(10, 86, (4 if k else 0, 2)):
                    tile += 150 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 60)
                file = tmp_path / split / label / f"{k}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.clip(tile, 0, 255).astype(np.uint8)).save(file)
    (warning,) = [line for line in cv.audit(tmp_path).warnings if "of test look" in line]
    assert "'test/a/0.png'" in warning
    assert "have almost no contrast: they may be empty tiles, not copies." in warning
    brighter = np.asarray(Image.open(tmp_path / "train/a/5.png")) // 2 + 40
    Image.fromarray(brighter).save(tmp_path / "test/b/5.png")
    (warning,) = [line for line in cv.audit(tmp_path).warnings if "of test look" in line]
    assert "train: 'test/b/5.png' and 'train/a/5.png'; 'test/" in warning  # the copy comes first
    assert " 2 of 3 pairs have almost no contrast" in warning


def test_equal_pixels_are_a_leak_and_no_near_duplicate(tmp_path: Path) -> None:
    report = audit(make(tmp_path, {"same": cell(4)}))
    assert [leak.kind for leak in report.leaks] == ["identical_pixels"]
    assert report.near_duplicates == ()


def test_copies_within_a_split_are_ignored(tmp_path: Path) -> None:
    make(tmp_path)
    write(tmp_path / "train" / "a" / "dim.png", dimmed(cell(4)))
    assert audit(tmp_path).near_duplicates == ()


@pytest.mark.slow
def test_a_training_is_warned_too(tmp_path: Path) -> None:
    from tiny import experiment, on_offer

    make(tmp_path / "images", {"dim": dimmed(cell(4))})
    with on_offer():
        run = cv.train(experiment(tmp_path / "images", epochs=1), tmp_path / "run")
    assert any("'test/a/dim.png' and 'train/a/4.png'" in line for line in run.warnings)


@pytest.mark.parametrize(
    ("pixels", "known"),
    [
        (np.full((20, 20, 1), 7, np.uint8), False),
        (np.zeros((9, 30, 1), np.uint8), False),
        (np.eye(30, dtype=bool)[..., None], True),
        (np.linspace(-1, 1, 900).reshape(30, 30, 1), True),
        (np.arange(1200, dtype=np.uint16).reshape(20, 20, 3), True),
    ],
    ids=["flat", "small", "black and white", "fractions", "three channels"],
)
def test_sketches(pixels: np.ndarray, known: bool) -> None:
    assert len(sketch(pixels)) == (100 if known else 0)


def test_a_sketch_keeps_neither_brightness_nor_contrast() -> None:
    pixels: Any = cell(0)[..., None].astype(np.uint16)
    assert sketch(pixels) == sketch(pixels * 9 + 400)


def _turned(grids: np.ndarray) -> list[np.ndarray]:
    turns = [np.rot90(grids, k, axes=(1, 2)) for k in range(4)]
    return [grid.reshape(len(grids), -1) for turn in turns for grid in (turn, turn[:, ::-1])]


def _ratios(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """For each test sketch: distance to the nearest training sketch over that to the tenth."""

    def unit(grids: np.ndarray) -> np.ndarray:
        rows = grids.reshape(len(grids), -1).astype(float)
        rows -= rows.mean(axis=1, keepdims=True)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).reshape(grids.shape)

    gallery = unit(train).reshape(len(train), -1)
    pairs = [np.linalg.norm(turn[:, None] - gallery, axis=2) for turn in _turned(unit(test))]
    distances = np.sort(np.min(pairs, axis=0), axis=1)
    return distances[:, 0] / distances[:, 10]


@pytest.mark.parametrize("seed", range(4))
def test_the_quick_bound_misses_no_copy(seed: int) -> None:
    """Copies with noise around the limit, turned at random: as comparing all pairs finds them."""
    rng = np.random.default_rng(seed)
    train = rng.integers(-100, 100, (60, 10, 10)).astype(np.int8)
    noise = rng.normal(0, np.linspace(5, 40, 40)[:, None, None], (40, 10, 10))
    copies = np.stack([np.rot90(image, rng.integers(4)) for image in train[:40]])
    test = np.clip(np.rint(copies + noise), -127, 127).astype(np.int8)
    ratios = _ratios(train, test)
    clear = np.abs(ratios - NEAR) > 1e-3
    assert 5 < (ratios < NEAR).sum() < 35

    sketches = [grid.tobytes() for grid in (*train, *test)]
    names = [f"{k:03}" for k in range(len(sketches))]
    stats = [
        ImageStats(name, "read", "", digest=name, sketch=reduced)
        for name, reduced in zip(names, sketches, strict=True)
    ]
    table = pd.DataFrame(
        {"image": names, "label": "a", "split": ["train"] * len(train) + ["test"] * len(test)}
    )
    pairs = find_near_duplicates(Catalog(table, ("a",), None), stats)
    reported = {int(pair.image) - len(train) for pair in pairs}
    assert {k for k in np.flatnonzero(clear) if ratios[k] < NEAR} <= reported
    assert not {k for k in np.flatnonzero(clear) if ratios[k] > NEAR} & reported
