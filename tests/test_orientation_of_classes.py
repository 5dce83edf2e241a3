"""Classes that differ in direction: recognised, and not mixed up by augmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cellvision as cv
from cellvision.data.recipe_facts import image_facts

SIDE = 40
Draw = Callable[[np.random.Generator], np.ndarray]


def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(60, 6, (SIDE, SIDE))


def add_spot(image: np.ndarray, row: float, column: float, radius: float) -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = (rows - row) ** 2 + (columns - column) ** 2
    image += 90 * np.exp(-distance / (2 * radius**2))


def cell_that_moves(sign: int) -> Draw:
    """A cell with a bright front on its left or right side."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        image = noise(rng)
        row, column = rng.uniform(14, 26, 2)
        add_spot(image, row, column, 5)
        add_spot(image, row + rng.normal(0, 2), column + sign * rng.uniform(4, 7), 2)
        return image

    return draw


def fibres(axis: int) -> Draw:
    """Stripes along rows or along columns."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        waves = np.sin(np.arange(SIDE) * rng.uniform(0.6, 1.2) + rng.uniform(0, 6))
        return noise(rng) + 30 * np.expand_dims(waves, axis)

    return draw


def spiral(sense: int) -> Draw:
    """Two arms that turn to the left or to the right."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + rng.uniform(-2, 2, (2, 1, 1))
        radius, angle = np.hypot(rows, columns), np.arctan2(rows, columns)
        arms = np.cos(2 * sense * angle + radius / 2 + rng.uniform(0, 6))
        return noise(rng) + 50 * arms * np.exp(-radius / 14)

    return draw


def spots(number: int) -> Draw:
    """Some round spots anywhere."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        image = noise(rng)
        for row, column in rng.uniform(6, SIDE - 6, (number, 2)):
            add_spot(image, row, column, 3)
        return image

    return draw


PROBLEMS: dict[str, tuple[tuple[Draw, Draw], dict[str, Any] | None]] = {
    "moving left, moving right": (
        (cell_that_moves(-1), cell_that_moves(1)),
        {"type": "flip", "horizontal": False, "vertical": True},
    ),
    "along, across": (
        (fibres(0), fibres(1)),
        {"type": "flip", "horizontal": True, "vertical": True},
    ),
    "turning left, turning right": (
        (spiral(1), spiral(-1)),
        {"type": "dihedral", "mirror": False, "quarter_turns": True},
    ),
    "two spots, five spots": (
        (spots(2), spots(5)),
        {"type": "dihedral", "mirror": True, "quarter_turns": True},
    ),
}


def folder(root: Path, classes: tuple[Draw, Draw], images: int, wells: int | None = None) -> Path:
    """Write a folder of two classes and a table that names the well of each image."""
    rng = np.random.default_rng(0)
    rows = ["file,well"]
    for label, draw in enumerate(classes):
        for number in range(images):
            name = f"class {label}/{number}.png"
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(draw(rng), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path)
            rows.append(f"{name},{label}-{number % (wells or images)}")
    (root / "groups.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


@pytest.mark.parametrize("name", ["standard", "quick"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_no_image_is_shown_in_an_orientation_of_another_class(
    tmp_path: Path, problem: str, name: str
) -> None:
    classes, expected = PROBLEMS[problem]
    chosen = cv.experiment_from_recipe(folder(tmp_path, classes, 70), name)
    augmenter, shift = (
        {"type": type(each).__name__.lower(), **each.model_dump()} for each in chosen.augmenters
    )
    assert augmenter == expected
    assert shift["type"] == "shift"
    free = problem == "two spots, five spots"
    assert chosen.training.tta is free
    reason = chosen.recipe_reasons.get("augmenters", "")
    assert ("because classes differ in direction" in reason) is not free


def test_the_tests_say_what_orientations_cost(tmp_path: Path) -> None:
    dataset = cv.datasets.create("folder", path=folder(tmp_path, PROBLEMS["along, across"][0], 60))
    tests = image_facts(dataset, cv.Split()).orientation_tests
    assert set(tests) == {
        "dihedral", "quarter_turns", "flips", "left_right", "up_down", "half_turn",
    }  # fmt: skip
    assert tests["dihedral"].as_found == tests["flips"].accuracy == 1
    assert tests["flips"].p == 1
    assert tests["dihedral"].accuracy < 0.7
    assert tests["dihedral"].p < 1e-6


def test_few_images_or_groups_are_no_evidence(tmp_path: Path) -> None:
    classes = PROBLEMS["along, across"][0]
    few = cv.datasets.create("folder", path=folder(tmp_path / "few", classes, 20))
    assert image_facts(few, cv.Split()).orientation_tests == {}
    two_wells = folder(tmp_path / "wells", classes, 60, wells=2)
    dataset = cv.datasets.create("folder", path=two_wells, group="well")
    split = cv.Split(validation=0, test=0)
    assert image_facts(dataset, split).orientation_tests == {}


def test_features_without_direction_are_not_chosen_for_directions(tmp_path: Path) -> None:
    """Fixed features suit few groups, but are the same in every orientation."""
    chosen = {}
    for problem, (classes, _) in PROBLEMS.items():
        root = folder(tmp_path / problem.replace(" ", "_"), classes, 90)
        facts = image_facts(cv.datasets.create("folder", path=root), cv.Split())
        few = dict.fromkeys(facts.class_counts, 2)
        settings = cv.recipes.create("standard").experiment(
            cv.ImageFacts(**{**vars(facts), "groups": 4, "class_groups": few})
        )
        architecture = settings["architecture"]
        assert isinstance(architecture, dict)
        chosen[problem] = architecture["type"]
        reasons = settings["recipe_reasons"]
        assert isinstance(reasons, dict)
        assert ("architecture" in reasons) == (chosen[problem] == "scattering")
    assert chosen.pop("two spots, five spots") == "scattering"
    assert set(chosen.values()) == {"resnet"}


@pytest.mark.slow
def test_standard_learns_directions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With all flips and turns, the accuracy is that of guessing."""
    classes, _ = PROBLEMS["moving left, moving right"]
    chosen = cv.experiment_from_recipe(
        folder(tmp_path / "images", classes, 70),
        settings={"training": {"epochs": 25}, "reporters": []},
    )
    run = cv.train(chosen, tmp_path / "run", progress=False)
    assert run.scores["test"].n == 28
    assert run.scores["test"].accuracy > 0.9
    some = [tmp_path / "images" / "class 0" / f"{number}.png" for number in range(3)]
    warning = "averaged over all flips and turns, but the training used up-down flips only"
    for tta in (True, False):
        caplog.clear()
        cv.predict(run, some, tta=tta)
        assert (warning in caplog.text) is tta
