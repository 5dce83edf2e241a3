"""Every architecture: its weights, what it refuses, and that it trains, saves and loads.

Run as a script, this checks the last of these on the backend that KERAS_BACKEND names.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cellvision as cv
from cellvision import errors

SMALLEST = {
    "alexnet": 67,
    "deep": 256,
    "deep_functional": 16,
    "fmnist_alexnet": 19,
    "fmnist_deep": 16,
    "perceptron": 1,
    "pretrained": 32,
    "resnet": 1,
}
"""Smallest height and width that each accepts."""

SIDES = {**SMALLEST, "perceptron": 28, "resnet": 32}
"""Sizes at which they are trained here."""

ON_JAX = ("deep_functional", "fmnist_alexnet", "perceptron", "resnet")
"""Architectures to test on JAX: together they have every kind of layer of the others."""

PLAN = cv.TrainingPlan(steps_per_epoch=10, epochs=2, batch_size=5, class_counts=(25, 25))

POLICIES = ("float32", "mixed_bfloat16")


LIGHT: dict[str, dict[str, Any]] = {
    "pretrained": {"backbone": "MobileNet", "random": True},
    "resnet": {"depth": 1, "width": 8},
}
"""Settings that are quicker to build than the default."""


def create(name: str) -> cv.Architecture:
    return cv.architectures.create(name, **LIGHT.get(name, {}))


def trains_and_reloads(name: str, policy: str, folder: Path) -> None:
    """Build under a dtype policy, train one step, save, load, and compare predictions."""
    import keras

    architecture = create(name)
    side = SIDES[name]
    keras.config.set_dtype_policy(policy)
    try:
        model = architecture.build((side, side, 3), classes=2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.layers[-1].compute_dtype == "float32"
    assert model.output_shape == (None, 2)
    if name not in ("perceptron", "fmnist_deep", "alexnet"):
        computed = {layer.compute_dtype for layer in model.layers if layer.weights}
        assert policy == "float32" or "bfloat16" in computed

    chance = np.random.default_rng(0)
    images = chance.random((2, side, side, 3)).astype("float32")
    before = model.get_weights()
    recipe = architecture.recipe(PLAN)
    model.compile(recipe.optimizer, recipe.loss)
    loss = model.train_on_batch(images, np.eye(2, dtype="float32"))
    assert np.isfinite(loss)
    assert any((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))

    probabilities = model.predict_on_batch(images)
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)

    model.save(folder / f"{name}.keras")
    loaded = keras.models.load_model(folder / f"{name}.keras", compile=False)
    np.testing.assert_allclose(loaded.predict_on_batch(images), probabilities, atol=1e-5)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "policy"),
    # A backbone takes long to build; in float32 it is trained in another test.
    [
        pair
        for pair in itertools.product(sorted(SIDES), POLICIES)
        if pair != ("pretrained", POLICIES[0])
    ],
)
def test_trains_and_reloads(name: str, policy: str, tmp_path: Path) -> None:
    trains_and_reloads(name, policy, tmp_path)


@pytest.mark.exhaustive
def test_trains_and_reloads_on_jax() -> None:
    pytest.importorskip("jax", reason="the jax extra is not installed")
    done = subprocess.run(
        [sys.executable, __file__],
        # What is compiled here runs once, so that optimising it would only take time.
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["jax", *ON_JAX]


@pytest.mark.parametrize(
    ("name", "settings", "shape", "classes", "weights"),
    [
        ("deep", {}, (256, 256, 3), 2, 154_882),
        ("deep", {"dense": 50}, (256, 256, 3), 2, 179_608),
        ("alexnet", {}, (256, 256, 3), 2, 26_825_474),
        ("fmnist_deep", {}, (28, 28, 1), 10, 179_728),
        ("fmnist_alexnet", {}, (28, 28, 1), 10, 10_041_418),
        ("deep_functional", {}, (28, 28, 1), 10, 131_232),
        ("deep_functional", {}, (256, 256, 3), 2, 8_486_952),
        ("perceptron", {}, (28, 28, 1), 10, 15_910),
        ("perceptron", {"widths": ()}, (28, 28, 1), 10, 7_850),
        ("resnet", {}, (128, 128, 3), 2, 702_008),
        ("resnet", {"reduction": 2}, (128, 128, 3), 2, 701_944),
    ],
)
def test_number_of_weights(
    name: str, settings: dict[str, Any], shape: Any, classes: int, weights: int
) -> None:
    model = cv.architectures.create(name, **settings).build(shape, classes)
    assert model.count_params() == weights


@pytest.mark.parametrize(
    ("side", "reduction", "stage_side"),
    [
        *((8, 1, 8), (28, 1, 28), (39, 1, 39), (40, 2, 20), (64, 2, 32), (79, 2, 40)),
        *((80, 4, 20), (128, 4, 32), (159, 4, 40), (160, 8, 20), (256, 8, 32)),
    ],
)
def test_resnet_shrinks_large_images_before_its_first_stage(
    side: int, reduction: int, stage_side: int
) -> None:
    network = cv.architectures.create("resnet", depth=1, width=2)
    for shape in ((side, side, 1), (side, side + 40, 1)):
        assert network.reduction_of(shape) == reduction
    model = network.build((side, side, 1), classes=2)
    first = model.get_layer("stage_1_block_1_add").output
    assert first.shape[1:3] == (stage_side, stage_side)
    assert model.get_layer("stage_4_block_1_add").output.shape[1] == -(-stage_side // 8)


def test_resnet_starts_alike_on_dim_and_bright_images() -> None:
    """Images of 16 bits that use a hundredth of their range train like bright ones."""
    import keras

    images = np.random.default_rng(0).random((16, 16, 16, 1)).astype("float32")
    outputs = []
    for scale in (1.0, 0.1):
        keras.utils.set_random_seed(0)
        model = cv.architectures.create("resnet", depth=1, width=8).build((16, 16, 1), classes=3)
        outputs.append(keras.ops.convert_to_numpy(model(images * scale, training=True)))
    np.testing.assert_allclose(*outputs, atol=0.05)
    assert np.ptp(outputs[0], axis=0).max() > 0.1  # the images differ for the network


@pytest.mark.parametrize("name", ["alexnet", "fmnist_alexnet"])
def test_alexnet_counts_the_running_values_of_its_normalisation(name: str) -> None:
    model = create(name).build((67, 67, 1), classes=2)
    assert sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights) == 704


def test_functional_convolutions_are_used_twice() -> None:
    model = create("deep_functional").build((28, 28, 1), classes=10)
    uses = {
        layer.name: len(layer._inbound_nodes)
        for layer in model.layers
        if layer.name.startswith(("conv", "entry"))
    }
    assert uses == {
        "entry": 1,
        "conv_16_twice": 2,
        "conv_32": 1,
        "conv_32_twice": 2,
        "conv_64": 1,
        "conv_64_twice": 2,
    }


def test_layers_of_the_original_experiments() -> None:
    deep = create("deep").build((256, 256, 3), classes=2)
    relus = {layer.name for layer in deep.layers if layer.name.startswith("relu")}
    assert len(relus) == 8  # one after each pooling; the convolution without pooling has its own
    assert [layer.name for layer in deep.layers if layer.name not in relus] == [
        *("conv_1", "pool_1", "conv_2", "pool_2", "conv_3", "pool_3", "conv_4", "pool_4"),
        *("conv_5", "conv_6", "pool_6", "conv_7", "pool_7", "conv_8", "pool_8"),
        *("conv_9", "pool_9", "flat", "dense_1", "classes"),
    ]
    alexnet = create("fmnist_alexnet").build((28, 28, 1), classes=10)
    assert [layer.name for layer in alexnet.layers] == [
        *("conv_1", "pool_1", "norm_1", "conv_2", "norm_2", "conv_3", "conv_4", "conv_5"),
        *("flat", "dropout_1", "dense_1", "dropout_2", "dense_2", "classes"),
    ]
    regularised = [
        layer.name
        for layer in alexnet.layers
        if getattr(layer, "kernel_regularizer", None) is not None
    ]
    assert regularised == [
        *("conv_1", "conv_2", "conv_3", "conv_4", "conv_5", "dense_1", "dense_2", "classes")
    ]


def test_relu_after_pooling_is_the_network_of_the_original_experiments() -> None:
    """Their order is convolution, ReLU, pooling; a step of training gives the same weights."""
    import keras
    from keras import layers

    ours = create("fmnist_deep").build((28, 28, 1), classes=10)
    stack: list[keras.layers.Layer] = [keras.Input((28, 28, 1))]
    for number, filters in enumerate((16, 16, 16, 32, 32, 32, 64, 64, 64), start=1):
        stack.append(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        if number <= 4:
            stack.append(layers.MaxPooling2D(2))
    stack += [
        layers.Flatten(),
        layers.Dense(512, activation="relu"),
        layers.Dense(50, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]
    page = keras.Sequential(stack)
    page.set_weights(ours.get_weights())
    rng = np.random.default_rng(0)
    images = rng.random((12, 28, 28, 1)).astype("float32")
    labels = np.eye(10, dtype="float32")[rng.integers(0, 10, 12)]
    before = ours.get_weights()
    predictions = []
    for model in (ours, page):
        model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
        predictions.append(model.predict_on_batch(images))
        model.train_on_batch(images, labels)
    np.testing.assert_allclose(*predictions, rtol=1e-5, atol=1e-7)
    for start, one, other in zip(before, ours.get_weights(), page.get_weights(), strict=True):
        assert np.abs(one - start).max() > 0
        np.testing.assert_allclose(one - start, other - start, rtol=1e-3, atol=1e-6)


def test_recipe_of_alexnet() -> None:
    optimizer = create("alexnet").recipe(PLAN).optimizer
    assert type(optimizer).__name__ == "SGD"
    assert optimizer.momentum == 0.9
    schedule = optimizer._learning_rate
    rates = [float(schedule(update)) for update in (0, 1, 10)]
    assert rates == pytest.approx([0.01, 0.01 / 1.3, 0.01 / 4])


def test_recipe_of_the_perceptron() -> None:
    architecture = create("perceptron")
    optimizer = architecture.recipe(PLAN).optimizer
    assert type(optimizer).__name__ == "SGD"
    assert optimizer.momentum == 0
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    cost = architecture.recipe(PLAN).loss(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
    assert float(cost) == pytest.approx(0.25)


def test_perceptron_learns_by_its_answers_and_gives_probabilities() -> None:
    import keras

    model = create("perceptron").build((4, 4, 1), classes=3)
    images = np.random.default_rng(0).random((5, 4, 4, 1)).astype("float32")
    answers = keras.Model(model.inputs, model.get_layer("classes").output)(images)
    answers = keras.ops.convert_to_numpy(answers)
    assert (abs(answers.sum(axis=1) - 1) > 0.01).any()
    while_training = keras.ops.convert_to_numpy(model(images, training=True))
    np.testing.assert_array_equal(while_training, answers)
    used = keras.ops.convert_to_numpy(model(images, training=False))
    np.testing.assert_allclose(used, answers / answers.sum(axis=1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("name", sorted(set(SMALLEST) - {"pretrained"}))
def test_smallest_size_is_the_smallest(name: str) -> None:
    side = SMALLEST[name]
    architecture = create(name)
    assert architecture.build((side, side, 1), classes=3).output_shape == (None, 3)
    with pytest.raises(errors.ArchitectureError) as refused:
        architecture.build((side, side - 1, 1), classes=3)
    assert f"{side}×{side - 1}" in str(refused.value)
    if side > 1:
        assert "vanishes at layer '" in refused.value.what
        assert f"at least {side} work" in refused.value.hint


def test_says_which_layer_vanished() -> None:
    with pytest.raises(errors.ArchitectureError, match=r"'pool_5', whose 3×3 window is given 2×14"):
        create("alexnet").build((66, 256, 3), classes=2)
    with pytest.raises(errors.ArchitectureError, match="'conv_1', whose 11×11 window"):
        create("alexnet").build((10, 10, 3), classes=2)


@pytest.mark.parametrize("name", sorted(SIDES))
def test_one_class_is_refused(name: str) -> None:
    with pytest.raises(errors.ArchitectureError, match="nothing to tell apart"):
        create(name).build((256, 256, 3), classes=1)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("deep", {"dense": 0}, "dense"),
        ("perceptron", {"widths": (0,)}, "widths"),
        ("perceptron", {"rate": 0}, "rate"),
        ("resnet", {"depth": 0}, "depth"),
        ("resnet", {"reduction": 3}, "reduction"),
        ("pretrained", {"random": True, "weights": "x.h5"}, "not both"),
    ],
)
def test_impossible_settings_are_refused(name: str, settings: Any, message: str) -> None:
    with pytest.raises(errors.ExperimentError, match=message):
        cv.architectures.create(name, **settings)


@pytest.mark.parametrize("name", sorted(SIDES))
def test_is_made_of_stock_layers(name: str) -> None:
    side = SIDES[name]
    model = create(name).build((side, side, 1), classes=2)
    assert {type(layer).__module__.partition(".")[0] for layer in model._flatten_layers()} == {
        "keras"
    }


def test_pretrained_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(errors.ArchitectureError, match="cellvision downloads none") as refused:
        cv.architectures.create("pretrained").build((64, 64, 3), classes=2)
    assert "save_weights" in refused.value.hint
    missing = cv.architectures.create("pretrained", weights=tmp_path / "none.weights.h5")
    with pytest.raises(errors.ArchitectureError, match=r"no weights file .*none\.weights\.h5"):
        missing.build((64, 64, 3), classes=2)
    broken = tmp_path / "broken.weights.h5"
    broken.write_bytes(b"not a weights file")
    with pytest.raises(errors.ArchitectureError, match=r"broken\.weights\.h5"):
        cv.architectures.create("pretrained", weights=broken).build((64, 64, 3), classes=2)


def test_pretrained_refuses_what_its_backbone_cannot_take() -> None:
    with pytest.raises(errors.ArchitectureError, match="takes 1 or 3 channels, not 2"):
        create("pretrained").build((64, 64, 2), classes=2)
    xception = cv.architectures.create("pretrained", backbone="Xception", random=True)
    with pytest.raises(errors.ArchitectureError, match="at least 71x71"):
        xception.build((70, 70, 3), classes=2)
    unknown = cv.architectures.create("pretrained", backbone="MobilNet", random=True)
    with pytest.raises(errors.ArchitectureError, match="no backbone 'MobilNet'") as refused:
        unknown.build((64, 64, 3), classes=2)
    assert "MobileNetV2" in refused.value.hint


@pytest.mark.exhaustive
def test_pretrained_takes_its_weights_from_the_file(tmp_path: Path) -> None:
    import keras

    file = tmp_path / "mobilenet.weights.h5"
    original = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    original.save_weights(file)
    settings = {"backbone": "MobileNet", "weights": file}
    frozen = cv.architectures.create("pretrained", **settings).build((32, 32, 1), classes=2)
    assert [weight.path.split("/")[-1] for weight in frozen.trainable_weights] == [
        "kernel",
        "bias",
    ]
    # The input of the new last layer is the backbone's output for three equal channels.
    gray = np.random.default_rng(1).random((2, 32, 32, 1)).astype("float32")
    features = keras.Model(frozen.inputs, frozen.layers[-1].input)
    expected = original.predict_on_batch(
        keras.applications.mobilenet.preprocess_input(np.repeat(gray, 3, axis=-1) * 255)
    )
    np.testing.assert_allclose(features.predict_on_batch(gray), expected, atol=1e-4)

    tuned = cv.architectures.create("pretrained", fine_tune=True, **settings)
    model = tuned.build((32, 32, 3), classes=2)
    assert len(model.trainable_weights) == 29  # 27 convolutions, kernel and bias of the new layer
    assert float(tuned.recipe(PLAN).optimizer.learning_rate) == pytest.approx(0.00001)
    # Running means stay: the backbone's normalisation is used as in inference.
    means = [w for w in model.non_trainable_weights if "moving" in w.path]
    before = [keras.ops.convert_to_numpy(mean) for mean in means]
    recipe = tuned.recipe(PLAN)
    model.compile(recipe.optimizer, recipe.loss)
    model.train_on_batch(np.repeat(gray, 3, axis=-1), np.eye(2))
    assert len(means) > 20
    for mean, old in zip(means, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(mean), old)


@pytest.mark.parametrize(
    ("family", "backbone"),
    [
        ("mobilenet_v2", "MobileNetV2"),
        ("resnet", "ResNet50"),
        ("densenet", "DenseNet121"),
        ("efficientnet", "EfficientNetB0"),
        ("mobilenet_v3", "MobileNetV3Small"),
    ],
)
def test_pretrained_shows_images_as_the_backbone_knows_them(
    family: str, backbone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stand-in backbone that returns its input shows which input it gets."""
    import keras

    def stand_in(input_shape: Any, **_: Any) -> keras.Model:
        image = keras.Input(input_shape)
        return keras.Model(image, keras.layers.Flatten()(image))

    stand_in.__module__ = getattr(keras.applications, backbone).__module__
    monkeypatch.setattr(keras.applications, backbone, stand_in)
    network = cv.architectures.create("pretrained", backbone=backbone, random=True)
    model = network.build((4, 4, 3), classes=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(2).random((2, 4, 4, 3)).astype("float32")
    shown = keras.Model(loaded.inputs, loaded.layers[-1].input).predict_on_batch(images)
    expected = getattr(keras.applications, family).preprocess_input(images * 255)
    np.testing.assert_allclose(shown.reshape(expected.shape), expected, rtol=1e-5, atol=1e-4)


def test_names_are_read_without_keras() -> None:
    code = (
        "import sys, cellvision as cv\n"
        f"for name in {sorted(SIDES)!r}:\n"
        "    cv.architectures.get(name)\n"
        "    assert not cv.architectures.info(name).reason\n"
        "import cellvision_architectures.teaching.plain_python\n"
        "assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(SIDES))
def test_settings_survive_json(name: str) -> None:
    architecture = create(name)
    written = architecture.model_dump(mode="json")
    assert written["type"] == name
    assert cv.architectures.create(name, **written) == architecture


if __name__ == "__main__":
    import keras

    print(keras.backend.backend())
    with tempfile.TemporaryDirectory() as folder:
        for architecture in ON_JAX:
            trains_and_reloads(architecture, "mixed_bfloat16", Path(folder))
            print(architecture)
