"""The same network in NumPy: a whole batch at once, as products of matrices.

Read `plain_python` first; names and steps are the same here. A batch of images is a matrix
with one image per row, and the weights of a layer are a matrix with one neuron per *column*, as in
Keras. The weighted inputs of all neurons for all images are then one product::

    z = a_before @ weights + biases
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def sigmoid(z: Array) -> Array:
    """Squash any numbers to the range 0 to 1.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    # exp of a negative number cannot overflow.
    small = np.exp(-np.abs(z))
    answers: Array = np.where(z >= 0, 1, small) / (1 + small)
    return answers


@dataclass
class Gradients:
    """Derivatives of the mean cost of a batch with respect to each weight and bias, by layer."""

    weights: list[Array]
    biases: list[Array]


@dataclass
class Network:
    """Layers of sigmoid neurons, each connected to all neurons of the previous layer.

    Attributes
    ----------
    weights : list of Array
        One float64 matrix per layer: (neurons of the previous layer, neurons).
    biases : list of Array
        One float64 vector per layer: (neurons,).

    Examples
    --------
    >>> network = Network.draw([2, 3, 2], seed=1)
    >>> images = np.array([[0.9, 0.1], [0.2, 0.7], [0.6, 0.3], [0.0, 1.0]])
    >>> labels = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    >>> for _ in range(500):
    ...     network.learn(images, labels, rate=2.0)
    >>> network.activations(np.array([[0.8, 0.3]]))[-1].round()
    array([[1., 0.]])
    """

    weights: list[Array]
    biases: list[Array]

    @classmethod
    def draw(cls, widths: Sequence[int], seed: int) -> Network:
        """Create a network of these widths (inputs first) with random weights."""
        rng = np.random.default_rng(seed)
        pairs = list(itertools.pairwise(widths))
        return cls(
            [rng.normal(0, 1 / np.sqrt(inputs), (inputs, neurons)) for inputs, neurons in pairs],
            [np.zeros(neurons) for _, neurons in pairs],
        )

    def activations(self, images: Array) -> list[Array]:
        """Return the images and the activations of all layers, each of shape (images, neurons)."""
        answers = [images]
        for weights, biases in zip(self.weights, self.biases, strict=True):
            answers.append(sigmoid(answers[-1] @ weights + biases))
        return answers

    def cost(self, images: Array, labels: Array) -> float:
        """Return the mean cost of a batch: 1/2 × sum of (a - y)², mean over images."""
        answers = self.activations(images)[-1]
        return float(np.sum((answers - labels) ** 2) / 2 / len(images))

    def gradients(self, images: Array, labels: Array) -> Gradients:
        """Compute the gradients of the mean cost by backpropagation.

        Parameters
        ----------
        images
            (images, pixels), 0 to 1.
        labels
            (images, classes), 1 for the class of an image and 0 for all others.
        """
        answers = self.activations(images)

        # The error of each neuron for each image; the mean over the batch starts here.
        errors = (answers[-1] - labels) * answers[-1] * (1 - answers[-1]) / len(images)

        weight_gradients: list[Array] = []
        bias_gradients: list[Array] = []
        for layer in reversed(range(len(self.weights))):
            before = answers[layer]

            # Both sum over the images of the batch.
            bias_gradients.insert(0, errors.sum(axis=0))
            weight_gradients.insert(0, before.T @ errors)

            if layer == 0:
                break  # The inputs of the first layer are pixels, which do not learn.

            # Back to the previous layer, through the same weights.
            errors = (errors @ self.weights[layer].T) * before * (1 - before)
        return Gradients(weight_gradients, bias_gradients)

    def learn(self, images: Array, labels: Array, rate: float) -> None:
        """Take one step down the mean cost of a batch of images."""
        gradients = self.gradients(images, labels)
        for layer in range(len(self.weights)):
            self.weights[layer] -= rate * gradients.weights[layer]
            self.biases[layer] -= rate * gradients.biases[layer]
