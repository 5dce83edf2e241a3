"""Suspicious labels: planted ones are found, by networks that have not seen their group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from cellvision_cleanlab.folds import assign_folds, pixel_digests
from cellvision_cleanlab.suspicious import rank

import cellvision as cv
from cellvision import Artifact, errors, io
from cellvision.progress import Display
from cellvision.results.reporting import make_reports
from cellvision.testing import DatasetChecks, ReporterChecks, example_experiment, write_images

PLANTED = ("light/w0", "light/w1", "dark/w2")
LEVELS = {"dark": 60, "light": 120}


class Brightness(cv.Dataset):
    """Dark and light images of eight wells each; three have the label of the other class."""

    def catalog(self) -> pd.DataFrame:
        rows = [
            {"image": f"{label}/{k}", "label": label, "group": f"{label}{k % 8}"}
            for label in LEVELS
            for k in range(24)
        ]
        rows += [
            {"image": image, "label": image.split("/")[0], "group": f"extra{k}"}
            for k, image in enumerate(PLANTED)
        ]
        return pd.DataFrame(rows)

    def read(self, image: str) -> np.ndarray:
        label, name = image.split("/")
        other = {"dark": "light", "light": "dark"}
        level = LEVELS[other[label] if image in PLANTED else label]
        seed = [int(name.removeprefix("w")), label == "dark", image in PLANTED]
        pixels = np.random.default_rng(seed).normal(level, 10, (12, 16, 1))
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


class Level(cv.Architecture):
    """Logistic regression on the mean intensity: it converges from any initial weights."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> Any:
        import keras
        from keras import layers

        stack = [
            keras.Input(input_shape),
            layers.GlobalAveragePooling2D(),
            layers.Dense(classes, activation="softmax", dtype="float32"),
        ]
        return keras.Sequential(stack)

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        return cv.TrainingRecipe(keras.optimizers.Adam(0.5))


@pytest.mark.exhaustive
class TestOneFold(DatasetChecks):
    name = "one_fold"
    invalid_settings: ClassVar[Mapping[str, Any]] = {"fold": -1}

    def settings(self, folder: Path) -> dict[str, object]:
        files = write_images(folder / "images")
        rows = [
            {
                "image": file.relative_to(folder / "images").as_posix(),
                "label": file.parent.name,
                "group": "",
                "fold": index % 3,
            }
            for index, file in enumerate(files)
        ]
        pd.DataFrame(rows).to_csv(folder / "folds.csv", index=False)
        source = cv.datasets.create("folder", path=folder / "images")
        return {"source": source, "table": folder / "folds.csv"}


@pytest.mark.exhaustive
class TestSuspiciousLabels(ReporterChecks):
    name = "suspicious_labels"
    example: ClassVar[Mapping[str, Any]] = {"folds": 2}
    invalid_settings: ClassVar[Mapping[str, Any]] = {"folds": 1}


@pytest.fixture(scope="module", autouse=True)
def _plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    cv.datasets.register("brightness", Brightness)
    cv.architectures.register("level", Level)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
    cv.datasets.unregister("brightness")
    cv.architectures.unregister("level")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    experiment = example_experiment(
        dataset=Brightness(),
        architecture=Level(),
        training=cv.Training(epochs=40, batch_size=10, precision="float32", devices="cpu"),
    )
    return cv.train(experiment, tmp_path_factory.mktemp("cleanlab") / "run", progress=False)


def report(run: cv.Run, **settings: Any) -> list[Artifact]:
    reporter = cv.reporters.create("suspicious_labels", **settings)
    artifacts, faults = make_reports(run, [reporter], Display())
    assert [fault.what for fault in faults] == []
    return artifacts


@pytest.fixture(scope="module")
def artifacts(run: cv.Run) -> list[Artifact]:
    return report(run, folds=3, images=6)


def table_of(run: cv.Run) -> pd.DataFrame:
    return pd.read_csv(run.folder / "reports" / "suspicious_labels.csv")


@pytest.mark.exhaustive
def test_planted_labels_come_first(run: cv.Run, artifacts: list[Artifact]) -> None:
    table = table_of(run)
    assert sorted(table["image"]) == sorted(run.predictions["image"])
    assert list(table["rank"]) == list(range(1, len(table) + 1))
    assert table["quality"].is_monotonic_increasing
    assert set(table["image"][:3]) == set(PLANTED)
    flagged = table[table["suspicious"]]
    assert set(flagged["image"]) == set(PLANTED)
    assert (flagged["suggested"] != flagged["label"]).all()
    # Its folds are pooled, so the interval is wider than that of one test set.
    right = table["label"] == table["suggested"]
    accuracy = cv.statistics.cross_validated_accuracy(right, table["group"])
    interval = f"(95 % interval {accuracy.low:.2f} to {accuracy.high:.2f})"
    assert interval in artifacts[0].caption


@pytest.mark.exhaustive
def test_no_network_saw_the_group_that_it_judges(run: cv.Run, artifacts: list[Artifact]) -> None:
    table = table_of(run)
    assert table[["group", "fold"]].drop_duplicates()["group"].is_unique
    for number in range(3):
        fold = cv.load_run(run.folder / "reports" / "suspicious_labels" / f"fold_{number}")
        answers = fold.predictions
        training, test = answers[answers["split"] == "train"], answers[answers["split"] == "test"]
        assert set(answers["split"]) == {"train", "test"}
        assert set(training["group"]) & set(test["group"]) == set()
        assert set(test["image"]) == set(table["image"][table["fold"] == number])
        assert len(test) > 0
        recorded = table.set_index("image").loc[test["image"], "p_dark"]
        np.testing.assert_allclose(recorded, test["p_dark"], rtol=1e-4)
        assert fold.experiment.architecture == run.experiment.architecture


