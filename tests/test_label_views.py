"""The network's view of an image to label: prepared as the training would prepare it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from images import noise, write
from labelling import label
from PIL import Image

import cellvision as cv
from cellvision import errors
from cellvision.labelling.images import Gallery
from cellvision.labelling.store import Store
from cellvision.recipe_experiment import as_experiment

SIDES = (20, 25, 30, 35, 41)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Cut out cells of several sizes, which the default recipe centres on one canvas."""
    root = tmp_path / "cells"
    for number, folder in enumerate(("train/a", "train/b", "test/a", "test/b")):
        for side in SIDES:
            write(root / folder / f"{side}.png", noise(100 * number + side, (side, side)))
    return root


def pictures(file: Path) -> dict[int, dict[str, np.ndarray]]:
    """Return both views of each image to label, by its side, over the whole range."""
    with Store(file) as store:
        plan = store.plan()
        gallery = Gallery(plan)
        return {
            int(Path(image.image).stem): {
                view: np.asarray(Image.open(io.BytesIO(gallery.png(image, view, (0.0, 1.0)))))
                for view in plan.views
            }
            for image in plan.images
        }


def test_a_folder_is_shown_as_its_recipe_prepares_it(cells: Path, tmp_path: Path) -> None:
    """Seen: 256 × 256 pixels, whatever the training would use."""
    file = tmp_path / "a.sqlite"
    assert label(cells, "--out", file, "--static", tmp_path / "page") == 0
    trained_on = as_experiment(cells).preprocessing
    assert (trained_on.size, trained_on.fit, trained_on.channels) == ((41, 41), "crop", "gray")
    for side, views in pictures(file).items():
        assert views["native"].shape == (side, side)
        assert views["seen"].shape == (41, 41)
        edge = (41 - side) // 2
        centre = views["seen"][edge : edge + side, edge : edge + side]
        assert np.array_equal(centre, views["native"])  # neither enlarged nor squashed


def test_the_recipe_can_be_named(cells: Path, tmp_path: Path) -> None:
    words = ("--static", tmp_path / "page", "--recipe", "page")
    assert label(cells, "--out", tmp_path / "a.sqlite", *words) == 0
    assert pictures(tmp_path / "a.sqlite")[20]["seen"].shape == (256, 256)
    cv.label(cells, tmp_path / "b.sqlite", recipe="page", serve=False)
    assert pictures(tmp_path / "b.sqlite")[20]["seen"].shape == (256, 256)
    cv.label(cells, tmp_path / "c.sqlite", serve=False)
    assert pictures(tmp_path / "c.sqlite")[20]["seen"].shape == (41, 41)
    with pytest.raises(errors.InvalidInput, match="other images, classes, preprocessing"):
        cv.label(cells, tmp_path / "b.sqlite", serve=False)


def test_a_recipe_is_refused_where_it_chooses_nothing(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv.label(cells, tmp_path / "a.sqlite", serve=False)
    for words, reason in (
        ([cells, "--classes", "a,b"], "--classes labels images without one"),
        ([cells, "--run", tmp_path / "run"], "--run shows images as its network sees them"),
        ([tmp_path / "a.sqlite"], "its images and rules were fixed at its start"),
    ):
        out = [] if "a.sqlite" in str(words[0]) else ["--out", tmp_path / "b.sqlite"]
        assert label(*words, *out, "--recipe", "quick") == 2
        assert reason in " ".join(capsys.readouterr().err.split())
