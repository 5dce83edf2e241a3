"""Which epoch's weights are kept, and what the course of a training says about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellvision.statistics import wilson_interval

if TYPE_CHECKING:
    from cellvision.training.result import TrainingResult
    from cellvision.training_settings import Training

_FALL = 0.1
"""A training that collapsed ends with a validation accuracy this far below that of its best epoch,
and below the 95 % interval of that."""

_PARTING = 0.1
"""Difference of logged and evaluated training accuracy that is worth a warning. The logged one is
of an epoch's earlier weights, with augmentation and dropout, and so is usually the lower one."""

_LEARNED = 0.1
"""A network had learned if it was this much better than always predicting the commonest class."""


def remembers_best(training: Training, validation_images: int) -> bool:
    """Whether the weights of the epoch with the lowest validation loss may be kept."""
    return training.keep == "best" or (training.keep == "auto" and validation_images > 0)


def keeps_best(
    training: Training, validation_images: int, history: Sequence[Mapping[str, float]]
) -> bool:
    """Whether the epoch with the lowest validation loss is kept, not the last one.

    With ``keep="auto"``, that is so if the training collapsed or was stopped early. Otherwise
    the last epoch, in which the learning rate is lowest, is better than a choice by few images.
    """
    if training.keep != "auto":
        return training.keep == "best"
    if not validation_images:
        return False
    return len(history) < training.epochs or has_collapsed(history, validation_images)


def has_collapsed(history: Sequence[Mapping[str, float]], validation_images: int) -> bool:
    """Whether validation accuracy ended far below that of the epoch with the lowest loss."""
    best = best_epoch(history)
    if best is None:
        return False
    before = next(row["val_accuracy"] for row in history if int(row["epoch"]) == best)
    last = history[-1]["val_accuracy"]
    low = wilson_interval(before * validation_images, validation_images).low
    return bool(last < min(low, before - _FALL))


def needs_validation(training: Training) -> bool:
    """Whether a training is impossible without a validation split."""
    if training.keep == "auto":
        return False
    return training.keep == "best" or training.early_stopping is not None


def patience(training: Training, validation_images: int) -> int | None:
    """Return after how many epochs without improvement to stop; None never stops."""
    return training.early_stopping if validation_images else None


def best_epoch(history: Sequence[Mapping[str, float]]) -> int | None:
    """Return the first epoch with the lowest validation loss; None without finite ones."""
    finite = [row for row in history if np.isfinite(row["val_loss"])]
    if not finite:
        return None
    return int(min(finite, key=lambda row: row["val_loss"])["epoch"])


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a training ended.

    Attributes
    ----------
    training : Training
        Its settings.
    result : TrainingResult
        Its history, and which networks were drawn again.
    probabilities : numpy.ndarray
        Probabilities of the training images by the kept network, shape (images, classes).
    labels : numpy.ndarray
        Class numbers of the training images, shape (images,).
    commonest : float
        Fraction of the commonest class among the training images.
    validation_images : int
        Images of the validation split.
    """

    training: Training
    result: TrainingResult
    probabilities: np.ndarray
    labels: np.ndarray
    commonest: float
    validation_images: int

    @property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights were kept; None if the network was solved at once."""
        if self.result.is_solved or not self.result.history:
            return None
        best = None
        if keeps_best(self.training, self.validation_images, self.result.history):
            best = best_epoch(self.result.history)
        return best or int(self.result.history[-1]["epoch"])

    def warnings(self) -> list[str]:
        """Return what a reader of the results should know, one line each."""
        lines = []
        if self.result.interrupted is not None:
            lines.append(
                f"The training was interrupted after epoch {self.result.interrupted.epoch}. "
                "Resume it with the same command and --resume."
            )
        if self.result.restarted_seeds:
            lines.append(
                "The network output the same for every image after the warm-up, and was drawn "
                f"again {_times(len(self.result.restarted_seeds))}."
            )
        if self.result.overruled_callback:
            lines.append(
                "A callback of the architecture changed the weights at the end of the training, "
                "such as to their moving averages; those of the best epoch replaced them. Use "
                "training.keep=last, or training.ema for averages that are kept with an epoch."
            )
        lost = [int(row["epoch"]) for row in self.result.history if not np.isfinite(row["loss"])]
        if lost and self.kept_epoch is not None and self.kept_epoch < lost[0]:
            lines.append(
                f"The loss became infinite or NaN in epoch {lost[0]}; the weights of epoch "
                f"{self.kept_epoch} were kept. Try a lower learning rate."
            )
        elif lost:
            return [*lines, "The loss became infinite or NaN: the network did not train."]
        return [*lines, *(self._parting() or self._collapse()), *self._missing_validation()]

    def _parting(self) -> list[str]:
        """Warn if the network is right less often in evaluation than in training."""
        logged = {int(row["epoch"]): row["accuracy"] for row in self.result.history}
        accuracy = logged.get(self.kept_epoch or 0)
        evaluated = float((self.probabilities.argmax(axis=1) == self.labels).mean())
        if accuracy is None or not accuracy - evaluated > _PARTING + 1 / len(self.labels):
            return []
        return [
            f"While it trained, the network had {accuracy:.3f} of the training images right, and "
            f"evaluated on the same images it has {evaluated:.3f}: layers such as batch "
            "normalization behave differently in training and evaluation. Leave "
            "training.refresh_batch_norm on, train for more epochs, or choose another network."
        ]

    def _collapse(self) -> list[str]:
        """Distinguish a training that collapsed from one that never started."""
        name = "val_accuracy" if self.validation_images else "accuracy"
        where = "on validation images" if self.validation_images else "in training"
        best = max(self.result.history, key=lambda row: row[name])
        if len(np.unique(self.probabilities.argmax(axis=1))) == 1:
            if best[name] < self.commonest + _LEARNED:
                return [
                    "The network never started to learn: it predicts one class for every training "
                    "image. Try another seed, a lower learning rate or more epochs."
                ]
            return [
                f"The training collapsed: accuracy {where} reached {best[name]:.3f} in epoch "
                f"{best['epoch']:.0f}, but the network that was kept predicts one class for every "
                f"training image. Try a lower learning rate{self._keeping_the_best()}."
            ]
        return self._fall()

    def _fall(self) -> list[str]:
        """Warn if validation accuracy fell far below that of the epoch with the lowest loss."""
        best = best_epoch(self.result.history)
        if best is None or not has_collapsed(self.result.history, self.validation_images):
            return []
        by_epoch = {int(row["epoch"]): row["val_accuracy"] for row in self.result.history}
        last = max(by_epoch)
        kept = f"The weights of epoch {self.kept_epoch} were kept"
        return [
            f"The training collapsed after epoch {best}: validation accuracy fell from "
            f"{by_epoch[best]:.3f} to {by_epoch[last]:.3f} in epoch {last}. {kept}. Try a lower "
            f"learning rate{self._keeping_the_best()}."
        ]

    def _keeping_the_best(self) -> str:
        if remembers_best(self.training, self.validation_images):
            return ""
        if self.validation_images:
            return ", or keep the best epoch: --set training.keep=best"
        return ", or keep the best epoch: --set split.validation=0.15 --set training.keep=best"

    def _missing_validation(self) -> list[str]:
        if self.training.keep != "auto" or self.validation_images or self.result.is_solved:
            return []
        return [
            "There is no validation split, so the weights of the last epoch were kept, whether or "
            "not they are the best. Make one: --set split.validation=0.15"
        ]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
