"""Augmenter: random changes to training images that keep their class."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from cellvision.component import Component
from cellvision.registry import Registry

if TYPE_CHECKING:
    import keras


class Augmenter(Component, group="cellvision.augmenters"):
    """A random change to training images that keeps their label.

    It runs on the training device, differently in every epoch, and only during training.
    """

    mixes_labels: ClassVar[bool] = False
    """Whether the layer also changes labels, as mixup does. Then it is called with a tuple of
    images and one-hot labels (batch, classes), and returns both."""

    @abstractmethod
    def build(self, seed: int) -> keras.layers.Layer:
        """Build the Keras layer that changes the images.

        Parameters
        ----------
        seed
            Seed of the random changes: the same seed gives the same sequence.

        Returns
        -------
        keras.layers.Layer
            Maps float images (batch, height, width, channels) in the range 0 to 1 to images of
            the same shape and dtype. With ``training=False`` it returns them unchanged.
        """


augmenters: Registry[Augmenter] = Augmenter.registry
"""The registry of augmenters."""
