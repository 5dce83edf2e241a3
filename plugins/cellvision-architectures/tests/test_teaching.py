"""The from-scratch network: three ways to the same gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cellvision_architectures.teaching import plain_python, with_numpy

import cellvision as cv

WIDTHS = [784, 20, 10]


@pytest.fixture(scope="module")
def batch() -> tuple[Any, Any]:
    chance = np.random.default_rng(5)
    return chance.random((3, 784)), np.eye(10)[[3, 0, 9]]


@pytest.fixture(scope="module")
def network() -> plain_python.Network:
    drawn = plain_python.Network.draw(WIDTHS, seed=2)
    # Biases start at 0; other values reveal mistakes in how they are used.
    for layer, biases in enumerate(drawn.biases):
        drawn.biases[layer] = [0.01 * number for number in range(len(biases))]
    return drawn


def as_numpy(network: plain_python.Network) -> with_numpy.Network:
    return with_numpy.Network(
        [np.array(matrix).T for matrix in network.weights],
        [np.array(biases) for biases in network.biases],
    )


def mean_of_plain_gradients(network: plain_python.Network, batch: Any) -> list[Any]:
    """Weights and biases in turn, one neuron per column, mean over the batch."""
    images, labels = batch[0].tolist(), batch[1].tolist()
    gradients = [network.gradients(*pair) for pair in zip(images, labels, strict=True)]
    means = []
    for layer in range(len(network.weights)):
        means.append(np.mean([np.array(one.weights[layer]).T for one in gradients], axis=0))
        means.append(np.mean([one.biases[layer] for one in gradients], axis=0))
    return means


def test_all_three_give_the_same_gradients(network: Any, batch: Any) -> None:
    plain = mean_of_plain_gradients(network, batch)
    in_numpy = as_numpy(network).gradients(*batch)
    by_hand = [
        array for pair in zip(in_numpy.weights, in_numpy.biases, strict=True) for array in pair
    ]
    by_keras = keras_gradients(as_numpy(network), batch)

    assert max(abs(array).max() for array in plain) > 1e-2  # zeros would be equal too
    for one, two, three in zip(plain, by_hand, by_keras, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)
        np.testing.assert_allclose(one, three, rtol=0, atol=1e-6)


def keras_gradients(network: with_numpy.Network, batch: Any) -> list[Any]:
    """The gradients as the architecture's own model, loss and optimiser show them.

    Plain gradient descent moves a weight by rate × gradient, so that the gradients can be read
    from one training step, on any backend.
    """
    import keras

    architecture = cv.architectures.create("perceptron", rate=1.0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = architecture.build((28, 28, 1), classes=10)
    finally:
        keras.config.set_dtype_policy(before)
    start = [array for pair in zip(network.weights, network.biases, strict=True) for array in pair]
    model.set_weights(start)
    recipe = architecture.recipe(cv.TrainingPlan(1, 1, 1, (1, 1)))
    model.compile(recipe.optimizer, recipe.loss)
    model.train_on_batch(batch[0].reshape(-1, 28, 28, 1), batch[1])
    return [old - new for old, new in zip(start, model.get_weights(), strict=True)]


def test_gradients_agree_with_small_differences(batch: Any) -> None:
    small = plain_python.Network.draw([4, 3, 3, 2], seed=4)
    image, label = [0.2, 0.9, 0.4, 0.6], [1.0, 0.0]
    gradients = small.gradients(image, label)
    tiny = 1e-6
    for layer, matrix in enumerate(small.weights):
        for j, row in enumerate(matrix):
            for k, weight in enumerate(row):
                row[k] = weight + tiny
                above = small.cost(image, label)
                row[k] = weight - tiny
                below = small.cost(image, label)
                row[k] = weight
                slope = (above - below) / (2 * tiny)
                assert gradients.weights[layer][j][k] == pytest.approx(slope, abs=1e-8)


def test_costs_agree(network: Any, batch: Any) -> None:
    images, labels = batch
    each = [
        network.cost(image, label)
        for image, label in zip(images.tolist(), labels.tolist(), strict=True)
    ]
    assert as_numpy(network).cost(images, labels) == pytest.approx(np.mean(each), rel=1e-12)


def test_a_step_down_is_the_same(batch: Any) -> None:
    plain = plain_python.Network.draw(WIDTHS, seed=2)
    in_numpy = as_numpy(plain)
    plain.learn(batch[0].tolist(), batch[1].tolist(), rate=0.1)
    in_numpy.learn(*batch, rate=0.1)
    for one, two in zip(as_numpy(plain).weights, in_numpy.weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)
    for ones, twos in zip(plain.biases, in_numpy.biases, strict=True):
        np.testing.assert_allclose(ones, twos, rtol=0, atol=1e-12)


@pytest.mark.parametrize("z", [-1e9, -800.0, -1.0, 0.0, 1.0, 800.0, 1e9])
def test_sigmoid_never_overflows(z: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        in_numpy = with_numpy.sigmoid(np.array([z]))[0]
    assert 0 <= plain_python.sigmoid(z) <= 1
    assert plain_python.sigmoid(z) == pytest.approx(in_numpy, abs=1e-15)


def test_it_learns(batch: Any) -> None:
    network = with_numpy.Network.draw(WIDTHS, seed=0)
    for _ in range(300):
        network.learn(*batch, rate=1.0)
    answers = network.activations(batch[0])[-1]
    assert list(answers.argmax(axis=1)) == [3, 0, 9]


@pytest.mark.parametrize("module", [plain_python, with_numpy])
def test_the_examples_run(module: Any) -> None:
    import doctest

    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
