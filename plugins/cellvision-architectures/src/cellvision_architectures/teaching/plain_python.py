"""A network of sigmoid neurons in pure Python, with backpropagation written out.

The network is a list of layers. A neuron weights the outputs of all neurons of the previous
layer, adds its bias, and outputs a number between 0 and 1::

    z = bias + sum of weight × input         weighted input
    a = sigmoid(z) = 1 / (1 + exp(-z))       activation

For an image with label y, the quadratic cost measures how wrong the activations a of the last
layer are::

    C = 1/2 × sum of (a - y)²

Learning moves each weight a little against its gradient, the rate at which C changes with the
weight. Backpropagation computes all gradients in one pass from the last layer to the first; see
`Network.gradients`.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

Vector = list[float]
"""One number per neuron of a layer."""

Matrix = list[Vector]
"""``matrix[j][k]`` belongs to the weight from neuron k of the previous layer to neuron j."""


def sigmoid(z: float) -> float:
    """Squash any number to the range 0 to 1; 0 becomes one half.

    >>> sigmoid(0.0)
    0.5
    """
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    # The same value, in a form in which exp cannot overflow.
    return math.exp(z) / (1 + math.exp(z))


@dataclass
class Gradients:
    """Derivatives of the cost with respect to each weight and bias, layer by layer."""

    weights: list[Matrix]
    biases: list[Vector]


@dataclass
class Network:
    """Layers of sigmoid neurons, each connected to all neurons of the previous layer.

    Attributes
    ----------
    weights : list of Matrix
        One matrix per layer: ``weights[layer][j][k]``.
    biases : list of Vector
        One vector per layer: ``biases[layer][j]``.

    Examples
    --------
    Learn which of two pixels is brighter.

    >>> network = Network.draw([2, 3, 2], seed=1)
    >>> images = [[0.9, 0.1], [0.2, 0.7], [0.6, 0.3], [0.0, 1.0]]
    >>> labels = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    >>> for _ in range(500):
    ...     network.learn(images, labels, rate=2.0)
    >>> [round(output) for output in network.activations([0.8, 0.3])[-1]]
    [1, 0]
    """

    weights: list[Matrix]
    biases: list[Vector]

    @classmethod
    def draw(cls, widths: Sequence[int], seed: int) -> Network:
        """Create a network with random weights.

        Parameters
        ----------
        widths
            Number of inputs, then number of neurons of each layer: ``[784, 20, 10]``.
        seed
            The same seed gives the same weights.
        """
        rng = random.Random(seed)  # noqa: S311
        weights, biases = [], []
        for inputs, neurons in itertools.pairwise(widths):
            # A neuron with many inputs gets small weights, so that z stays where the sigmoid
            # is steep and learning is fast.
            sd = 1 / math.sqrt(inputs)
            weights.append([[rng.gauss(0, sd) for _ in range(inputs)] for _ in range(neurons)])
            biases.append([0.0] * neurons)
        return cls(weights, biases)

    def activations(self, image: Vector) -> list[Vector]:
        """Return the image itself and the activations of all layers, from first to last."""
        activations = [image]
        for weights, biases in zip(self.weights, self.biases, strict=True):
            layer = []
            for neuron, bias in enumerate(biases):
                z = bias
                for weight, a in zip(weights[neuron], activations[-1], strict=True):
                    z += weight * a
                layer.append(sigmoid(z))
            activations.append(layer)
        return activations

    def cost(self, image: Vector, label: Vector) -> float:
        """Return the cost of one image: 1/2 × sum of (a - y)²."""
        outputs = self.activations(image)[-1]
        return sum((a - y) ** 2 for a, y in zip(outputs, label, strict=True)) / 2

    def gradients(self, image: Vector, label: Vector) -> Gradients:
        """Compute the gradients of the cost of one image by backpropagation.

        Parameters
        ----------
        image
            Pixels, 0 to 1.
        label
            1 for the image's class and 0 for all others.
        """
        activations = self.activations(image)

        # The error of a neuron is the derivative of C with respect to its weighted input z.
        # In the last layer, the derivative of C with respect to a is (a - y), and that of a
        # with respect to z is the slope of the sigmoid, a × (1 - a). The chain rule multiplies
        # the two.
        errors = [(a - y) * a * (1 - a) for a, y in zip(activations[-1], label, strict=True)]

        weight_gradients: list[Matrix] = []
        bias_gradients: list[Vector] = []
        for layer in reversed(range(len(self.weights))):
            inputs = activations[layer]

            # z = bias + sum of weight × input: its derivative with respect to the bias is 1,
            # and with respect to a weight it is the input that the weight multiplies.
            bias_gradients.insert(0, errors)
            weight_gradients.insert(0, [[error * a for a in inputs] for error in errors])

            if layer == 0:
                break  # The inputs of the first layer are pixels, which do not learn.

            # The layer before: a neuron there contributes to every error here, in proportion
            # to the weight between them. Its error is the weighted sum times its own slope.
            errors = [
                sum(self.weights[layer][neuron][k] * error for neuron, error in enumerate(errors))
                * a
                * (1 - a)
                for k, a in enumerate(inputs)
            ]
        return Gradients(weight_gradients, bias_gradients)

    def learn(self, images: Sequence[Vector], labels: Sequence[Vector], rate: float) -> None:
        """Take one step down the mean cost of a batch of images.

        Parameters
        ----------
        images, labels
            The batch; as in `gradients`.
        rate
            Learning rate: length of the step as a multiple of the gradient.
        """
        batch = [self.gradients(image, label) for image, label in zip(images, labels, strict=True)]
        step = rate / len(batch)
        for layer, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            for gradients in batch:
                for j, row in enumerate(gradients.weights[layer]):
                    biases[j] -= step * gradients.biases[layer][j]
                    for k, gradient in enumerate(row):
                        weights[j][k] -= step * gradient
