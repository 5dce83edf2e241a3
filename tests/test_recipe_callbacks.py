"""Callbacks and loss of an architecture's recipe are honoured, and warnings reach the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import tiny

import cellvision as cv
from cellvision import errors
from cellvision.studies import vectorized
from cellvision.training.architecture_contract import architecture_warnings
from cellvision.training.recipe_callbacks import recipe_callbacks

if TYPE_CHECKING:
    import keras

ADVICE = "It was pretrained on cells."

plans: list[cv.TrainingPlan] = []
lives: list[int] = []


class Ending(cv.Architecture):
    """Sets its weights to 0 when the training ends, as an average of weights would change them."""

    frozen: bool = False
    ends: bool = True
    counts: bool = False
    advice: str = ADVICE

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        import keras
        from keras import layers

        stack = [keras.Input(input_shape), layers.GlobalAveragePooling2D()]
        if self.frozen:
            stack.append(layers.Dense(4, trainable=False))
        penalty = keras.regularizers.L2(0.01)
        stack.append(
            layers.Dense(classes, activation="softmax", dtype="float32", kernel_regularizer=penalty)
        )
        return keras.Sequential(stack)

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        class Zero(keras.callbacks.Callback):  # type: ignore[misc]
            def on_train_end(self, logs: Any = None) -> None:
                self.model.set_weights([0 * value for value in self.model.get_weights()])

        class Count(keras.callbacks.Callback):  # type: ignore[misc]
            """Counts the epochs of its life, as an average of weights would go on."""

            epochs = 0

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                self.epochs += 1
                lives.append(self.epochs)

        plans.append(plan)
        adam = keras.optimizers.Adam(0.1)
        callbacks = [Zero()] if self.ends else []
        return cv.TrainingRecipe(adam, callbacks=[Count()] if self.counts else callbacks)

    def warnings(self) -> Any:
        return [self.advice] if self.advice else "text"


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    with tiny.on_offer():
        cv.architectures.register("ending", Ending)
        yield
        cv.architectures.unregister("ending")


def test_warnings_must_be_a_list_of_text() -> None:
    assert architecture_warnings(Ending()) == (ADVICE,)
    assert architecture_warnings(tiny.Level()) == ()
    with pytest.raises(errors.PluginContractError, match=r"'ending'.*warnings\(\) returned 'text'"):
        architecture_warnings(Ending(advice=""))


@pytest.mark.parametrize(("averages", "validates", "count"), [(1, 1, 1), (1, 0, 0), (0, 1, 0)])
def test_averages_are_swapped_once(averages: bool, validates: bool, count: int) -> None:
    import keras

    own = keras.callbacks.Callback()
    optimizer = SimpleNamespace(use_ema=averages)
    network: Any = SimpleNamespace(
        callbacks=[keras.callbacks.SwapEMAWeights(), own],
        training_model=SimpleNamespace(optimizer=optimizer),
    )
    first, *others = recipe_callbacks(network, validates=bool(validates))
    assert first is own
    assert [type(each) for each in others] == count * [keras.callbacks.SwapEMAWeights]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"callbacks": [1]}, "Callbacks of the architecture's recipe"),
        ({"use_ema": True}, "Moving averages"),
        ({"mixes": True}, "Augmenters that mix labels"),
        ({}, ""),
    ],
)
def test_what_python_does_between_steps_is_not_vectorized(
    changes: dict[str, Any], says: str
) -> None:
    optimizer = SimpleNamespace(use_ema=changes.get("use_ema", False))
    network = SimpleNamespace(
        callbacks=changes.get("callbacks", []), training_model=SimpleNamespace(optimizer=optimizer)
    )
    augmenters = [SimpleNamespace(mixes_labels=changes.get("mixes", False))]
    trainer: Any = SimpleNamespace(
        network=lambda seed: network,
        validation_rows=[1],
        prepared=SimpleNamespace(experiment=SimpleNamespace(augmenters=augmenters)),
    )
    assert vectorized._obstacle(trainer, 0).startswith(says)
    assert bool(vectorized._obstacle(trainer, 0)) == bool(says)


@pytest.mark.slow
def test_every_run_of_a_study_has_callbacks_of_its_own(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images")
    experiment = tiny.experiment(images, {"type": "ending", "counts": True}, epochs=2, restarts=0)
    cv.study(experiment, 2, tmp_path / "study")
    assert lives == [1, 2, 1, 2]


@pytest.mark.slow
def test_weights_that_a_callback_sets_are_kept_or_missed(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images")

    def run(name: str, keep: str, **settings: Any) -> cv.Run:
        network = {"type": "ending", **settings}
        return cv.train(
            tiny.experiment(images, network, epochs=3, keep=keep, restarts=0), tmp_path / name
        )

    last, best = run("last", "last"), run("best", "best")
    counts = tuple(last.counts["train"].values())
    assert plans[-1] == cv.TrainingPlan(-(-sum(counts) // 10), 3, 10, counts)
    assert plans[-1].steps == 3 * plans[-1].steps_per_epoch
    assert set(last.predictions["p_dark"]) == {0.5}
    assert not [line for line in last.warnings if "keep=best" in line]
    assert ADVICE in last.warnings
    said = [line for line in best.warnings if "those of the best epoch replaced them" in line]
    assert len(said) == 1
    assert set(best.predictions["p_dark"]) != {0.5}
    # Solving a frozen network in one step would ignore callbacks.
    assert len(run("callback", "last", frozen=True).history) == 3
    assert len(run("plain", "last", frozen=True, ends=False).history) == 1
