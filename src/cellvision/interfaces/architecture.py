"""Which network, and the recipe by which it is trained."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from cellvision.component import Component

if TYPE_CHECKING:
    import keras


class Architecture(Component, group="cellvision.architectures"):
    """A network and the optimiser and loss that belong to it."""

    @abstractmethod
    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Make an uncompiled Keras model.

        Parameters
        ----------
        input_shape
            Height, width and channels of an image. Intensities come as floats, 0 to 1.
        classes
            How many classes there are, at least two.

        Returns
        -------
        keras.Model
            Maps (batch, height, width, channels) to (batch, classes) probabilities. The
            layer that gives them should be float32 (``dtype="float32"``) whatever the
            precision of the others. Stock layers let a saved model load without this plugin.

        Raises
        ------
        errors.ArchitectureError
            The input is too small; the message says which layer vanished and what works.
        """

    def optimizer(self) -> keras.optimizers.Optimizer:
        """Make the optimiser of its recipe; an experiment may override it. Adam by default."""
        import keras

        return keras.optimizers.Adam()

    def loss(self) -> str | keras.losses.Loss:
        """Give the loss of its recipe, on one-hot labels. Cross-entropy by default."""
        return "categorical_crossentropy"


architectures = Architecture.registry
"""The registry of architectures."""
