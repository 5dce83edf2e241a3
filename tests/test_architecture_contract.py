"""What training cannot honour is refused before the first step, by the plugin's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.training.architecture_contract import (
    probability_fault,
    require_network,
    require_probabilities,
    require_saveable,
)
from cellvision.training.optimization import training_recipe
from cellvision.training_settings import Training

if TYPE_CHECKING:
    import keras

SHAPE = (8, 8, 1)


def halved(x: Any) -> Any:
    """An activation of a plugin's own."""
    return x / 2


def doubled(x: Any) -> Any:
    """An activation that is registered."""
    return x * 2


class Faulty(cv.Architecture):
    """A network with one fault."""

    fault: str = ""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        from keras import Input, layers

        stack: list[Any] = [Input(input_shape), *_layers(self.fault), layers.Flatten()]
        activation = {"linear": None, "sigmoid": "sigmoid"}.get(self.fault, "softmax")
        stack.append(layers.Dense(classes, activation=activation, dtype="float32"))
        return _model(self.fault, stack)

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        text: Any = "adam"
        return cv.TrainingRecipe(text if self.fault == "optimizer" else keras.optimizers.Adam())


def _layers(fault: str) -> list[Any]:
    import keras

    class Plain(keras.layers.Layer):  # type: ignore[misc]
        """Changes nothing."""

        def call(self, x: Any) -> Any:
            return x

    if fault == "function":
        return [keras.layers.Activation(halved)]
    if fault == "registered":
        return [keras.layers.Activation(doubled)]
    if fault == "function in lambda":
        return [keras.layers.Activation(lambda x: x / 2)]
    if fault == "initializer":

        class Ones(keras.initializers.Initializer):  # type: ignore[misc]
            """All ones."""

            def __call__(self, shape: Any, dtype: Any = None) -> Any:
                return keras.ops.ones(shape, dtype)

        return [keras.layers.Conv2D(1, 1, kernel_initializer=Ones())]
    if fault == "no config":

        @keras.saving.register_keras_serializable(package="tests")
        class Scale(keras.layers.Layer):  # type: ignore[misc]
            """Scales by what it cannot write down."""

            def __init__(self, by: Any) -> None:
                super().__init__()
                self.by = by

            def call(self, x: Any) -> Any:
                return x * self.by.value

        return [Scale(SimpleNamespace(value=2))]
    if fault == "lambda":
        return [keras.layers.Lambda(lambda x: x)]
    if fault == "no package":
        keras.saving.register_keras_serializable()(Plain)
    return [Plain()] if fault in ("unregistered", "no package") else []


def _model(fault: str, stack: list[Any]) -> Any:
    import keras

    class OwnStep(keras.Sequential):  # type: ignore[misc]
        def train_step(self, *arguments: Any) -> Any:
            return super().train_step(*arguments)

    class OwnLoss(keras.Sequential):  # type: ignore[misc]
        def compute_loss(self, *arguments: Any, **named: Any) -> Any:
            return 0.0

    model = {"train_step": OwnStep, "compute_loss": OwnLoss}.get(fault, keras.Sequential)(stack)
    if fault == "compiled":
        model.compile("adam", "categorical_crossentropy")
    return {"text": "a network", "too many": keras.Sequential(stack[:-1])}.get(fault, model)


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    cv.architectures.register("faulty", Faulty)
    yield
    cv.architectures.unregister("faulty")


FAULTS = {
    "train_step": "OwnStep defines train_step, which training never calls",
    "compute_loss": "OwnLoss defines compute_loss, which training never calls",
    "compiled": "the model is compiled",
    "text": "build() returned str",
    "too many": "the output is (None, 64), not (None, 2)",
    "lambda": "is a Lambda",
    "unregistered": "the layer class Plain is not registered",
    "no package": "the layer class Plain is registered without a package",
    "function": "the function halved is not registered",
    "function in lambda": "a lambda among its settings",
    "initializer": "the class Ones is not registered",
    "no config": "the network cannot be saved",
    "linear": "the outputs of an image sum to",
    "sigmoid": "the outputs of an image sum to",
}


def require_sound(architecture: Faulty) -> None:
    import keras

    keras.utils.set_random_seed(0)
    network = architecture.build(SHAPE, 2)
    require_network(architecture, network, SHAPE, 2)
    require_probabilities(architecture, network)
    require_saveable(architecture, network)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_network_that_cannot_be_honoured(fault: str) -> None:
    with pytest.raises(errors.PluginContractError) as caught:
        require_sound(Faulty(fault=fault))
    assert caught.value.what.startswith("architecture 'faulty' (registered here): ")
    assert FAULTS[fault] in caught.value.what or "negative" in caught.value.what
    assert "cellvision check" in caught.value.hint


def test_a_sound_network_passes() -> None:
    import keras

    require_sound(Faulty())
    keras.saving.register_keras_serializable(package="tests")(doubled)
    require_sound(Faulty(fault="registered"))


def test_a_network_that_is_not_new() -> None:
    """It would go on from its weights, and runs with other seeds would not be independent."""
    network = Faulty().build(SHAPE, 2)
    require_network(Faulty(), network, SHAPE, 2)
    with pytest.raises(errors.PluginContractError, match="that it has returned before") as caught:
        require_network(Faulty(), network, SHAPE, 2)
    assert caught.value.hint.startswith("Create a new network in every call.")


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ({"callbacks": None}, "the callbacks None"),
        ({"callbacks": "terminate_on_nan"}, "the callbacks 'terminate_on_nan'"),
        ({"callbacks": [len]}, "which are not a list of keras.callbacks.Callback"),
        ({"loss": "categorical_crosentropy"}, "the loss 'categorical_crosentropy'"),
        ({"loss": None}, "the loss None"),
        ({"loss": "sparse_categorical_crossentropy"}, "fails for one-hot labels"),
        ({"callbacks": (), "loss": "mse"}, None),
    ],
)
def test_a_recipe(
    recipe: dict[str, Any], says: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    made = cv.TrainingRecipe(keras.optimizers.Adam(), **recipe)
    monkeypatch.setattr(Faulty, "recipe", lambda self, plan: made)
    plan = cv.TrainingPlan(steps_per_epoch=2, epochs=3, batch_size=4, class_counts=(4, 2))
    experiment: Any = SimpleNamespace(architecture=Faulty(), training=Training())
    if says is None:
        assert training_recipe(experiment, plan, ("a", "b")).loss == "mse"
        return
    with pytest.raises(errors.PluginContractError) as caught:
        training_recipe(experiment, plan, ("a", "b"))
    assert caught.value.what.startswith("architecture 'faulty' (registered here): recipe()")
    assert says in caught.value.what


@pytest.mark.parametrize("fault", ["train_step", "optimizer", "linear"])
def test_training_refuses_it_before_it_begins(fault: str, tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images", count=6, wells=3)
    experiment = tiny.experiment(images, {"type": "faulty", "fault": fault})
    with pytest.raises(errors.PluginContractError, match=r"architecture 'faulty' \(registered"):
        cv.train(experiment, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        (np.full((2, 2), 0.5), "float64"),
        (np.full((2, 2), 0.5, np.float32), None),
        (np.array([[1.5, -0.5]], np.float32), "negative"),
        (np.array([[np.nan, 1]], np.float32), "not numbers"),
        (np.full((2, 3), 0.5, np.float32), "sum to 1.5000"),
    ],
)
def test_probabilities(outputs: np.ndarray, says: str | None) -> None:
    fault = probability_fault(outputs)
    assert (fault is None) if says is None else (fault is not None and says in fault.what)
