"""Which epoch's weights are kept, and what distinguishes collapse from never starting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision.training.kept_weights import (
    Outcome,
    best_epoch,
    has_collapsed,
    keeps_best,
    needs_validation,
    patience,
)
from cellvision.training.result import TrainingResult

SEEN = [0.5, 0.75, 0.9, 0.95, 1.0, 0.9, 0.7, 0.5, 0.5, 0.5]
"""Validation accuracy that reached 1.000 in epoch 5 and was 0.5 from epoch 8 on."""


def history(accuracies: Sequence[float], validated: bool = True) -> list[dict[str, float]]:
    """Return a history with these accuracies, and losses that mirror them."""
    rows = []
    for epoch, accuracy in enumerate(accuracies, start=1):
        row = {"epoch": float(epoch), "loss": 1.0 - accuracy, "accuracy": accuracy}
        value = (1.1 - accuracy, accuracy) if validated else (np.nan, np.nan)
        rows.append({**row, "val_loss": value[0], "val_accuracy": value[1]})
    return rows


def outcome(
    rows: list[dict[str, float]], *, constant: bool, validation_images: int = 10, **settings: Any
) -> Outcome:
    labels = np.zeros(8, int) if constant else np.arange(8) % 2
    result = TrainingResult(rows, 1.0, 1.0, 0.0)
    training = cv.Training(epochs=len(rows), **settings)
    return Outcome(training, result, np.eye(2)[labels], labels, 0.5, validation_images)


def test_the_best_epoch_of_a_training_that_collapsed_is_kept() -> None:
    ended = outcome(history(SEEN), constant=False, keep="auto")
    assert ended.kept_epoch == 5
    (warning,) = ended.warnings()
    assert warning.startswith(
        "The training collapsed after epoch 5: validation accuracy fell from 1.000 to 0.500 in "
        "epoch 10. The weights of epoch 5 were kept."
    )
    assert "did not train" not in warning
    assert "training.keep=best" not in warning


def test_collapse_is_told_from_never_starting() -> None:
    collapsed = outcome(history(SEEN), constant=True, keep="last")
    assert collapsed.kept_epoch == 10
    (warning,) = collapsed.warnings()
    assert "The training collapsed: accuracy on validation images reached 1.000 in epoch 5" in (
        warning
    )
    assert "one class for every training image" in warning
    assert "--set training.keep=best" in warning
    never = outcome(history([0.5, 0.52, 0.5]), constant=True, keep="auto")
    (warning,) = never.warnings()
    assert warning.startswith("The network never started to learn: it predicts one class")
    unvalidated = outcome(
        history(SEEN, validated=False), constant=True, validation_images=0, keep="last"
    )
    (warning,) = unvalidated.warnings()
    assert "accuracy in training reached 1.000 in epoch 5" in warning
    assert "--set split.validation=0.15 --set training.keep=best" in warning


def test_a_small_loss_of_accuracy_is_no_collapse() -> None:
    assert outcome(history([0.5, 0.9, 0.85, 0.8]), constant=False, keep="last").warnings() == []


def test_without_a_validation_split_the_last_epoch_is_kept_and_that_is_said() -> None:
    rows = history(SEEN, validated=False)
    ended = outcome(rows, constant=False, validation_images=0, keep="auto", early_stopping=3)
    assert ended.kept_epoch == 10
    (warning,) = ended.warnings()
    assert warning.startswith("There is no validation split, so the weights of the last epoch")
    assert "--set split.validation=0.15" in warning
    assert outcome(rows, constant=False, validation_images=0, keep="last").warnings() == []
    training = cv.Training(keep="auto", early_stopping=3)
    assert (keeps_best(training, 0, rows), patience(training, 0)) == (False, None)
    assert patience(training, 9) == 3
    assert not needs_validation(training)
    assert needs_validation(cv.Training(keep="best"))
    assert needs_validation(cv.Training(early_stopping=3))


def test_a_network_that_is_solved_at_once_has_no_epoch() -> None:
    result = TrainingResult(history([0.9], validated=False), 1.0, 1.0, 0.0, is_solved=True)
    ended = Outcome(cv.Training(keep="auto"), result, np.eye(2), np.arange(2), 0.5, 0)
    assert ended.kept_epoch is None
    assert ended.warnings() == []


def test_a_loss_that_is_lost_late_is_told_from_one_that_never_was() -> None:
    rows = history([0.5, 1.0, 0.9, 0.9])
    for row in rows[2:]:
        row["loss"] = row["val_loss"] = np.nan
    ended = outcome(rows, constant=False, keep="best")
    assert ended.kept_epoch == 2
    assert ended.warnings()[0].startswith(
        "The loss became infinite or NaN in epoch 3; the weights of epoch 2 were kept."
    )
    never = history([0.5, 0.5])
    for row in never:
        row["loss"] = row["val_loss"] = np.nan
    (warning,) = outcome(never, constant=True, keep="best").warnings()
    assert "did not train" in warning


def test_losses_that_are_not_finite_are_never_the_best() -> None:
    rows = history([0.5, 0.9, 0.8])
    rows[1]["val_loss"] = np.nan
    assert best_epoch(rows) == 3
    assert best_epoch(history([0.5], validated=False)) is None


def test_the_last_epoch_is_kept_unless_the_training_collapsed_or_was_stopped() -> None:
    training = cv.Training(epochs=4, keep="auto")
    fallen, level = history([0.5, 1.0, 0.9, 0.6]), history([0.5, 0.9, 0.8, 0.85])
    assert (has_collapsed(fallen, 20), has_collapsed(level, 20)) == (True, False)
    # Among four images a fall from 4 to 3 right is chance; among many, a small one is no collapse.
    assert not has_collapsed(history([0.5, 1.0, 0.75]), 4)
    assert not has_collapsed(history([0.5, 0.95, 0.9]), 10_000)
    assert keeps_best(training, 20, fallen)
    assert not keeps_best(training, 20, level)
    assert keeps_best(training, 20, level[:3])  # stopped after three of four epochs
    for keep, best in (("best", True), ("last", False)):
        assert keeps_best(cv.Training(epochs=4, keep=keep), 20, level) is best
        assert keeps_best(cv.Training(epochs=4, keep=keep), 20, fallen) is best


def test_recipes_keep_the_best_epoch_of_a_training_that_collapses() -> None:
    from cellvision.testing.recipe import example_facts

    facts = example_facts()["two classes of cells"]
    for name in ("standard", "quick"):
        chosen: Any = cv.recipes.create(name).experiment(facts)["training"]
        assert chosen["keep"] == "auto"


class Collapsing(tiny.Level):
    """Learns, and loses all weights at the beginning of the sixth epoch."""

    def recipe(self, plan: cv.TrainingPlan) -> cv.TrainingRecipe:
        import keras

        class Forget(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                if epoch == 5:
                    self.model.optimizer.learning_rate = 0.0
                    for variable in self.model.trainable_variables:
                        variable.assign(keras.ops.zeros_like(variable))

        return cv.TrainingRecipe(keras.optimizers.Adam(0.1), callbacks=(Forget(),))


@pytest.mark.slow
def test_a_real_collapse(tmp_path: Path) -> None:
    images = tiny.make_folder(tmp_path / "images")
    cv.architectures.register("collapsing", Collapsing)
    try:
        experiment = tiny.experiment(
            images, "collapsing", epochs=9, keep="auto", early_stopping=9, restarts=0
        )
        run = cv.train(experiment, tmp_path / "run")
    finally:
        cv.architectures.unregister("collapsing")
    assert run.history["val_accuracy"].iloc[-1] <= 0.75
    assert run.metadata.kept_epoch == best_epoch(run.history.to_dict("records"))
    assert run.metadata.kept_epoch <= 5
    assert run.scores["test"].accuracy == 1.0
    assert any("collapsed after epoch" in warning for warning in run.warnings)
