"""Batch normalization in one operation gives what Keras computes in many."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from cellvision.backends.fused_batch_norm import fuse_batch_norm

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends compile the whole step"
)


def network(settings: dict[str, Any], dtype: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    images = keras.Input((6, 5, 8))
    layer = keras.layers.BatchNormalization(dtype=dtype, **settings)
    return keras.Model(images, keras.layers.Activation("tanh")(layer(images)))


def passes(model: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    """Return outputs in training and inference, gradients, and moving averages."""
    import tensorflow as tf

    @tf.function
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = tf.cast(model(x, training=True), tf.float32)
            loss = tf.reduce_sum(outputs**3)
        return outputs, tape.gradient(loss, [x, *model.trainable_variables])

    outputs, gradients = step(tf.constant(images))
    rest = [variable.numpy() for variable in model.variables]
    inference = keras.ops.cast(model(images, training=False), "float32")
    return [np.array(each) for each in (outputs, *gradients, *rest, inference)]


@pytest.mark.parametrize(
    "settings", [{}, {"scale": False}, {"center": False, "momentum": 0.9, "epsilon": 1e-6}]
)
def test_results_are_those_of_keras(settings: dict[str, Any]) -> None:
    images = np.random.default_rng(0).normal(3, 2, (7, 6, 5, 8)).astype(np.float32)
    stock, fused = (network(settings, "float32") for _ in range(2))
    fuse_batch_norm(fused)
    for expected, actual in zip(passes(stock, images), passes(fused, images), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-4)


def test_reduced_precision_agrees_to_its_rounding() -> None:
    images = np.random.default_rng(0).normal(3, 2, (7, 6, 5, 8)).astype(np.float32)
    stock, fused = (network({}, "mixed_bfloat16") for _ in range(2))
    fuse_batch_norm(fused)
    for expected, actual in zip(passes(stock, images), passes(fused, images), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0.03, atol=0.15)


def test_layers_that_do_not_train_use_their_averages() -> None:
    images = np.random.default_rng(0).normal(3, 2, (7, 6, 5, 8)).astype(np.float32)
    model = network({}, "float32")
    fuse_batch_norm(model)
    model.trainable = False
    before = [variable.numpy() for variable in model.variables]
    np.testing.assert_allclose(
        model(images, training=True), model(images, training=False), rtol=1e-6
    )
    for start, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(start, variable.numpy())


def test_other_layers_stay_as_they_are() -> None:
    class Own(keras.layers.BatchNormalization):  # type: ignore[misc]
        """Somebody's own."""

    images = keras.Input((6, 5, 8))
    outputs = Own()(keras.layers.BatchNormalization(axis=1)(images))
    model = keras.Model(images, outputs)
    fuse_batch_norm(model)
    assert not any("call" in vars(layer) for layer in model.layers)


def test_a_saved_model_has_stock_layers(tmp_path: Any) -> None:
    images = np.random.default_rng(0).normal(3, 2, (7, 6, 5, 8)).astype(np.float32)
    model = network({}, "float32")
    fuse_batch_norm(model)
    model(images, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not any("call" in vars(layer) for layer in loaded.layers)
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-4, atol=1e-5)
