"""Architecture: a network and the recipe that trains it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from cellvision.component import Component
from cellvision.registry import Registry

if TYPE_CHECKING:
    import keras


class Architecture(Component, group="cellvision.architectures"):
    """A network with its optimizer and loss."""

    @abstractmethod
    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build an uncompiled Keras model.

        Parameters
        ----------
        input_shape
            Height, width and channels of an image. Intensities are floats from 0 to 1.
        classes
            Number of classes, at least two.

        Returns
        -------
        keras.Model
            Maps (batch, height, width, channels) to (batch, classes) probabilities. The output
            layer should be float32 (``dtype="float32"``) whatever the precision of the others.
            With stock layers, a saved model loads without this plugin.

        Raises
        ------
        errors.ArchitectureError
            The input is too small; the message names the layer that vanished and a size that
            works.
        """

    def optimizer(self) -> keras.optimizers.Optimizer:
        """Create the optimizer of the recipe, which an experiment may override. Default: Adam."""
        import keras

        return keras.optimizers.Adam()

    def loss(self) -> str | keras.losses.Loss:
        """Return the loss of the recipe, for one-hot labels. Default: cross-entropy."""
        return "categorical_crossentropy"


architectures: Registry[Architecture] = Architecture.registry
"""The registry of architectures."""
