"""What the network looks at, and what its answer withstands: `attention` and `robustness`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from test_reporters import assert_is_a_picture, assert_nothing_is_clipped

import cellvision as cv
from cellvision import errors

SIDE = 20


class Corner(cv.Architecture):
    """One convolution, and where in the image it finds something."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> Any:
        import keras
        from keras import layers

        stack = [
            keras.Input(input_shape),
            layers.Conv2D(6, 3, activation="relu"),
            layers.MaxPooling2D(3),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
        return keras.Sequential(stack)

    def optimizer(self) -> Any:
        import keras

        return keras.optimizers.Adam(0.01)


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> Iterator[None]:
    cv.architectures.register("corner", Corner)
    with tiny.on_offer():
        yield
    cv.architectures.unregister("corner")


def spot(label: str, seed: int) -> np.ndarray:
    """Noise, with a bright spot in the upper left corner where the label is "spot"."""
    rng = np.random.default_rng([seed, label == "spot"])
    image = rng.normal(60, 12, (SIDE, SIDE))
    if label == "spot":
        image[3:7, 3:7] += 90
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    home = tmp_path_factory.mktemp("limits")
    rows = ["file,well"]
    for label in ("plain", "spot"):
        for number in range(40):
            file = tiny.write(home / "images" / label / f"{number}.png", spot(label, number))
            rows.append(f"{label}/{file.name},{label}{number % 8}")
    (home / "images" / "groups.csv").write_text("\n".join(rows) + "\n")
    asked = tiny.experiment(
        home / "images", "corner", group="well", epochs=8, preprocessing={"size": (SIDE, SIDE)}
    )
    made = cv.train(asked, home / "run")
    assert made.scores["test"].accuracy == 1.0
    return made


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    from cellvision_reporters.figures.figure import Sheet

    figures: list[Any] = []
    save = Sheet.save

    def keep(self: Sheet, target: Path, dpi: int) -> Path:
        figures.append(self.figure)
        return save(self, target, dpi)

    monkeypatch.setattr(Sheet, "save", keep)
    return figures


def test_attention_finds_the_spot_and_forgets_it(
    run: cv.Run, tmp_path: Path, drawn: list[Any]
) -> None:
    made = cv.reporters.create("attention", images=4, patch=0.2).run(run, tmp_path)
    names = ["attention.json", "attention_test.png", "embedding_test.csv", "embedding_test.png"]
    assert sorted(path.name for path in made) == names
    for path in made:
        if path.suffix == ".png":
            assert_is_a_picture(path)
    for figure in drawn:
        assert_nothing_is_clipped(figure)
    told = json.loads((tmp_path / "attention.json").read_text())["test"]
    assert told["completeness"] == pytest.approx([1] * 4, abs=0.1)
    assert [step["layers_redrawn"] for step in told["check"]] == [1, 2, 3]
    assert np.mean(np.abs(told["check"][-1]["rank_correlation"])) < 0.5
    assert told["warning"] == ""
    shares = told["embedding"]
    assert shares["class_share"] > 0.5
    assert 0 <= shares["group_share"] <= 1 - shares["class_share"]
    arranged = pd.read_csv(tmp_path / "embedding_test.csv")
    assert list(arranged.columns) == ["image", "group", "label", "predicted", "x", "y"]
    assert len(arranged) == run.scores["test"].n


def test_maps_are_where_the_spot_is(run: cv.Run) -> None:
    from cellvision_reporters.explain.attribution import integrated_gradients, occlusion, smoothed

    rows = run.predictions[(run.predictions["split"] == "test")]
    images = run.network_input(list(rows["image"][rows["label"] == "spot"]))
    classes = np.ones(len(images), int)
    gradients = smoothed(integrated_gradients(run.probe(), images, classes, 16))
    covered, side = occlusion(run.probe(), images, classes, 0.2)
    assert side == 4
    for maps in (gradients, covered):
        assert maps.shape == images.shape[:3]
        assert maps[:, 3:7, 3:7].mean() > 10 * np.abs(maps[:, 10:, 10:]).mean()


def test_a_map_that_shows_the_image_only_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, drawn: list[Any]
) -> None:
    # A network of mean intensity: its map is the image itself, whatever its weights are.
    asked = tiny.experiment(tiny.make_folder(tmp_path / "images"))
    run = cv.train(asked, tmp_path / "run")
    with caplog.at_level(logging.WARNING):
        cv.reporters.create("attention", images=3).run(run, tmp_path)
    assert "hardly changes" in caplog.text
    assert json.loads((tmp_path / "attention.json").read_text())["test"]["warning"] in caplog.text
    words = " ".join(text.get_text() for text in drawn[0].texts)
    assert "hardly changes" in " ".join(words.split())