@pytest.mark.exhaustive
def test_networks_are_reused_and_trained_again_if_the_folds_differ(
    run: cv.Run, artifacts: list[Artifact]
) -> None:
    networks = run.folder / "reports" / "suspicious_labels"
    before = (networks / "fold_0" / "model.keras").stat().st_mtime_ns
    table = (run.folder / "reports" / "suspicious_labels.csv").read_bytes()
    report(run, folds=3)
    assert (networks / "fold_0" / "model.keras").stat().st_mtime_ns == before
    assert (run.folder / "reports" / "suspicious_labels.csv").read_bytes() == table
    report(run, folds=2)
    assert (networks / "fold_0" / "model.keras").stat().st_mtime_ns != before
    assert not (networks / "fold_2").exists()
    assert (networks / "fold_1" / "run.json").is_file()
    assert [each.kind for each in run.artifacts] == ["figure", "data"]


class Stops(Level):
    """Its second epoch raises `fault`, once for each entry."""

    faults: ClassVar[list[BaseException]] = []

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        def stop(epoch: int, logs: object) -> None:
            if epoch == 1 and self.faults:
                raise self.faults.pop()

        callback = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
        return cv.TrainingRecipe(keras.optimizers.Adam(0.5), callbacks=(callback,))


@pytest.mark.slow
def test_an_unfinished_fold_is_finished(tmp_path: Path) -> None:
    cv.architectures.register("stops", Stops)
    training = cv.Training(epochs=3, batch_size=10, precision="float32", devices="cpu")
    experiment = example_experiment(
        dataset=Brightness(), architecture=Stops(), training=training, reporters=()
    )
    reporter = [cv.reporters.create("suspicious_labels", folds=2)]
    try:
        run = cv.train(experiment, tmp_path / "run", progress=False)
        fold = run.folder / "reports" / "suspicious_labels" / "fold_0"
        other_folds = [cv.reporters.create("suspicious_labels", folds=2, seed=1)]
        for selected in (other_folds, reporter):
            Stops.faults[:] = [RuntimeError("failed")]
            assert "failed" in make_reports(run, selected, Display())[1][0].what
            assert not (fold / "run.json").exists()
        Stops.faults[:] = [KeyboardInterrupt()]
        with pytest.raises(KeyboardInterrupt):
            make_reports(run, reporter, Display())
        # Another process may be at work in the folder, so what it needs is not removed.
        working = fold.parents[1] / ".suspicious_labels.working"
        with io.folder_lock(working / fold.relative_to(fold.parents[1]), "train"):
            assert "in use by: train" in make_reports(run, reporter, Display())[1][0].what
        assert list(run.folder.rglob("fold_0/run.json"))
        report(run, folds=2)
        assert list(cv.load_run(fold).history["epoch"]) == [1, 2, 3]
        assert not cv.load_run(fold).interrupted
    finally:
        cv.architectures.unregister("stops")


def images(groups: dict[str, list[str | None]]) -> pd.DataFrame:
    rows = [
        {"image": f"{label}{index}", "label": label, "group": group}
        for label, names in groups.items()
        for index, group in enumerate(names)
    ]
    return pd.DataFrame(rows)


def test_identical_pixels_share_a_fold() -> None:
    table = images({"a": [None] * 20, "b": [None] * 20})
    pixels = [str(number) for number in range(40)]
    pixels[3] = pixels[29] = pixels[11]
    for seed in range(5):
        folds = assign_folds(table, pixels, 4, seed)
        assert folds[3] == folds[11] == folds[29]
        assert set(folds) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("groups", "folds", "message"),
    [
        ({"a": ["u", "u", "u"], "b": ["v", "w", "x"]}, 2, "class 'a' has only one group"),
        ({"a": ["u", "v"], "b": ["w", "x"]}, 5, "cannot be divided into 5 folds"),
    ],
)
def test_too_few_groups(groups: dict[str, list[str | None]], folds: int, message: str) -> None:
    table = images(groups)
    with pytest.raises(errors.InvalidInput, match=message):
        assign_folds(table, list(table["image"]), folds, 0)


def test_digests_are_of_pixels() -> None:
    class Copies(Brightness):
        """Reads every image as another one of the same class."""

        def read(self, image: str) -> np.ndarray:
            return super().read(f"{image.split('/')[0]}/5")

    one, same, other = pixel_digests(Copies().read, ["dark/1", "dark/2", "light/1"])
    assert one == same != other


def test_plausible_labels_are_not_flagged() -> None:
    table = pd.DataFrame(
        {
            "image": list("abcd"),
            "group": None,
            "label": ["x", "x", "y", "y"],
            "fold": 0,
            "p_x": [0.9, 0.8, 0.1, 0.2],
            "p_y": [0.1, 0.2, 0.9, 0.8],
        }
    )
    ranked = rank(table, ["x", "y"])
    assert not ranked["suspicious"].any()
    assert list(ranked["image"]) == ["b", "d", "a", "c"]


def test_a_missing_table_of_folds(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    source = cv.datasets.create("folder", path=tmp_path / "images")
    fold = cv.datasets.create("one_fold", source=source, table=tmp_path / "no.csv")
    with pytest.raises(errors.CatalogError, match=r"no\.csv"):
        fold.catalog()
    (tmp_path / "no.csv").write_text("image,label\n")
    with pytest.raises(errors.CatalogError, match="the column 'group' is missing"):
        fold.catalog()
