"""The multi-layer perceptron that one can write from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cellvision import Architecture, TrainingPlan, TrainingRecipe
from cellvision_architectures import sizes

if TYPE_CHECKING:
    import keras


class Perceptron(Architecture):
    """Fully connected sigmoid neurons, quadratic cost, plain SGD: the from-scratch network.

    With the default width and images of 28×28×1 in ten classes it is the network 784-20-10.
    The same is written out in pure Python and in NumPy in `cellvision_architectures.teaching`.

    The cost of an image is ½ Σ (a − y)²; a step lowers its mean over the batch. Initial weights
    are drawn as by Keras' default (Glorot, uniform); biases start at 0.

    Each neuron of the last layer outputs a number from 0 to 1 for its class, and training
    compares these outputs with the label. They need not add up to 1. Outside of training, they
    are divided by their sum, which makes them probabilities and changes no prediction. The cost
    of validation and test images is that of the probabilities, and therefore not quite comparable
    with the training cost; accuracies are comparable.

    Examples
    --------
    >>> import cellvision as cv
    >>> model = cv.architectures.create("perceptron").build((28, 28, 1), classes=10)
    >>> model.count_params()
    15910
    """

    widths: tuple[Annotated[int, Field(ge=1)], ...] = (20,)
    """Neurons in each hidden layer, first to last; may be empty."""

    rate: float = Field(default=0.1, gt=0)
    """Learning rate of the gradient descent."""

    def build(self, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
        """Build the network; see `cellvision.Architecture.build`.

        Raises
        ------
        errors.ArchitectureError
            There are fewer than two classes, or no pixels.
        """
        sizes.check("perceptron", input_shape, classes)
        import keras
        from keras import layers

        image = keras.Input(input_shape, name="image")
        x = layers.Flatten(name="flat")(image)
        for number, width in enumerate(self.widths, start=1):
            x = layers.Dense(width, activation="sigmoid", name=f"hidden_{number}")(x)
        answers = layers.Dense(classes, activation="sigmoid", dtype="float32", name="classes")(x)

        # Multiplied by 1 / sum = 1 + surplus, the outputs become probabilities. In training, the
        # dropout removes the surplus, so outputs and gradients are those without the division.
        # All layers are Keras' own, so the model can be saved and loaded.
        total = keras.ops.sum(answers, axis=-1, keepdims=True)
        surplus = keras.ops.stop_gradient(1 / keras.ops.maximum(total, 1e-30) - 1)
        surplus = layers.Dropout(1.0, dtype="float32", name="only_when_used")(surplus)
        return keras.Model(image, answers * (1 + surplus), name="perceptron")

    def recipe(self, plan: TrainingPlan) -> TrainingRecipe:  # noqa: ARG002
        """Train by plain gradient descent on the quadratic cost."""
        import keras

        from cellvision_architectures.quadratic_cost import QuadraticCost

        return TrainingRecipe(keras.optimizers.SGD(self.rate), QuadraticCost())
