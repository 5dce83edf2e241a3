"""Augmenters change images within their limits and keep everything else.

Run as a script, this file trains a model behind all of them on the backend that KERAS_BACKEND
names.
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
    "brightness": {"factor": 0.5},
    "dihedral": {},
    "elastic": {"distance": 0.2},
    "erase": {"probability": 1},
    "flip": {},
    "rotation": {"degrees": 90},
    "shift": {"pixels": 4},
    "translation": {"height": 0.5, "width": 0.25},
    "zoom": {"most": 2},
}

MIXING: dict[str, dict[str, Any]] = {"cutmix": {"probability": 1}, "mixup": {"alpha": 1}}


def augment(name: str, images: Any, seed: int = 0, **settings: Any) -> Any:
    import keras

    layer = cv.augmenters.create(name, **{**ALL[name], **settings}).build(seed)
    return keras.ops.convert_to_numpy(layer(images, training=True))


def mix(name: str, images: Any, labels: Any, seed: int = 0, **settings: Any) -> tuple[Any, Any]:
    import keras

    layer = cv.augmenters.create(name, **{**MIXING[name], **settings}).build(seed)
    mixed, targets = layer((images, labels), training=True)
    return keras.ops.convert_to_numpy(mixed), keras.ops.convert_to_numpy(targets)


@pytest.fixture(scope="module")
def images() -> Any:
    return np.random.default_rng(3).random((8, 12, 16, 2)).astype("float32")


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_shape_and_dtype_are_kept(name: str, dtype: str, images: Any) -> None:
    import keras

    layer = cv.augmenters.create(name, **ALL[name]).build(0)
    batch = keras.ops.cast(images, dtype)
    for training in (True, False):
        out = layer(batch, training=training)
        assert keras.backend.standardize_dtype(out.dtype) == dtype
        assert tuple(out.shape) == images.shape
    symbolic = layer(keras.Input((12, 16, 2), dtype=dtype))
    assert (symbolic.shape, symbolic.dtype) == ((None, 12, 16, 2), dtype)


@pytest.mark.parametrize("name", ALL)
def test_nothing_changes_unless_training(name: str, images: Any) -> None:
    import keras

    layer = cv.augmenters.create(name, **ALL[name]).build(0)
    for output in (layer(images, training=False), layer(images)):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(output), images)
    changed = augment(name, images)
    assert (changed != images).any()


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ALL)
def test_the_seed_fixes_the_sequence(name: str, images: Any) -> None:
    import keras

    def sequence(seed: int) -> list[Any]:
        layer = cv.augmenters.create(name, **ALL[name]).build(seed)
        return [keras.ops.convert_to_numpy(layer(images, training=True)) for _ in range(3)]

    first, repeated, other = sequence(1), sequence(1), sequence(2)
    np.testing.assert_array_equal(first, repeated)
    assert (first[0] != first[1]).any()
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("name", ALL)
def test_every_image_is_augmented_differently(name: str) -> None:
    image = np.random.default_rng(4).random((1, 12, 16, 1)).astype("float32")
    changed = augment(name, np.repeat(image, 32, axis=0))
    assert len(np.unique(changed.reshape(32, -1), axis=0)) > 2


@pytest.mark.exhaustive
@pytest.mark.parametrize("fill_mode", ["reflect", "nearest", "constant"])
@pytest.mark.parametrize("name", ["elastic", "rotation", "shift", "translation", "zoom"])
def test_values_stay_in_their_range(name: str, fill_mode: str, images: Any) -> None:
    bright = images / 2 + 0.5
    changed = augment(name, bright, fill_mode=fill_mode)
    assert changed.max() <= 1 + 1e-6
    if fill_mode == "constant":
        assert changed.min() == 0
    else:
        assert changed.min() >= 0.5 - 1e-6


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_rotation_turns_up_to_its_degrees_in_both_directions(interpolation: str) -> None:
    side, degrees = 101, 30
    marker = np.zeros((64, side, side, 1), "float32")
    marker[:, 48:53, 88:93] = 1  # 40 pixels to the right of the centre
    settings = {"interpolation": interpolation, "fill_mode": "constant"}
    turned = augment("rotation", marker, degrees=degrees, **settings)
    assert (turned.sum(axis=(1, 2, 3)) > 20).all()
    rows, columns = np.mgrid[:side, :side] - side // 2
    weights = turned[..., 0] / turned.sum(axis=(1, 2, 3))[:, None, None]
    y, x = (weights * rows).sum(axis=(1, 2)), (weights * columns).sum(axis=(1, 2))
    angles = np.degrees(np.arctan2(y, x))
    np.testing.assert_allclose(np.hypot(x, y), 40, atol=0.6)  # around the centre
    assert np.abs(angles).max() <= degrees + 0.5
    assert angles.max() > 0.8 * degrees
    assert angles.min() < -0.8 * degrees
    assert abs(angles.mean()) < degrees / 3


def test_rotation_by_zero_degrees_changes_nothing(images: Any) -> None:
    np.testing.assert_allclose(augment("rotation", images, degrees=0), images, atol=1e-6)


def test_rotation_fills_its_corners() -> None:
    ramp = np.tile(np.linspace(0.5, 1, 16, dtype="float32")[:, None], (4, 1, 16))[..., None]
    for seed in range(2):
        empty = augment("rotation", ramp, seed, degrees=45, fill_mode="constant")
        nearest = augment("rotation", ramp, seed, degrees=45, fill_mode="nearest")
        assert (empty[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).any()
        inner = (slice(None), slice(6, 10), slice(6, 10))
        np.testing.assert_array_equal(empty[inner], nearest[inner])
        assert (nearest >= 0.5 - 1e-6).all()


def test_translation_moves_whole_pixels_within_its_range() -> None:
    height, width = 21, 30
    marker = np.zeros((200, height, width, 1), "float32")
    marker[:, 10, 15] = 0.7
    moved = augment("translation", marker, height=0.2, width=0.1, fill_mode="constant")
    image, row, column, _ = np.nonzero(moved)
    np.testing.assert_array_equal(image, np.arange(200))  # every marker remains, once
    assert (moved[moved > 0] == np.float32(0.7)).all()
    # 20 % of 21 rows are 4.2, of which 4 are whole; 10 % of 30 columns are 3.
    assert set(row - 10) == set(range(-4, 5))
    assert set(column - 15) == set(range(-3, 4))
    assert abs(np.corrcoef(row, column)[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("fill_mode", "filled"), [("reflect", [1, 0]), ("nearest", [0, 0]), ("constant", [-9, -9])]
)
def test_translation_fills_its_gap(fill_mode: str, filled: list[int]) -> None:
    """Pixels hold their row number; -9 stands for an empty row."""
    numbered = np.broadcast_to(np.arange(10, dtype="float32")[None, :, None, None], (64, 10, 4, 1))
    moved = augment("translation", (numbered + 9) / 20, height=0.2, width=0, fill_mode=fill_mode)
    columns = np.round(moved[:, :, 0, 0] * 20 - 9).astype(int)
    down_two = columns[(columns[:, 2:] == np.arange(8)).all(axis=1)]
    assert len(down_two) > 0
    assert (down_two[:, :2] == filled).all()


@pytest.mark.parametrize(
    ("horizontal", "vertical"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_flip_mirrors_each_direction_independently(horizontal: bool, vertical: bool) -> None:
    image = np.random.default_rng(6).random((1, 5, 6, 3)).astype("float32")
    changed = augment(
        "flip", np.repeat(image, 64, axis=0), horizontal=horizontal, vertical=vertical
    )
    mirrored = {
        (down, right): image[0, :: -1 if down else 1, :: -1 if right else 1].tobytes()
        for down in (False, True)
        for right in (False, True)
    }
    expected = {
        pixels
        for (down, right), pixels in mirrored.items()
        if (vertical or not down) and (horizontal or not right)
    }
    assert {image.tobytes() for image in changed} == expected


def test_dihedral_shows_all_eight_orientations_of_a_square() -> None:
    image = np.random.default_rng(6).random((1, 6, 6, 3)).astype("float32")
    changed = augment("dihedral", np.repeat(image, 400, axis=0))
    turned = [np.rot90(image[0], quarter) for quarter in range(4)]
    orientations = [image.tobytes() for turn in turned for image in (turn, turn[:, ::-1])]
    counts = [sum(image.tobytes() == pixels for image in changed) for pixels in orientations]
    assert sum(counts) == 400
    assert min(counts) > 25  # 50 each on average


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("quarter_turns", [False, True])
def test_dihedral_mirrors_and_turns_as_its_settings_allow(
    mirror: bool, quarter_turns: bool
) -> None:
    image = np.random.default_rng(6).random((1, 6, 6, 3)).astype("float32")
    settings = {"mirror": mirror, "quarter_turns": quarter_turns}
    changed = augment("dihedral", np.repeat(image, 200, axis=0), **settings)
    turned = [np.rot90(image[0], quarter) for quarter in range(0, 4, 1 if quarter_turns else 2)]
    allowed = [*turned, *(turn[:, ::-1] for turn in turned if mirror)]
    counts = [sum(one.tobytes() == pixels.tobytes() for one in changed) for pixels in allowed]
    assert sum(counts) == 200
    assert min(counts) > 100 / len(allowed)  # half of the average


@pytest.mark.parametrize("mirror", [False, True])
def test_dihedral_keeps_the_shape_of_a_rectangle(mirror: bool) -> None:
    image = np.random.default_rng(6).random((1, 5, 6, 3)).astype("float32")
    changed = augment("dihedral", np.repeat(image, 64, axis=0), mirror=mirror)
    shown = {
        image[0, ::down, ::right].tobytes()
        for down in (1, -1)
        for right in (1, -1)
        if mirror or down == right
    }
    assert {image.tobytes() for image in changed} == shown


def test_shift_moves_whole_pixels_in_both_directions() -> None:
    marker = np.zeros((200, 21, 30, 1), "float32")
    marker[:, 10, 15] = 0.7
    moved = augment("shift", marker, pixels=3, fill_mode="constant")
    image, row, column, _ = np.nonzero(moved)
    np.testing.assert_array_equal(image, np.arange(200))
    assert set(row - 10) == set(column - 15) == set(range(-3, 4))
    np.testing.assert_array_equal(augment("shift", marker, pixels=0), marker)


@pytest.mark.parametrize("per_channel", [False, True])
def test_brightness_multiplies_by_a_factor_within_its_range(per_channel: bool, images: Any) -> None:
    many = np.repeat(images, 32, axis=0) + 0.1
    factors = augment("brightness", many, factor=0.25, per_channel=per_channel) / many
    first_pixel = np.broadcast_to(factors[:, :1, :1], factors.shape)
    np.testing.assert_allclose(factors, first_pixel, rtol=1e-5)  # one per channel, for all pixels
    assert 0.8 - 1e-5 <= factors.min() < 0.82
    assert 1.23 < factors.max() <= 1.25 + 1e-5
    np.testing.assert_allclose(np.log(factors).mean(), 0, atol=0.02)
    same = np.allclose(factors[..., 0], factors[..., 1], rtol=1e-5)
    assert same is not per_channel


def test_elastic_bends_smoothly_within_its_distance() -> None:
    rows, columns = np.mgrid[:40, :40].astype("float32") / 40
    ramps = np.repeat(np.stack([rows, columns], axis=-1)[None], 16, axis=0)
    moved = augment("elastic", ramps, distance=0.1, fill_mode="nearest") - ramps
    assert np.abs(moved).max() <= 0.1 + 1e-6
    assert np.abs(moved[:, 10:30, 10:30]).max() > 0.03
    steps = np.abs(np.diff(moved[:, 10:30, 10:30], axis=1)).max()
    assert steps < 0.02  # far less than the displacements: neighbours move together
    np.testing.assert_allclose(augment("elastic", ramps, distance=0), ramps, atol=1e-6)


def test_zoom_enlarges_by_its_factor_at_a_random_place() -> None:
    rows, columns = np.mgrid[:41, :41].astype("float32")
    ramps = np.repeat(np.stack([rows, columns], axis=-1)[None], 200, axis=0)
    zoomed = augment("zoom", ramps, least=2, most=4)
    steps = zoomed[:, 1, 0, 0] - zoomed[:, 0, 0, 0]
    assert steps.min() >= 1 / 4 - 1e-4
    assert steps.max() <= 1 / 2 + 1e-4
    assert np.quantile(steps, 0.5) == pytest.approx(8**-0.5, abs=0.03)  # uniform in the logarithm
    np.testing.assert_allclose(zoomed[:, 0, 1, 1] - zoomed[:, 0, 0, 1], steps, atol=1e-4)
    assert zoomed.min() >= 0  # no pixel is taken from outside
    assert zoomed.max() <= 40
    starts = zoomed[:, 0, 0] / (40 * (1 - steps))[:, None]
    assert starts.std(axis=0) == pytest.approx([12**-0.5] * 2, abs=0.05)  # anywhere
    assert abs(np.corrcoef(starts.T)[0, 1]) < 0.3


def test_zoom_reduces_the_whole_image_into_the_frame() -> None:
    images = np.ones((20, 40, 40, 1), "float32")
    reduced = augment("zoom", images, least=0.5, most=0.5, fill_mode="constant")
    assert reduced.mean(axis=(1, 2, 3)) == pytest.approx(np.full(20, 0.25), abs=0.03)


def test_zoom_by_one_changes_nothing(images: Any) -> None:
    np.testing.assert_allclose(augment("zoom", images, least=1, most=1), images, atol=1e-6)


def test_erase_fills_one_rectangle_with_the_mean(images: Any) -> None:
    many = np.repeat(images, 8, axis=0)
    erased = augment("erase", many, probability=1, smallest=0.2, largest=0.3)
    for before, after in zip(many, erased, strict=True):
        erased_pixels = (before != after).any(axis=-1)
        rows = np.flatnonzero(erased_pixels.any(axis=1))
        columns = np.flatnonzero(erased_pixels.any(axis=0))
        assert erased_pixels.sum() == len(rows) * len(columns)  # a rectangle
        assert 0.12 < erased_pixels.mean() < 0.38  # sides are whole pixels
        mean = np.broadcast_to(before.mean(axis=(0, 1)), after[erased_pixels].shape)
        np.testing.assert_allclose(after[erased_pixels], mean, atol=1e-5)


def test_erase_leaves_some_images_unchanged(images: Any) -> None:
    many = np.repeat(images, 32, axis=0)
    unchanged = (augment("erase", many, probability=0.25) == many).all(axis=(1, 2, 3)).mean()
    assert 0.6 < unchanged < 0.9


def one_hot(count: int, classes: int) -> Any:
    return np.eye(classes, dtype="float32")[np.arange(count) % classes]


@pytest.mark.parametrize("name", MIXING)
def test_augmenters_declare_whether_they_mix_labels(name: str) -> None:
    assert cv.augmenters.create(name).mixes_labels is True
    assert not any(getattr(cv.augmenters.get(other), "mixes_labels", False) for other in ALL)


@pytest.mark.parametrize("name", MIXING)
def test_labels_are_mixed_like_pixels(name: str) -> None:
    """Image k has the value k everywhere and its own class, so pixels give the weights."""
    flat = np.broadcast_to(np.arange(64, dtype="float32")[:, None, None, None], (64, 24, 24, 2))
    mixed, targets = mix(name, flat, np.eye(64, dtype="float32"))
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), targets @ np.arange(64), rtol=1e-4)
    assert ((targets > 1e-6).sum(axis=1) <= 2).all()
    weights = targets.diagonal()
    assert len(np.unique(np.round(weights, 3))) > 16  # every image has its own weight
    others = targets - np.diag(weights)
    partners = others.argmax(axis=1)[others.max(axis=1) > 0.05]
    assert len(partners) > 20
    assert (others[np.arange(64), np.arange(64)] == 0).all()


def test_mixup_weighs_by_a_beta_distribution() -> None:
    from scipy.stats import beta, kstest

    flat = np.zeros((2000, 1, 1, 1), "float32")
    for alpha in (0.2, 1.0, 4.0):
        _, targets = mix("mixup", flat, np.eye(2000, dtype="float32"), alpha=alpha)
        weights = targets.diagonal()  # the larger one of a pair that sums to 1
        distribution = beta(alpha, alpha)
        assert weights.min() >= 0.5
        folded = kstest(weights, lambda weight: 2 * distribution.cdf(weight) - 1)  # noqa: B023
        assert folded.pvalue > 1e-3


def test_cutmix_pastes_one_rectangle_of_any_area() -> None:
    flat = np.broadcast_to(np.arange(200.0)[:, None, None, None], (200, 20, 30, 1))
    mixed, targets = mix("cutmix", flat.astype("float32"), np.eye(200, dtype="float32"))
    areas = []
    for number, image in enumerate(mixed[..., 0]):
        pasted = image != number
        rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
        assert pasted.sum() == len(rows) * len(columns)
        assert targets[number, number] == pytest.approx(1 - pasted.mean(), abs=1e-5)
        areas.append(pasted.mean())
    assert min(areas) < 0.1
    assert max(areas) > 0.9
    assert abs(np.mean(areas) - 0.5) < 0.08


@pytest.mark.parametrize("name", MIXING)
def test_mixing_is_off_unless_training(name: str, images: Any) -> None:
    import keras

    labels = one_hot(8, 3)
    layer = cv.augmenters.create(name, **MIXING[name]).build(0)
    for pair in (layer((images, labels)), layer((images, labels), training=False)):
        for output, original in zip(pair, (images, labels), strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(output), original)
    mixed, targets = mix(name, images, labels, probability=0)
    np.testing.assert_array_equal(mixed, images)
    np.testing.assert_array_equal(targets, labels)


@pytest.mark.parametrize("name", MIXING)
def test_mixing_works_on_a_batch_of_one(name: str, images: Any) -> None:
    mixed, targets = mix(name, images[:1], one_hot(1, 3))
    np.testing.assert_allclose(mixed, images[:1], atol=1e-6)
    np.testing.assert_allclose(targets, one_hot(1, 3), atol=1e-6)


@pytest.mark.parametrize("name", MIXING)
def test_the_seed_fixes_the_mixtures(name: str, images: Any) -> None:
    first, repeated, other = (mix(name, images, one_hot(8, 3), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], repeated[0])
    np.testing.assert_array_equal(first[1], repeated[1])
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_mixing_keeps_shapes_and_dtypes(name: str, dtype: str, images: Any) -> None:
    import keras

    layer = cv.augmenters.create(name, **MIXING[name]).build(0)
    pair = layer((keras.ops.cast(images, dtype), one_hot(8, 3)), training=True)
    assert [keras.backend.standardize_dtype(part.dtype) for part in pair] == [dtype, "float32"]
    symbolic = layer((keras.Input((12, 16, 2), dtype=dtype), keras.Input((3,))))
    assert [part.shape for part in symbolic] == [(None, 12, 16, 2), (None, 3)]


def test_sixteen_bits_survive_mixed_precision() -> None:
    """bfloat16 would keep 8 bits of a pixel; flips and translations must lose none."""
    import keras

    steps = (np.arange(2**16, dtype="float32") / (2**16 - 1)).reshape(4, 128, 128, 1)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        flipped = augment("flip", steps)
        moved = augment("translation", steps, height=0.1, width=0.1)
        turned = augment("rotation", steps, degrees=0)
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
        ("shift", {"pixels": -1}),
        ("shift", {"pixels": 1.5}),
        ("brightness", {"factor": -0.1}),
        ("elastic", {"grid": 1}),
        ("zoom", {"most": 20}),
        ("zoom", {"least": 2, "most": 1}),
        ("erase", {"smallest": 0.5, "largest": 0.1}),
        ("mixup", {"alpha": 0}),
        ("cutmix", {"probability": 1.1}),
        ("flip", {"diagonal": True}),
    ],
)
def test_invalid_settings_are_refused(name: str, settings: Any) -> None:
    with pytest.raises(errors.ExperimentError, match=next(iter(settings))):
        cv.augmenters.create(name, **settings)


@pytest.mark.parametrize("name", [*ALL, *MIXING])
def test_settings_survive_serialisation(name: str) -> None:
    augmenter = cv.augmenters.create(name, **{**ALL, **MIXING}[name])
    written = augmenter.model_dump(mode="json")
    assert written["type"] == name
    assert cv.augmenters.create(name, **written) == augmenter


def train_through_all() -> bool:
    """Train a small model behind all augmenters; return whether its steps are compiled.

    Labels are a second input, so that they can be mixed. The model outputs its probabilities
    beside the mixed labels, and the loss compares the two.
    """
    import keras

    keras.utils.set_random_seed(0)
    image, label = keras.Input((12, 16, 2)), keras.Input((2,))
    x, target = image, label
    for seed, (name, settings) in enumerate(ALL.items()):
        x = cv.augmenters.create(name, **settings).build(seed)(x)
    for seed, (name, settings) in enumerate(MIXING.items()):
        x, target = cv.augmenters.create(name, **settings).build(seed)((x, target))
    x = keras.layers.Conv2D(2, 3, dtype="mixed_bfloat16")(x)
    x = keras.layers.GlobalAveragePooling2D(dtype="float32")(x)
    x = keras.layers.Dense(2, activation="softmax", dtype="float32")(x)
    both = keras.ops.stack([x, target], axis=1)
    model = keras.Model((image, label), both)

    def loss(_: Any, output: Any) -> Any:
        return keras.losses.categorical_crossentropy(output[:, 1], output[:, 0])

    model.compile("sgd", loss, steps_per_execution=2)
    images = np.random.default_rng(0).random((10, 12, 16, 2)).astype("float32")
    labels = one_hot(10, 2)
    # Batches of 4, 4 and 2: several steps per execution, and a last batch that is not full.
    history = model.fit((images, labels), labels, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    first, second = (model.predict((images, labels), verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[:, 1], labels)
    return all(layer.supports_jit for layer in model.layers)


@pytest.mark.exhaustive
def test_trains_in_compiled_steps() -> None:
    assert train_through_all()


@pytest.mark.exhaustive
def test_trains_in_compiled_steps_on_jax() -> None:
    pytest.importorskip("jax", reason="the jax extra is not installed")
    process = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.split() == ["jax", "True", "True"]


def test_augmenters_are_created_without_keras() -> None:
    code = (
        "import sys, cellvision as cv\n"
        f"for name in {sorted([*ALL, *MIXING])!r}:\n"
        "    cv.augmenters.create(name)\n"
        "assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


if __name__ == "__main__":
    import keras

    noise = np.random.default_rng(3).random((8, 12, 16, 2)).astype("float32")
    print(keras.backend.backend(), train_through_all())
    print(all((augment(name, noise) != noise).any() for name in ALL))