def test_umap_and_how_to_get_it(
    run: cv.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    reporter = cv.reporters.create("attention", images=1, steps=2, patch=0.5, projection="umap")
    with pytest.raises(errors.InvalidInput, match="umap-learn") as caught:
        reporter.run(run, tmp_path)
    assert "pip install umap-learn" in caught.value.hint


def test_a_split_that_is_not_there(run: cv.Run, tmp_path: Path) -> None:
    for name in ("attention", "robustness"):
        with pytest.raises(errors.ExperimentError, match="no split 'tset'") as caught:
            cv.reporters.create(name, split="tset").run(run, tmp_path)
        assert "test, train, validation" in caught.value.hint


SETTINGS = {
    "rotation": [5, 45],
    "shift": [0.01, 0.5],
    "darker": [0.9, 0.1],
    "brighter": [1.1, 4],
    "blur": [0.5, 6],
    "noise": [0.01, 0.8],
    "jpeg": [90, 1],
    "attack": [0.0001, 0.1, 0.6],
    "attack_steps": 5,
}


@pytest.fixture(scope="module")
def shaken(run: cv.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("robustness")
    cv.reporters.create("robustness", **SETTINGS).run(run, folder)
    return folder


def test_mild_changes_matter_less_than_strong_ones(run: cv.Run, shaken: Path) -> None:
    table = pd.read_csv(shaken / "robustness_test.csv")
    assert list(table["change"].unique()) == [
        *("unchanged", "rotation", "shift", "darker", "brighter", "blur", "noise", "JPEG"),
        *("fast gradient", "projected gradient"),
    ]
    assert (table["n"] == run.scores["test"].n).all()
    assert (table["groups"] == run.scores["test"].groups).all()
    assert (table["accuracy_low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["accuracy_high"]).all()
    of = {name: rows["accuracy"].to_numpy() for name, rows in table.groupby("change")}
    assert of["unchanged"] == [1.0]
    assert list(of["shift"]) == sorted(of["shift"], reverse=True)
    assert table.loc[table["change"] == "shift", "strength"].tolist() == [0.2, 10]
    assert of["shift"][0] > 0.9 > of["shift"][1]
    for attack in ("fast gradient", "projected gradient"):
        assert list(of[attack]) == sorted(of[attack], reverse=True)
        assert of[attack][0] > 0.9
    assert of["projected gradient"][-1] < 0.1
    right = (1 - table["accuracy"]) * table["n"]
    np.testing.assert_allclose(table["flipped"], right)  # for all were right unchanged


def test_flips_are_told_with_the_mildest_strength(shaken: Path) -> None:
    flips = pd.read_csv(shaken / "robustness_flips_test.csv")
    table = pd.read_csv(shaken / "robustness_test.csv")
    assert not flips.duplicated(["image", "change"]).any()
    assert (flips["answer"] != flips["label"]).all()
    projected = flips[flips["change"] == "projected gradient"]
    told = table[table["change"] == "projected gradient"].set_index("strength")["flipped"]
    for strength, count in told.items():
        assert (projected["strength"] <= strength).sum() == count


def test_what_is_by_chance_depends_on_the_seed_only(
    run: cv.Run, shaken: Path, tmp_path: Path, drawn: list[Any]
) -> None:
    made = cv.reporters.create("robustness", **SETTINGS).run(run, tmp_path)
    for path in made:
        if path.suffix == ".csv":
            assert path.read_bytes() == (shaken / path.name).read_bytes()
        else:
            assert_is_a_picture(path)
    assert len(drawn) == 2
    for figure in drawn:
        assert_nothing_is_clipped(figure)


def test_the_page_shows_what_was_asked_for(run: cv.Run, shaken: Path) -> None:
    (page,) = cv.reporters.create("html").run(run, shaken)
    text = page.read_text(encoding="utf-8")
    assert "Accuracy on changed images" in text
    assert "What the network looks at" not in text  # nobody asked for it: it takes its time


def test_attacks_stay_within_reach(run: cv.Run) -> None:
    from cellvision_reporters.robustness.attacks import fast_gradient, projected_gradient
    from cellvision_reporters.robustness.perturbations import Scale

    probe, images = run.probe(), run.network_input(list(run.predictions["image"][:6]))
    classes = np.array([0, 1] * 3)
    scale = Scale.of(images)
    before = probe.log_odds(images, classes)
    for attacked in (
        fast_gradient(probe, images, classes, 0.05, scale),
        projected_gradient(probe, images, classes, 0.05, scale, 5, 0),
    ):
        assert np.abs(attacked - images).max() <= 0.05 + 1e-6
        assert attacked.min() >= 0
        assert attacked.max() <= 1
        assert (probe.log_odds(attacked, classes) < before).all()


def test_a_study_gets_the_mean_over_runs(run: cv.Run, tmp_path: Path, drawn: list[Any]) -> None:
    study = cv.study(run.experiment, 2, tmp_path / "study", progress=False)
    few = {**SETTINGS, "rotation": [], "blur": [], "jpeg": [], "noise": [], "images": 6}
    made = cv.reporters.create("robustness", **few).study(study, tmp_path)
    assert [path.name for path in made] == ["robustness_test.png", "robustness_test.csv"]
    table = pd.read_csv(made[1])
    assert set(table["run"]) == {0, 1}
    assert "rotation" not in set(table["change"])
    assert (table["n"] == 6).all()
    assert_is_a_picture(made[0])
    assert_nothing_is_clipped(drawn[0])
