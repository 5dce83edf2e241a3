"""Architecture: a network, and the recipe that trains it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellvision.component import Component
from cellvision.registry import Registry

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class TrainingPlan:
    """What a recipe may know about a training before it starts.

    Attributes
    ----------
    steps_per_epoch : int
        Optimizer steps in one epoch.
    epochs : int
        Epochs at most; early stopping may end the training sooner.
    batch_size : int
        Images in one step.
    class_counts : tuple of int
        Training images of each class.
    """

    steps_per_epoch: int
    epochs: int
    batch_size: int
    class_counts: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Optimizer steps in the whole training."""
        return self.steps_per_epoch * self.epochs


@dataclass(frozen=True, eq=False)
class TrainingRecipe:
    """How to train a network.

    Attributes
    ----------
    optimizer : keras.optimizers.Optimizer
        The optimizer, with its learning-rate schedule.
    loss : str or keras.losses.Loss
        Loss on one-hot labels and probabilities.
    callbacks : sequence of keras.callbacks.Callback
        Further callbacks; they run before those of the trainer. ``training.keep=best`` restores the
        best epoch's weights after them, and the run warns if that undoes what one did at the end.
        For moving averages of the weights, use the optimizer's ``use_ema`` instead.
    metrics : sequence of keras.metrics.Metric or str
        Further metrics, which get one-hot labels and probabilities and give one number. Each is
        a pair of columns in ``history.csv``: its name, and ``val_`` and its name. A string is
        the name of a metric of Keras.
    """

    optimizer: keras.optimizers.Optimizer
    loss: str | keras.losses.Loss = "categorical_crossentropy"
    callbacks: Sequence[keras.callbacks.Callback] = ()
    metrics: Sequence[keras.metrics.Metric | str] = ()


class Architecture(Component, group="cellvision.architectures"):
    """A network, and the recipe that trains it."""

    @abstractmethod
    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build an uncompiled Keras model.

        Parameters
        ----------
        input_shape
            Height, width and channels of an image. Intensities are floats, 0 to 1.
        classes
            Number of classes, at least 2.

        Returns
        -------
        keras.Model
            Maps (batch, height, width, channels) to (batch, classes) probabilities. The last
            layer should be float32 (``dtype="float32"``) whatever the precision of the others.
            A model of stock layers can be loaded without this plugin.

        Raises
        ------
        errors.ArchitectureError
            The input is too small; the message names the layer and a size that works.
        """

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:
        """Return the optimizer, loss, callbacks and metrics that train this network.

        The settings of `Training` override it. By default: Adam, cross-entropy.

        Parameters
        ----------
        plan
            Length of the training and class counts, from which a schedule can be made.
        """
        import keras

        return TrainingRecipe(keras.optimizers.Adam())

    def warnings(self) -> Sequence[str]:
        """Say what a reader of the results should know about this network, one line each.

        Such as that its weights were pretrained. The lines become warnings of the run.
        """
        return ()


architectures: Registry[Architecture] = Architecture.registry
"""Registry of architectures."""
