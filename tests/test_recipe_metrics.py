"""Further metrics of an architecture's recipe: in the history, the curves and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.training.metrics import mixed_metric, recipe_metrics, require_numbers

if TYPE_CHECKING:
    import keras


def brightest(y_true: Any, y_pred: Any) -> Any:
    """Say 1 where an image is of the last class: the share of that class among the labels."""
    del y_pred
    return y_true[:, -1]


def metric(kind: str) -> Any:
    """Make a metric that works, or one with one fault."""
    import keras

    class Broken(keras.metrics.Metric):  # type: ignore[misc]
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            raise RuntimeError("no such cell")

        def result(self) -> Any:
            return 0.0

    class Table(Broken):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            pass

        def result(self) -> Any:
            return {"low": 0.0, "high": 1.0}

    made: dict[str, Any] = {
        "share": keras.metrics.MeanMetricWrapper(brightest, name="share"),
        "named": "top_k_categorical_accuracy",
        "unknown": "sharpness",
        "number": 0.5,
        "accuracy": keras.metrics.CategoricalAccuracy(name="accuracy"),
        "val_loss": keras.metrics.AUC(name="val_loss"),
        "broken": Broken(name="broken"),
        "table": Table(name="table"),
        "each class": keras.metrics.F1Score(name="f1"),
    }
    return made[kind]


class Measured(tiny.Level):
    """Names further metrics."""

    metrics: tuple[str, ...] = ("share", "named")

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        return cv.TrainingRecipe(
            keras.optimizers.Adam(0.05), metrics=[metric(kind) for kind in self.metrics]
        )


class Mixer(cv.Augmenter):
    """Gives every training image the label of the first class."""

    mixes_labels = True

    def build(self, seed: int) -> keras.layers.Layer:
        import keras

        class ToFirst(keras.layers.Layer):  # type: ignore[misc]
            def call(self, inputs: Sequence[Any], training: bool = False) -> Any:
                images, labels = inputs
                first = keras.ops.one_hot(keras.ops.zeros_like(labels[:, 0], "int32"), 2)
                return images, first if training else labels

        return ToFirst()


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    cv.architectures.register("measured", Measured)
    cv.augmenters.register("to-first", Mixer)
    yield
    cv.architectures.unregister("measured")
    cv.augmenters.unregister("to-first")


def refuse(*kinds: str) -> errors.PluginContractError:
    architecture = Measured(metrics=kinds)
    recipe = architecture.recipe(cv.TrainingPlan(4, 2, 10, (20, 20)))
    with pytest.raises(errors.PluginContractError) as caught:
        require_numbers(architecture, recipe_metrics(architecture, recipe), 3)
    assert "\n" not in caught.value.what
    assert "architecture 'measured'" in caught.value.what
    return caught.value


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (["unknown"], "the metric 'sharpness', which is not a keras.metrics.Metric"),
        (["number"], "the metric 0.5, which is not a keras.metrics.Metric"),
        (["accuracy"], "named 'accuracy', a name that is in use"),
        (["val_loss"], "named 'val_loss', a name that is in use"),
        (["share", "share"], "named 'share', a name that is in use"),
        (["broken"], "the metric 'broken' fails: RuntimeError: no such cell"),
        (["table"], "the metric 'table' gives a dict, not one number"),
        (["each class"], "the metric 'f1' gives 3 values, not one number"),
    ],
)
def test_a_metric_that_cannot_be_recorded_is_refused(kinds: list[str], says: str) -> None:
    assert says in refuse(*kinds).what


def test_a_string_in_place_of_a_list_is_refused() -> None:
    import keras

    recipe = cv.TrainingRecipe(keras.optimizers.Adam(), metrics="auc")
    with pytest.raises(errors.PluginContractError, match="'auc', which are not a list"):
        recipe_metrics(Measured(), recipe)


def test_mixed_labels_count_as_the_larger_part() -> None:
    mixed = mixed_metric(metric("share"), 2)
    labels = [[0.3, 0.7], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]]
    outputs = np.concatenate([np.full((4, 2), 0.5), labels], axis=1).astype(np.float32)
    mixed.update_state(np.zeros((4, 2)), outputs)
    assert float(mixed.result()) == pytest.approx(0.75)
    mixed.reset_state()
    mixed.update_state(np.zeros((1, 2)), outputs[2:3])
    assert float(mixed.result()) == pytest.approx(0)


@pytest.mark.slow
def test_they_are_in_the_history_the_curves_the_reporters_and_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {
        "train": {"dark": 6, "light": 18},
        "validation": {"dark": 4, "light": 4},
        "test": {"dark": 3, "light": 3},
    }
    images = tiny.make_splits(tmp_path / "images", counts)
    with tiny.on_offer():
        tiny.heard.clear()
        experiment = tiny.experiment(
            images, "measured", epochs=2, reporters=[{"type": "listener"}, {"type": "curves"}]
        )
        run = cv.train(experiment, tmp_path / "run", progress=True)
    columns = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "share", "val_share"]
    top = "top_k_categorical_accuracy"
    assert list(run.history) == [*columns, top, f"val_{top}", "seconds"]
    np.testing.assert_allclose(run.history["share"], 18 / 24)
    np.testing.assert_allclose(run.history["val_share"], 4 / 8)
    assert tiny.heard[-1][1]["val_share"] == pytest.approx(0.5)
    assert "  share 0.750 validation 0.500  " in capsys.readouterr().err
    panels = [axes.get_title(loc="left") for axes in run.plot("curves").axes]
    assert panels[:4] == ["Loss", "Accuracy", "Share", "Top k categorical accuracy"]
    assert [path.name for path in (run.folder / "reports").glob("curves*")]


@pytest.mark.slow
def test_with_mixed_labels_they_are_measured_on_what_the_network_saw(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=16)
    experiment = tiny.experiment(images, "measured", epochs=1, augmenters=[{"type": "to-first"}])
    history = cv.train(experiment, tmp_path / "run").history
    assert history["share"][0] == pytest.approx(0)
    assert history["val_share"][0] == pytest.approx(0.5, abs=0.2)


@pytest.mark.slow
def test_training_names_the_plugin_of_a_broken_metric(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=16)
    experiment = tiny.experiment(images, Measured(metrics=("broken",)))
    with pytest.raises(
        errors.PluginContractError, match="'broken' fails: RuntimeError: no such cell"
    ):
        cv.train(experiment, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()
