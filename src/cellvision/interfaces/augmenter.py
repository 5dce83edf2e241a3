"""How a training image may vary without changing its class."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from cellvision.component import Component

if TYPE_CHECKING:
    import keras


class Augmenter(Component, group="cellvision.augmenters"):
    """A random change to training images that keeps their label.

    It runs on the training device, anew in every epoch, and only while training.
    """

    mixes_labels: ClassVar[bool] = False
    """Whether the layer also changes labels, as mixup does. Then it is called with a tuple of
    images and one-hot labels (batch, classes), and returns both."""

    @abstractmethod
    def build(self, seed: int) -> keras.layers.Layer:
        """Make the Keras layer that does it.

        Parameters
        ----------
        seed
            Seed of its randomness: the same seed gives the same sequence of changes.

        Returns
        -------
        keras.layers.Layer
            Maps float images (batch, height, width, channels) in the range 0 to 1 to images
            of the same shape and dtype. With ``training=False`` it changes nothing.
        """


augmenters = Augmenter.registry
"""The registry of augmenters."""
