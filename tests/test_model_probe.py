"""Probe of a trained network: probabilities, gradients, features, redrawn layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

import cellvision as cv
from cellvision import errors

pytestmark = pytest.mark.usefixtures("tiny_plugins")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cv.Run:
    home = tmp_path_factory.mktemp("probe")
    experiment = tiny.experiment(
        tiny.make_folder(home / "images"), "mixed", preprocessing={"intensity": (20.0, 200.0)}
    )
    return cv.train(experiment, home / "run")


@pytest.fixture(scope="module")
def probe(run: cv.Run) -> cv.Probe:
    return run.probe()


@pytest.fixture(scope="module")
def images(run: cv.Run) -> np.ndarray:
    return run.network_input(list(run.predictions["image"][:11]))


@pytest.mark.slow
def test_probabilities_equal_the_record(run: cv.Run, probe: cv.Probe, images: np.ndarray) -> None:
    recorded = tiny.probabilities(run.predictions)[: len(images)]
    np.testing.assert_allclose(probe.probabilities(images), recorded, atol=1e-5)


@pytest.mark.slow
def test_log_odds_are_of_the_probabilities(probe: cv.Probe, images: np.ndarray) -> None:
    p = probe.probabilities(images).astype(np.float64)
    expected = np.log(p[:, 0]) - np.log(p[:, 1])
    np.testing.assert_allclose(probe.log_odds(images, [0] * len(images)), expected, atol=1e-6)
    np.testing.assert_allclose(probe.log_odds(images, [1] * len(images)), -expected, atol=1e-6)


@pytest.mark.slow
def test_gradients_are_differences(probe: cv.Probe, images: np.ndarray) -> None:
    classes = np.arange(len(images)) % 2
    gradients = probe.gradients(images, classes)
    assert gradients.shape == images.shape
    assert gradients.dtype == np.float32
    rng = np.random.default_rng(0)
    for _ in range(3):
        direction = rng.normal(size=images.shape).astype(np.float32)
        step = 1e-3
        ahead = probe.log_odds(images + step * direction, classes)
        behind = probe.log_odds(images - step * direction, classes)
        along = (gradients * direction).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(along, (ahead - behind) / (2 * step), rtol=0.05, atol=0.05)


@pytest.mark.slow
def test_gradients_work_after_predictions(run: cv.Run, images: np.ndarray) -> None:
    probe = run.probe()
    classes = [0] * len(images)
    before = probe.gradients(images, classes)
    probe.probabilities(images)
    np.testing.assert_allclose(probe.gradients(images, classes), before, atol=1e-6)


@pytest.mark.slow
def test_batch_size_does_not_change_results(probe: cv.Probe, images: np.ndarray) -> None:
    many = np.concatenate([images] * 60)
    np.testing.assert_allclose(
        probe.probabilities(many)[-3:], probe.probabilities(images[-3:]), atol=1e-5
    )
    with pytest.raises(errors.CellvisionError, match="no image"):
        probe.probabilities(images[:0])


@pytest.mark.slow
def test_features_feed_the_last_layer(run: cv.Run, probe: cv.Probe, images: np.ndarray) -> None:
    features = probe.features(images)
    network = run.model().layers[-1]
    kernel, bias = network.layers[-1].get_weights()
    assert features.shape == (len(images), len(kernel))
    logits = features @ kernel + bias
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(share, probe.probabilities(images), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["functional", "sequential", "twice"])
def test_features_of_networks_inside_networks(kind: str, images: np.ndarray) -> None:
    import keras
    from keras import layers

    dense = layers.Dense(3, activation="softmax")
    inner_inputs = keras.Input(images.shape[1:])
    convolved = layers.Conv2D(4, 3, activation="relu")(inner_inputs)
    features = layers.GlobalAveragePooling2D()(convolved)
    network = keras.Model(inner_inputs, dense(features))
    inputs = keras.Input(images.shape[1:])
    if kind == "sequential":
        model = keras.Sequential([inputs, layers.Rescaling(2.0), network])
    else:
        model = keras.Model(inputs, network(layers.Rescaling(2.0)(inputs)))
    if kind == "twice":
        again = keras.Input(images.shape[1:])
        model = keras.Model(again, model(layers.Rescaling(0.5)(again)))
    probe = cv.Probe(model, 0.0, 1.0)
    vectors = probe.features(images)
    assert vectors.shape == (len(images), 4)
    logits = vectors @ keras.ops.convert_to_numpy(dense.kernel)
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(share, probe.probabilities(images), atol=1e-5)


@pytest.mark.slow
def test_redrawn_layers_have_forgotten(probe: cv.Probe, images: np.ndarray) -> None:
    before = probe.probabilities(images)
    assert len(probe.layers) == 3  # dense, normalisation, convolution
    head, whole, again = probe.redrawn(1, layers=1), probe.redrawn(1), probe.redrawn(1)
    np.testing.assert_allclose(head.features(images), probe.features(images), atol=1e-5)
    assert np.abs(head.probabilities(images) - before).max() > 0.01
    assert np.abs(whole.features(images) - probe.features(images)).max() > 0.01
    np.testing.assert_array_equal(whole.probabilities(images), again.probabilities(images))
    assert np.abs(whole.probabilities(images) - probe.redrawn(2).probabilities(images)).max() > 0
    np.testing.assert_array_equal(probe.probabilities(images), before)


@pytest.mark.slow
def test_a_subclassed_network_has_features_and_gradients(images: np.ndarray) -> None:
    import keras

    class Plain(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3, activation="softmax")

        def call(self, x: object) -> object:
            return self.dense(keras.ops.mean(x, axis=(1, 2)))

    inputs = keras.Input(images.shape[1:])
    probe = cv.Probe(keras.Model(inputs, Plain()(inputs)), 0.0, 1.0)
    features = probe.features(images)
    np.testing.assert_allclose(np.exp(features), probe.probabilities(images), atol=1e-6)
    assert np.abs(probe.gradients(images, [2] * len(images))).max() > 0
    with pytest.raises(errors.ArchitectureError, match="copy"):
        probe.redrawn(0)


@pytest.mark.slow
def test_loading_needs_a_model(run: cv.Run, tmp_path: Path) -> None:
    with pytest.raises(errors.FolderError, match=r"model\.keras"):
        cv.Run(tmp_path, run.metadata).probe()
