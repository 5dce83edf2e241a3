"""AlexNet with fewer poolings, for images of 28×28 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellvision import Architecture, TrainingPlan, TrainingRecipe
from cellvision_architectures.alexnet import column, momentum_sgd

if TYPE_CHECKING:
    import keras


class FmnistAlexNet(Architecture):
    """The network `alexnet` without its last two poolings, for small images (28×28).

    Only the first convolution is followed by a pooling. At 28×28×1 with ten classes it has
    10,041,418 weights, of which 704 are the running means and variances of the batch
    normalisation. The recipe is that of `alexnet`.

    Examples
    --------
    >>> import cellvision as cv
    >>> model = cv.architectures.create("fmnist_alexnet").build((28, 28, 1), classes=10)
    >>> model.count_params()
    10041418
    """

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            Height or width is below 19.
        """
        return column("fmnist_alexnet", input_shape, classes, pooled={1})

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:  # noqa: ARG002
        """Train by SGD with momentum and inverse-time decay, as `alexnet`."""
        return TrainingRecipe(momentum_sgd())
