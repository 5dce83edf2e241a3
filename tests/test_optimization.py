"""Overrides of an architecture's recipe: schedule, decay, smoothing, class weights, averages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.data.prepared import prepare_data
from cellvision.training.optimization import class_weights, training_recipe
from cellvision.training.trainer import Trainer

if TYPE_CHECKING:
    import keras

PLAN = cv.TrainingPlan(steps_per_epoch=10, epochs=4, batch_size=5, class_counts=(30, 20))


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> Any:
    with tiny.on_offer():
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"))


def recipe(images: Path, architecture: str = "level", **training: Any) -> cv.TrainingRecipe:
    return training_recipe(
        tiny.experiment(images, architecture, **training), PLAN, ("dark", "light")
    )


def rate_at(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    optimizer.iterations.assign(step)
    return float(optimizer.learning_rate)


def test_cosine_rises_and_falls_to_zero(images: Path) -> None:
    optimizer = recipe(images, schedule="cosine", warmup_epochs=1, learning_rate=0.02).optimizer
    assert rate_at(optimizer, 0) == 0
    assert rate_at(optimizer, 5) == pytest.approx(0.01)
    assert rate_at(optimizer, 10) == pytest.approx(0.02)
    assert rate_at(optimizer, 25) == pytest.approx(0.01)
    assert rate_at(optimizer, 40) == pytest.approx(0, abs=1e-9)


def test_a_schedule_keeps_the_rate_of_the_recipe(images: Path) -> None:
    assert rate_at(recipe(images, schedule="cosine").optimizer, 0) == pytest.approx(0.1)
    assert rate_at(recipe(images, "mixed", schedule="constant").optimizer, 39) == pytest.approx(
        0.05
    )


class Scheduled(tiny.Level):
    """Has a schedule of Keras, named by a setting, as its recipe."""

    schedule: str

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        from keras.optimizers import SGD, schedules

        made = {
            "inverse time": schedules.InverseTimeDecay(0.1, 10, 1.0),
            "steps": schedules.PiecewiseConstantDecay([10, 20], [0.1, 0.05, 0.01]),
            "polynomial": schedules.PolynomialDecay(0.1, 40, 0.02),
            "cosine": schedules.CosineDecay(0.0, 20, warmup_target=0.1, warmup_steps=10),
        }
        return cv.TrainingRecipe(SGD(made[self.schedule]), "categorical_crossentropy")


@pytest.mark.parametrize("schedule", ["inverse time", "steps", "polynomial", "cosine"])
def test_a_rate_alone_scales_the_schedule_of_the_recipe(schedule: str, images: Path) -> None:
    architecture = {"architecture": Scheduled(schedule=schedule)}
    plain = tiny.experiment(images).model_copy(update=architecture)
    faster = tiny.experiment(images, learning_rate=0.3).model_copy(update=architecture)
    optimizers = [
        training_recipe(one, PLAN, ("dark", "light")).optimizer for one in (plain, faster)
    ]
    for step in (1, 5, 15, 25, 39):
        before, after = (rate_at(optimizer, step) for optimizer in optimizers)
        assert after == pytest.approx(3 * before, abs=1e-7)
    constant = tiny.experiment(images, schedule="constant").model_copy(update=architecture)
    optimizer = training_recipe(constant, PLAN, ("dark", "light")).optimizer
    assert rate_at(optimizer, 39) == pytest.approx(0.1)


def test_a_warm_up_without_a_schedule_is_refused(images: Path) -> None:
    with pytest.raises(errors.ExperimentError, match="warmup_epochs needs") as caught:
        recipe(images, warmup_epochs=1)
    assert "training.schedule" in caught.value.hint


@pytest.mark.parametrize("name", ["optimizer", "lossscaleoptimizer", "adamm"])
def test_a_name_that_is_no_optimizer_is_refused(name: str, images: Path) -> None:
    with pytest.raises(errors.ExperimentError, match=name) as caught:
        recipe(images, optimizer=name)
    assert "adamw" in caught.value.hint
    assert "lossscale" not in caught.value.hint


def test_a_constant_rate_after_a_warm_up(images: Path) -> None:
    optimizer = recipe(images, schedule="constant", warmup_epochs=2).optimizer
    assert rate_at(optimizer, 0) == pytest.approx(0.1 / 20)
    assert rate_at(optimizer, 20) == pytest.approx(0.1)
    assert rate_at(optimizer, 39) == pytest.approx(0.1)


def test_decay_clipping_and_averages_reach_the_optimizer(images: Path) -> None:
    optimizer = recipe(
        images, optimizer="adamw", weight_decay=0.02, clip_norm=1.5, ema=0.9
    ).optimizer
    settings = optimizer.get_config()
    assert settings["weight_decay"] == pytest.approx(0.02)
    assert settings["global_clipnorm"] == pytest.approx(1.5)
    assert settings["use_ema"] is True
    assert settings["ema_momentum"] == pytest.approx(0.9)


def test_label_smoothing_is_for_cross_entropy(images: Path) -> None:
    loss: Any = recipe(images, label_smoothing=0.2).loss
    right = np.array([[1.0, 0.0]], np.float32)
    expected = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert float(loss(right, np.array([[0.9, 0.1]], np.float32))) == pytest.approx(
        expected, rel=1e-5
    )
    with pytest.raises(errors.ExperimentError, match="cross-entropy only") as caught:
        recipe(images, "perceptron", label_smoothing=0.2)
    assert caught.value.hint.startswith("Set training.label_smoothing to 0")
    unsmoothed: Any = recipe(images, "perceptron", label_smoothing=0).loss
    assert type(unsmoothed).__name__ == "QuadraticCost"
    sharp: Any = recipe(images, label_smoothing=0).loss
    assert sharp.label_smoothing == 0


def test_balanced_weights_give_every_class_the_same_total() -> None:
    weights = class_weights("balanced", (30, 10), ("a", "b"))
    assert weights is not None
    np.testing.assert_allclose(weights * [30, 10], [20, 20])
    assert class_weights(None, (30, 10), ("a", "b")) is None
    with pytest.raises(errors.ExperimentError, match="'c' is not a class"):
        class_weights({"a": 1, "b": 2, "c": 3}, (1, 1), ("a", "b"))
    with pytest.raises(errors.ExperimentError, match="'b' has no weight"):
        class_weights({"a": 1}, (1, 1), ("a", "b"))


def test_class_weights_scale_the_loss_of_their_images(images: Path) -> None:
    plain: Any = recipe(images, label_smoothing=0.1).loss
    weighted: Any = recipe(
        images, label_smoothing=0.1, class_weights={"dark": 3.0, "light": 0.5}
    ).loss
    dark, light = np.array([[1.0, 0]], np.float32), np.array([[0, 1.0]], np.float32)
    guess = np.array([[0.3, 0.7]], np.float32)
    assert float(weighted(dark, guess)) == pytest.approx(3 * float(plain(dark, guess)), rel=1e-5)
    assert float(weighted(light, guess)) == pytest.approx(
        0.5 * float(plain(light, guess)), rel=1e-5
    )


@pytest.mark.slow
def test_a_control_with_other_labels_gets_its_own_class_weights(images: Path) -> None:
    prepared = prepare_data(tiny.experiment(images, class_weights="balanced"))
    trainer = Trainer(prepared)
    labels = prepared.labels.copy()
    labels[trainer.rows[:4]] = 0
    labels[trainer.rows[4:]] = 1
    control = trainer.on(replace(prepared, labels=labels))
    dark, guess = np.array([[1.0, 0]], np.float32), np.array([[0.5, 0.5]], np.float32)

    def weight(trainer: Trainer, seed: int) -> float:
        return float(trainer.network(seed).training_model.loss(dark, guess)) / float(np.log(2))

    assert weight(trainer, 0) == pytest.approx(1, rel=1e-4)
    assert trainer.network(1) is trainer.network(0)
    assert weight(control, 0) == pytest.approx(len(trainer.rows) / 2 / 4, rel=1e-4)
    assert control.network(1) is control.network(0)
    assert weight(trainer, 2) == pytest.approx(1, rel=1e-4)


class NamedOptimizer(cv.Architecture):
    """Returns the name of an optimizer instead of an optimizer."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        return tiny.Level().build(input_shape, classes)

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        return cv.TrainingRecipe("adam")  # type: ignore[arg-type]


