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
from cellvision.training.architecture_contract import architecture_warnings
from cellvision.training.callbacks import recipe_callbacks

if TYPE_CHECKING:
    import keras

ADVICE = "It was pretrained on cells."

plans: list[cv.TrainingPlan] = []


class Ending(cv.Architecture):
    """Sets its weights to 0 when the training ends, as an average of weights would change them."""

    frozen: bool = False
    ends: bool = True
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

        plans.append(plan)
        adam = keras.optimizers.Adam(0.1)
        return cv.TrainingRecipe(adam, callbacks=[Zero()] if self.ends else [])

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
