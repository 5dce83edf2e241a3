"""Scattering: its features, their invariances, and that every backend gives the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cellvision as cv
from cellvision import errors
from cellvision.data.orientations import ORIENTATIONS, oriented
from cellvision.testing import ArchitectureChecks
from cellvision.training.frozen import FrozenSplit, split_frozen
from cellvision.training.softmax_regression import softmax_layer, solve_softmax_layer


@pytest.mark.exhaustive
class TestScattering(ArchitectureChecks):
    name = "scattering"
    example = {"orientations": 4}
    invalid_settings = {"orientations": 1}


def split_of(shape: tuple[int, int, int], **settings: Any) -> FrozenSplit:
    split = split_frozen(cv.architectures.create("scattering", **settings).build(shape, 3))
    assert split is not None
    return split


def texture(count: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((count, *shape))
    smooth = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 3
    return smooth.astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "features"),
    [((16, 16, 1), 11 + 3 + 3 * 4), ((32, 40, 8), 8 * (11 + 4 + 6 * 4) + 4 * 28)],
)
def test_counts_its_features(shape: tuple[int, int, int], features: int) -> None:
    assert split_of(shape).feature_shape == (features,)


def test_only_the_last_layer_learns_and_it_is_solved_exactly() -> None:
    split = split_of((16, 16, 1))
    assert [weight.path.rpartition("/")[0] for weight in split.model.trainable_weights] == [
        "classes",
        "classes",
    ]
    assert softmax_layer(split) is not None


def test_position_and_orientation_do_not_matter_but_texture_does() -> None:
    split = split_of((32, 32, 2))
    image = texture(1, (32, 32, 2))
    turned = np.concatenate([oriented(image, number) for number in range(ORIENTATIONS)])
    features = split.head.predict_on_batch(turned)
    # Six directions are not closed under a quarter turn of the pixel grid to the last digit.
    np.testing.assert_allclose(features, np.broadcast_to(features[:1], features.shape), atol=0.02)
    exact = split_of((32, 32, 2), orientations=4).head.predict_on_batch(turned)
    np.testing.assert_allclose(exact, np.broadcast_to(exact[:1], exact.shape), atol=1e-3)
    shuffled = np.random.default_rng(0).permuted(image.reshape(1, -1, 2), axis=1)
    other = split.head.predict_on_batch(shuffled.reshape(image.shape))
    assert np.abs(other - features[:1]).max() > 0.3


def test_statistics_of_intensity_are_among_the_features() -> None:
    image = texture(1, (16, 16, 2))
    features = split_of((16, 16, 2)).head.predict_on_batch(image)[0]
    pixels = image.reshape(-1, 2)
    np.testing.assert_allclose(features[:2], pixels.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(features[2:4], pixels.std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(features[4:6], pixels.min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(features[12:14], np.median(pixels, axis=0), atol=0.01)
    np.testing.assert_allclose(features[20:22], pixels.max(axis=0), rtol=1e-6)
    assert features[-3] == pytest.approx(np.corrcoef(pixels.T)[0, 1], abs=2e-3)


def test_black_images_are_no_problem() -> None:
    features = split_of((16, 16, 3)).head.predict_on_batch(np.zeros((2, 16, 16, 3), np.float32))
    assert np.isfinite(features).all()


def test_small_images_are_refused_with_a_way_out() -> None:
    with pytest.raises(errors.ArchitectureError, match="at least 4"):
        cv.architectures.create("scattering").build((3, 64, 1), 2)


def test_learns_textures_of_new_images() -> None:
    shape = (32, 32, 1)
    fine = texture(20, shape)
    coarse = np.repeat(np.repeat(texture(20, (16, 16, 1), 1), 2, 1), 2, 2)
    split = split_frozen(cv.architectures.create("scattering").build(shape, 2))
    assert split is not None
    features = split.head.predict_on_batch(np.concatenate([fine, coarse]))
    labels = np.repeat([0, 1], 20)
    train = np.arange(40) % 2 == 0
    split.adapt(features[train])
    solve_softmax_layer(split, features[train], np.eye(2)[labels[train]])
    predicted = split.model.predict_on_batch(np.concatenate([fine, coarse])[~train])
    assert (predicted.argmax(axis=1) == labels[~train]).mean() == 1


_SCRIPT = """
import sys
import numpy as np, cellvision as cv
from cellvision.training.frozen import split_frozen
split = split_frozen(cv.architectures.create("scattering").build((32, 32, 3), 3))
np.save(sys.argv[2], split.head.predict_on_batch(np.load(sys.argv[1])))
"""


@pytest.mark.exhaustive
def test_both_backends_give_the_same_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", texture(3, (32, 32, 3)))
    features = []
    for backend in ("tensorflow", "jax"):
        target = tmp_path / f"{backend}.npy"
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(tmp_path / "images.npy"), str(target)],
            env={**os.environ, "KERAS_BACKEND": backend},
            check=True,
            capture_output=True,
        )
        features.append(np.load(target))
    np.testing.assert_allclose(features[0], features[1], rtol=1e-4, atol=1e-5)


@pytest.mark.exhaustive
def test_exports_to_onnx(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")
    model = cv.architectures.create("scattering", orientations=2).build((16, 16, 2), 3)
    file = tmp_path / "model.onnx"
    images = texture(3, (16, 16, 2))
    expected = model.predict_on_batch(images)
    model.export(file, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: images})
    np.testing.assert_allclose(output, expected, atol=1e-4)


@pytest.mark.exhaustive
def test_augmented_copies_are_computed_once_for_all_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))
    cells = cv.datasets.create("synthetic_cells", path=tmp_path / "images", fields=6)
    plain = cv.Experiment(
        dataset=cells,
        architecture=cv.architectures.create("scattering"),
        preprocessing={"size": (16, 16), "channels": (0, 1)},
        reporters=(),
    )
    varied = plain.model_copy(update={"augmenters": (cv.augmenters.create("brightness"),)})
    study = cv.study({"varied": varied, "plain": plain}, 2, tmp_path / "study")
    first, second, unvaried, _ = [run.predictions.filter(like="p_") for run in study.runs]
    assert [len(run.history) for run in study.runs] == [1, 1, 1, 1]
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - unvaried).to_numpy().max() > 1e-3
    train = next(iter(study.runs)).scores["train"].n
    images = len(first)
    files = sorted((tmp_path / "cache").rglob("*.npy"), key=lambda file: file.stat().st_size)
    shapes = [np.load(file, mmap_mode="r").shape[:2] for file in files]
    assert {(1, images), (8, train)} <= set(shapes)
