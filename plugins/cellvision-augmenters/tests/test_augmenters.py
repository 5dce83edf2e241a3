"""The augmenters: what they change, by how much, and what they leave alone.

Run as a script, this trains through all of them on the backend that KERAS_BACKEND names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import cellvision as cv
from cellvision import errors

ALL: dict[str, dict[str, Any]] = {
    "flip": {},
    "rotation": {"degrees": 90},
    "translation": {"height": 0.5, "width": 0.25},
}


def change(name: str, images: Any, seed: int = 0, **settings: Any) -> Any:
    import keras

    layer = cv.augmenters.create(name, **{**ALL[name], **settings}).build(seed)
    return keras.ops.convert_to_numpy(layer(images, training=True))


@pytest.fixture(scope="module")
def images() -> Any:
    return np.random.default_rng(3).random((8, 12, 16, 2)).astype("float32")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_shape_and_dtype_stay(name: str, dtype: str, images: Any) -> None:
    import keras

    layer = cv.augmenters.create(name, **ALL[name]).build(0)
    given = keras.ops.cast(images, dtype)
    for training in (True, False):
        out = layer(given, training=training)
        assert keras.backend.standardize_dtype(out.dtype) == dtype
        assert tuple(out.shape) == images.shape
    symbolic = layer(keras.Input((12, 16, 2), dtype=dtype))
    assert (symbolic.shape, symbolic.dtype) == ((None, 12, 16, 2), dtype)


@pytest.mark.parametrize("name", ALL)
def test_nothing_changes_unless_training(name: str, images: Any) -> None:
    import keras

    layer = cv.augmenters.create(name, **ALL[name]).build(0)
    for kept in (layer(images, training=False), layer(images)):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(kept), images)
    changed = change(name, images)
    assert (changed != images).any()


@pytest.mark.parametrize("name", ALL)
def test_the_seed_fixes_the_sequence(name: str, images: Any) -> None:
    import keras

    def sequence(seed: int) -> list[Any]:
        layer = cv.augmenters.create(name, **ALL[name]).build(seed)
        return [keras.ops.convert_to_numpy(layer(images, training=True)) for _ in range(3)]

    first, again, other = sequence(1), sequence(1), sequence(2)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("name", ALL)
def test_each_image_is_drawn_for(name: str) -> None:
    one = np.random.default_rng(4).random((1, 12, 16, 1)).astype("float32")
    changed = change(name, np.repeat(one, 32, axis=0))
    assert len(np.unique(changed.reshape(32, -1), axis=0)) > 2


@pytest.mark.parametrize("fill_mode", ["reflect", "nearest", "constant"])
@pytest.mark.parametrize("name", ["rotation", "translation"])
def test_values_stay_in_their_range(name: str, fill_mode: str, images: Any) -> None:
    bright = images / 2 + 0.5
    changed = change(name, bright, fill_mode=fill_mode)
    assert changed.max() <= 1 + 1e-6
    if fill_mode == "constant":
        assert changed.min() == 0
    else:
        assert changed.min() >= 0.5 - 1e-6


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_rotation_turns_by_up_to_its_degrees_either_way(interpolation: str) -> None:
    side, degrees = 101, 30
    marker = np.zeros((64, side, side, 1), "float32")
    marker[:, 48:53, 88:93] = 1  # 40 pixels to the right of the centre
    settings = {"interpolation": interpolation, "fill_mode": "constant"}
    turned = change("rotation", marker, degrees=degrees, **settings)
    assert (turned.sum(axis=(1, 2, 3)) > 20).all()
    rows, columns = np.mgrid[:side, :side] - side // 2
    weights = turned[..., 0] / turned.sum(axis=(1, 2, 3))[:, None, None]
    y, x = (weights * rows).sum(axis=(1, 2)), (weights * columns).sum(axis=(1, 2))
    angles = np.degrees(np.arctan2(y, x))
    np.testing.assert_allclose(np.hypot(x, y), 40, atol=0.6)  # about the centre
    assert np.abs(angles).max() <= degrees + 0.5
    assert angles.max() > 0.8 * degrees
    assert angles.min() < -0.8 * degrees
    assert abs(angles.mean()) < degrees / 3


def test_rotation_by_nothing_changes_nothing(images: Any) -> None:
    np.testing.assert_allclose(change("rotation", images, degrees=0), images, atol=1e-6)


def test_rotation_fills_its_corners() -> None:
    ramp = np.tile(np.linspace(0.5, 1, 16, dtype="float32")[:, None], (4, 1, 16))[..., None]
    for seed in range(2):
        empty = change("rotation", ramp, seed, degrees=45, fill_mode="constant")
        drawn = change("rotation", ramp, seed, degrees=45, fill_mode="nearest")
        assert (empty[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).any()
        inner = (slice(None), slice(6, 10), slice(6, 10))
        np.testing.assert_array_equal(empty[inner], drawn[inner])
        assert (drawn >= 0.5 - 1e-6).all()


def test_translation_moves_whole_pixels_within_its_range() -> None:
    height, width = 21, 30
    marker = np.zeros((200, height, width, 1), "float32")
    marker[:, 10, 15] = 0.7
    moved = change("translation", marker, height=0.2, width=0.1, fill_mode="constant")
    image, row, column, _ = np.nonzero(moved)
    np.testing.assert_array_equal(image, np.arange(200))  # each marker is there, once
    assert (moved[moved > 0] == np.float32(0.7)).all()
    # 20 % of 21 rows are 4.2, of which 4 are whole; 10 % of 30 columns are 3.
    assert set(row - 10) == set(range(-4, 5))
    assert set(column - 15) == set(range(-3, 4))
    assert abs(np.corrcoef(row, column)[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("fill_mode", "filled"), [("reflect", [1, 0]), ("nearest", [0, 0]), ("constant", [-9, -9])]
)
def test_translation_fills_its_gap(fill_mode: str, filled: list[int]) -> None:
    """Rows are numbered; -9 stands for nothing."""
    numbered = np.broadcast_to(np.arange(10, dtype="float32")[None, :, None, None], (64, 10, 4, 1))
    moved = change("translation", (numbered + 9) / 20, height=0.2, width=0, fill_mode=fill_mode)
    columns = np.round(moved[:, :, 0, 0] * 20 - 9).astype(int)
    down_two = columns[(columns[:, 2:] == np.arange(8)).all(axis=1)]
    assert len(down_two) > 0
    assert (down_two[:, :2] == filled).all()


@pytest.mark.parametrize(
    ("horizontal", "vertical"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_flip_mirrors_each_direction_by_itself(horizontal: bool, vertical: bool) -> None:
    one = np.random.default_rng(6).random((1, 5, 6, 3)).astype("float32")
    changed = change("flip", np.repeat(one, 64, axis=0), horizontal=horizontal, vertical=vertical)
    mirrored = {
        (down, right): one[0, :: -1 if down else 1, :: -1 if right else 1].tobytes()
        for down in (False, True)
        for right in (False, True)
    }
    wanted = {
        pixels
        for (down, right), pixels in mirrored.items()
        if (vertical or not down) and (horizontal or not right)
    }
    assert {image.tobytes() for image in changed} == wanted


def test_sixteen_bits_survive_mixed_precision() -> None:
    """Under bfloat16, 8 bits of a pixel would be left; flips and shifts must lose none."""
    import keras

    steps = (np.arange(2**16, dtype="float32") / (2**16 - 1)).reshape(4, 128, 128, 1)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        flipped = change("flip", steps)
        moved = change("translation", steps, height=0.1, width=0.1)
        turned = change("rotation", steps, degrees=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert flipped.dtype == moved.dtype == turned.dtype == np.float32
    assert len(np.unique(flipped)) == 2**16
    assert np.isin(moved, steps).all()
    np.testing.assert_allclose(turned, steps, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("rotation", {"degrees": 181}),
        ("rotation", {"degrees": -1}),
        ("rotation", {"fill_mode": "wrap"}),
        ("rotation", {"interpolation": "cubic"}),
        ("translation", {"height": 1.1}),
        ("translation", {"width": -0.1}),
        ("flip", {"diagonal": True}),
    ],
)
def test_impossible_settings_are_refused(name: str, settings: Any) -> None:
    with pytest.raises(errors.ExperimentError, match=next(iter(settings))):
        cv.augmenters.create(name, **settings)


@pytest.mark.parametrize("name", ALL)
def test_writes_itself_down_and_reads_itself_back(name: str) -> None:
    augmenter = cv.augmenters.create(name, **ALL[name])
    written = augmenter.model_dump(mode="json")
    assert written["type"] == name
    assert cv.augmenters.create(name, **written) == augmenter


def train_through_all() -> bool:
    """Train a small model behind all augmenters; give whether its steps are compiled."""
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((12, 16, 2))
    x = image
    for seed, (name, settings) in enumerate(ALL.items()):
        x = cv.augmenters.create(name, **settings).build(seed)(x)
    x = keras.layers.Conv2D(2, 3, dtype="mixed_bfloat16")(x)
    x = keras.layers.GlobalAveragePooling2D(dtype="float32")(x)
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax", dtype="float32")(x))
    model.compile("sgd", "categorical_crossentropy", steps_per_execution=2)
    images = np.random.default_rng(0).random((10, 12, 16, 2)).astype("float32")
    labels = np.eye(2, dtype="float32")[np.arange(10) % 2]
    # Batches of 4, 4 and 2: more than one step in an execution, and a batch that is not full.
    history = model.fit(images, labels, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    np.testing.assert_array_equal(
        model.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    return all(layer.supports_jit for layer in model.layers)


def test_trains_in_compiled_steps() -> None:
    assert train_through_all()


def test_trains_in_compiled_steps_on_jax() -> None:
    pytest.importorskip("jax", reason="the jax extra is not installed")
    done = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["jax", "True", "True"]


def test_names_are_read_without_keras() -> None:
    code = (
        "import sys, cellvision as cv\n"
        f"for name in {sorted(ALL)!r}:\n"
        "    cv.augmenters.create(name)\n"
        "assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    import keras

    chance = np.random.default_rng(3).random((8, 12, 16, 2)).astype("float32")
    print(keras.backend.backend(), train_through_all())
    print(all((change(each, chance) != chance).any() for each in ALL))
