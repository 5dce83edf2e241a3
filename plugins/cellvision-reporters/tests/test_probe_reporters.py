"""The reporters that query the network: `attention` and `robustness`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_checks import assert_is_a_picture, assert_nothing_is_clipped, prose

import cellvision as cv
from cellvision import errors
from cellvision.testing import example_experiment

pytestmark = pytest.mark.exhaustive

SIDE = 20


class Spots(cv.Dataset):
    """Noise; images of the class "spot" have a bright spot in the upper left corner."""

    brightness: bool = False
    """Whether the whole image is bright instead."""

    def catalog(self) -> pd.DataFrame:
        rows = [
            {
                "image": f"{label}/{number}",
                "label": label,
                "split": ("test", "validation", "train", "train")[number % 8 % 4],
                "group": f"{label} well {number % 8}",
            }
            for label in ("plain", "spot")
            for number in range(40)
        ]
        return pd.DataFrame(rows)

    def read(self, image: str) -> np.ndarray:
        label, number = image.split("/")
        rng = np.random.default_rng([int(number), label == "spot"])
        pixels = rng.normal(60, 12, (SIDE, SIDE, 1))
        if label == "spot":
            region = slice(None) if self.brightness else slice(3, 7)
            pixels[region, region] += 90
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


class Corner(cv.Architecture):
    """A convolution that knows where in the image it finds something."""

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

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        return cv.TrainingRecipe(keras.optimizers.Adam(0.01))


class Mean(Corner):
    """Knows the mean intensity only, so that its maps show the image itself."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> Any:
        import keras
        from keras import layers

        stack = [
            keras.Input(input_shape),
            layers.GlobalAveragePooling2D(),
            layers.Dense(8, activation="relu"),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
        return keras.Sequential(stack)


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> Iterator[None]:
    cv.datasets.register("spots", Spots)
    cv.architectures.register("corner", Corner)
    cv.architectures.register("mean", Mean)
    yield
    cv.datasets.unregister("spots")
    cv.architectures.unregister("corner")
    cv.architectures.unregister("mean")


def experiment(dataset: cv.Dataset, architecture: cv.Architecture) -> cv.Experiment:
    training = cv.Training(epochs=8, batch_size=10, precision="float32", devices="cpu")
    preprocessing = cv.Preprocessing(size=(SIDE, SIDE), channels=(0,))
    return example_experiment(
        dataset=dataset, architecture=architecture, training=training, preprocessing=preprocessing
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    folder = tmp_path_factory.mktemp("probe") / "run"
    trained = cv.train(experiment(Spots(), Corner()), folder, progress=False)
    assert trained.scores["test"].accuracy == 1.0
    return trained


def test_attention_finds_the_spot_and_forgets_it(
    run: cv.Run, tmp_path: Path, drawn: list[Any]
) -> None:
    artifacts = cv.reporters.create("attention", images=4, patch=0.2).run(run, tmp_path)
    names = ["attention.json", "attention_test.png", "embedding_test.csv", "embedding_test.png"]
    assert sorted(each.path.name for each in artifacts) == names
    for path in (each.path for each in artifacts):
        if path.suffix == ".png":
            assert_is_a_picture(path)
    for figure in drawn:
        assert_nothing_is_clipped(figure)
    record = json.loads((tmp_path / "attention.json").read_text())["test"]
    assert record["completeness"] == pytest.approx([1] * 4, abs=0.1)
    assert [step["layers_randomised"] for step in record["check"]] == [1, 2, 3]
    assert np.mean(np.abs(record["check"][-1]["rank_correlation"])) < 0.5
    assert record["warning"] == ""
    shares = record["embedding"]
    assert shares["class_share"] > 0.5
    assert 0 <= shares["group_share"] <= 1 - shares["class_share"]
    arranged = pd.read_csv(tmp_path / "embedding_test.csv")
    assert list(arranged.columns) == ["image", "group", "label", "predicted", "x", "y"]
    assert len(arranged) == run.scores["test"].n


def test_maps_are_where_the_spot_is(run: cv.Run) -> None:
    from cellvision_reporters.explain.attribution import integrated_gradients, occlusion, smooth

    rows = run.predictions[(run.predictions["split"] == "test")]
    images = run.network_input(list(rows["image"][rows["label"] == "spot"]))
    classes = np.ones(len(images), int)
    gradients = smooth(integrated_gradients(run.probe(), images, classes, 16))
    covered, side = occlusion(run.probe(), images, classes, 0.2)
    assert side == 4
    for maps in (gradients, covered):
        assert maps.shape == images.shape[:3]
        assert maps[:, 3:7, 3:7].mean() > 10 * np.abs(maps[:, 10:, 10:]).mean()


def test_a_map_that_shows_only_the_image_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, drawn: list[Any]
) -> None:
    run = cv.train(experiment(Spots(brightness=True), Mean()), tmp_path / "run", progress=False)
    with caplog.at_level(logging.WARNING):
        cv.reporters.create("attention", images=3).run(run, tmp_path)
    assert "hardly changes" in caplog.text
    assert json.loads((tmp_path / "attention.json").read_text())["test"]["warning"] in caplog.text
    assert "hardly changes" in prose(drawn[0])


def test_umap_and_how_to_get_it(
    run: cv.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    reporter = cv.reporters.create("attention", images=1, steps=2, patch=0.5, projection="umap")
    with pytest.raises(errors.InvalidInput, match="umap-learn") as caught:
        reporter.run(run, tmp_path)
    assert "pip install umap-learn" in caught.value.hint


def test_an_unknown_split(run: cv.Run, tmp_path: Path) -> None:
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
def perturbed(run: cv.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("robustness")
    cv.reporters.create("robustness", **SETTINGS).run(run, folder)
    return folder


def test_mild_changes_matter_less_than_strong_ones(run: cv.Run, perturbed: Path) -> None:
    table = pd.read_csv(perturbed / "robustness_test.csv")
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


def test_flips_have_the_mildest_strength(perturbed: Path) -> None:
    flips = pd.read_csv(perturbed / "robustness_flips_test.csv")
    table = pd.read_csv(perturbed / "robustness_test.csv")
    assert not flips.duplicated(["image", "change"]).any()
    assert (flips["answer"] != flips["label"]).all()
    projected = flips[flips["change"] == "projected gradient"]
    flip_counts = table[table["change"] == "projected gradient"].set_index("strength")["flipped"]
    for strength, count in flip_counts.items():
        assert (projected["strength"] <= strength).sum() == count


def test_random_perturbations_depend_on_the_seed_only(
    run: cv.Run, perturbed: Path, tmp_path: Path, drawn: list[Any]
) -> None:
    artifacts = cv.reporters.create("robustness", **SETTINGS).run(run, tmp_path)
    for path in (each.path for each in artifacts):
        if path.suffix == ".csv":
            assert path.read_bytes() == (perturbed / path.name).read_bytes()
        else:
            assert_is_a_picture(path)
    assert len(drawn) == 2
    for figure in drawn:
        assert_nothing_is_clipped(figure)


def test_attacks_stay_within_reach(run: cv.Run) -> None:
    from cellvision_reporters.robustness.attacks import fast_gradient, projected_gradient
    from cellvision_reporters.robustness.perturbations import IntensityRange

    probe, images = run.probe(), run.network_input(list(run.predictions["image"][:6]))
    classes = np.array([0, 1] * 3)
    limits = IntensityRange.from_images(images)
    before = probe.log_odds(images, classes)
    for attacked in (
        fast_gradient(probe, images, classes, 0.05, limits),
        projected_gradient(probe, images, classes, 0.05, limits, 5, 0),
    ):
        assert np.abs(attacked - images).max() <= 0.05 + 1e-6
        assert attacked.min() >= 0
        assert attacked.max() <= 1
        assert (probe.log_odds(attacked, classes) < before).all()


def test_a_study_gets_the_mean_over_runs(run: cv.Run, tmp_path: Path, drawn: list[Any]) -> None:
    study = cv.study(run.experiment, 2, tmp_path / "study", progress=False)
    few = {**SETTINGS, "rotation": [], "blur": [], "jpeg": [], "noise": [], "images": 6}
    artifacts = cv.reporters.create("robustness", **few).study(study, tmp_path)
    paths = [each.path for each in artifacts]
    assert [path.name for path in paths] == ["robustness_test.png", "robustness_test.csv"]
    table = pd.read_csv(paths[1])
    assert set(table["run"]) == {0, 1}
    assert "rotation" not in set(table["change"])
    assert (table["n"] == 6).all()
    assert_is_a_picture(paths[0])
    assert_nothing_is_clipped(drawn[0])