class NoRecipe(NamedOptimizer):
    """Returns no recipe."""

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        return "adam"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("cls", "what"),
    [(NamedOptimizer, "'adam', which is not a keras"), (NoRecipe, "returned str")],
)
def test_a_wrong_recipe_is_refused(cls: type[cv.Architecture], what: str, images: Path) -> None:
    experiment = tiny.experiment(images).model_copy(update={"architecture": cls()})
    with pytest.raises(errors.PluginContractError, match=what):
        training_recipe(experiment, PLAN, ("dark", "light"))


@pytest.mark.slow
def test_a_training_with_everything_learns(images: Path, tmp_path: Path) -> None:
    experiment = tiny.experiment(
        images,
        schedule="cosine",
        warmup_epochs=0.5,
        optimizer="adamw",
        learning_rate=0.1,
        weight_decay=0.001,
        clip_norm=5.0,
        ema=0.5,
        label_smoothing=0.05,
        class_weights="balanced",
        keep="best",
        epochs=12,
    )
    run = cv.train(experiment, tmp_path / "run")
    assert run.scores["test"].accuracy == 1.0
    assert run.metadata.restarted_seeds == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_augmenters_that_mix_labels_train(name: str, images: Path, tmp_path: Path) -> None:
    experiment = tiny.experiment(images, augmenters=[{"type": name}], epochs=12)
    run = cv.train(experiment, tmp_path / "run")
    assert run.scores["test"].accuracy == 1.0
    assert run.history["loss"].iloc[-1] > 0.05  # mixed labels are never certain
    names = list(run.predictions["image"][:4])
    assert run.augmented_input(names).shape == run.network_input(names).shape
    probabilities = run.model().predict(run.model_input(names), verbose=0)
    np.testing.assert_allclose(probabilities, tiny.probabilities(run.predictions)[:4], atol=1e-5)
