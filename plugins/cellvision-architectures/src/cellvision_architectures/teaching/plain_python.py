"""A network of sigmoid neurons in pure Python, with backpropagation written out.

The network is a list of layers. A neuron takes the outputs of all neurons of the layer before,
weighs each, adds its bias, and answers with a number between 0 and 1::

    z = bias + sum of weight × input         its weighted input
    a = sigmoid(z) = 1 / (1 + exp(-z))       its answer, or activation

How wrong the answers a of the last layer are for an image whose label is y, is the quadratic
cost::

    C = 1/2 × sum of (a - y)²

Learning means to move each weight a little against its gradient, the amount by which C grows
when the weight grows. Backpropagation finds all gradients in one walk from the last layer to
the first. The walk is in `Network.gradients`.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

Vector = list[float]
"""One number for each neuron of a layer."""

Matrix = list[Vector]
"""``matrix[j][k]``: what belongs to the weight from neuron k of the layer before to neuron j."""


def sigmoid(z: float) -> float:
    """Squash any number into 0 to 1; 0 becomes one half.

    >>> sigmoid(0.0)
    0.5
    """
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    # The same number, written so that exp cannot overflow.
    return math.exp(z) / (1 + math.exp(z))


@dataclass
class Gradients:
    """How the cost grows with each weight and each bias, layer by layer."""

    weights: list[Matrix]
    biases: list[Vector]


@dataclass
class Network:
    """Layers of sigmoid neurons, each connected with all of the layer before.

    Attributes
    ----------
    weights : list of Matrix
        One matrix a layer: ``weights[layer][j][k]``.
    biases : list of Vector
        One number a neuron: ``biases[layer][j]``.

    Examples
    --------
    Learn to answer *which of two pixels is brighter?*

    >>> network = Network.draw([2, 3, 2], seed=1)
    >>> images = [[0.9, 0.1], [0.2, 0.7], [0.6, 0.3], [0.0, 1.0]]
    >>> labels = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    >>> for _ in range(500):
    ...     network.learn(images, labels, rate=2.0)
    >>> [round(answer) for answer in network.activations([0.8, 0.3])[-1]]
    [1, 0]
    """

    weights: list[Matrix]
    biases: list[Vector]

    @classmethod
    def draw(cls, widths: Sequence[int], seed: int) -> Network:
        """Make a network with random weights.

        Parameters
        ----------
        widths
            Number of inputs, then of neurons in each layer: ``[784, 20, 10]``.
        seed
            The same seed gives the same weights.
        """
        chance = random.Random(seed)  # noqa: S311
        weights, biases = [], []
        for inputs, neurons in itertools.pairwise(widths):
            # A neuron with many inputs takes small weights, so that z stays where the
            # sigmoid is steep and learning is quick.
            spread = 1 / math.sqrt(inputs)
            weights.append(
                [[chance.gauss(0, spread) for _ in range(inputs)] for _ in range(neurons)]
            )
            biases.append([0.0] * neurons)
        return cls(weights, biases)

    def activations(self, image: Vector) -> list[Vector]:
        """The answers of all layers to one image: the image itself first, the last layer last."""
        answers = [image]
        for weights, biases in zip(self.weights, self.biases, strict=True):
            layer = []
            for neuron, bias in enumerate(biases):
                z = bias
                for weight, answer in zip(weights[neuron], answers[-1], strict=True):
                    z += weight * answer
                layer.append(sigmoid(z))
            answers.append(layer)
        return answers

    def cost(self, image: Vector, label: Vector) -> float:
        """How wrong the network is on one image: 1/2 × sum of (a - y)²."""
        answers = self.activations(image)[-1]
        return sum((a - y) ** 2 for a, y in zip(answers, label, strict=True)) / 2

    def gradients(self, image: Vector, label: Vector) -> Gradients:
        """Find how the cost on one image grows with each weight and bias: backpropagation.

        Parameters
        ----------
        image
            Its pixels, 0 to 1.
        label
            1 for its class and 0 for all others.
        """
        answers = self.activations(image)

        # How does the cost grow with the weighted input z of each neuron? Call that its error.
        # In the last layer, C grows with the answer a by (a - y), and a grows with z by the
        # slope of the sigmoid, which is a × (1 - a). The chain rule multiplies the two.
        errors = [(a - y) * a * (1 - a) for a, y in zip(answers[-1], label, strict=True)]

        weight_gradients: list[Matrix] = []
        bias_gradients: list[Vector] = []
        for layer in reversed(range(len(self.weights))):
            before = answers[layer]

            # z = bias + sum of weight × input: it grows with the bias by 1, and with a weight
            # by the input that comes through it.
            bias_gradients.insert(0, errors)
            weight_gradients.insert(0, [[error * a for a in before] for error in errors])

            if layer == 0:
                break  # Before the first layer there are only pixels.

            # One layer back: a neuron there has a share in every error here, by the weight
            # through which its answer came. Then the slope of its own sigmoid.
            errors = [
                sum(self.weights[layer][neuron][k] * error for neuron, error in enumerate(errors))
                * a
                * (1 - a)
                for k, a in enumerate(before)
            ]
        return Gradients(weight_gradients, bias_gradients)

    def learn(self, images: Sequence[Vector], labels: Sequence[Vector], rate: float) -> None:
        """Take one step down the mean cost of a batch of images.

        Parameters
        ----------
        images, labels
            The batch; as in `gradients`.
        rate
            The length of the step, in units of the gradient.
        """
        found = [self.gradients(image, label) for image, label in zip(images, labels, strict=True)]
        step = rate / len(found)
        for layer, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            for gradients in found:
                for j, row in enumerate(gradients.weights[layer]):
                    biases[j] -= step * gradients.biases[layer][j]
                    for k, gradient in enumerate(row):
                        weights[j][k] -= step * gradient
