"""The intensity scale: hot pixels, pedestals and what is brighter than the training images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import InMemory

import cellvision as cv
from cellvision import errors
from cellvision.data.intensity import counts_above, standard_bit_depth
from cellvision.data.prepared import PreparedData, prepare_data


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLVISION_CACHE", str(tmp_path / "cache"))


def cells(low: int, high: int, count: int = 12, size: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        f"{label}{number}": rng.integers(low, high, (size, size, 1), np.uint16, endpoint=True)
        for number in range(count)
        for label in "ab"
    }


def prepared(pixels: dict[str, np.ndarray], **settings: Any) -> PreparedData:
    columns = {
        "image": list(pixels),
        "label": [image[0] for image in pixels],
        "split": ["test" if int(image[1:]) < 2 else "train" for image in pixels],
    }
    return prepare_data(
        cv.Experiment(
            dataset=InMemory.of(columns, pixels),
            preprocessing=cv.Preprocessing(size=(8, 8), channels="gray", **settings),
            split=cv.Split(validation=0),
        )
    )


def said(data: PreparedData, words: str) -> list[str]:
    return [warning for warning in data.warnings if words in warning]


@pytest.mark.parametrize(
    ("dtype", "value", "says"),
    [
        (np.uint32, 2**20, r"reach 1\.04858e\+06, which exceeds 16 bits, in 'a7'"),
        (np.int16, -3, r"negative intensities \(down to -3\), in 'a7'"),
    ],
)
def test_one_pixel_without_a_bit_depth_is_named(dtype: Any, value: int, says: str) -> None:
    pixels = {image: array.astype(dtype) for image, array in cells(100, 4000).items()}
    pixels["a7"][3, 4, 0] = value
    with pytest.raises(errors.PreprocessingError, match=says):
        prepared(pixels)


def test_one_hot_pixel_is_named() -> None:
    pixels = cells(100, 4000)
    pixels["a7"][3, 4, 0] = 65535
    data = prepared(pixels)
    assert data.one == 65535
    (warning,) = said(data, "samples")
    assert warning.startswith(
        "Only 1 of 72000 samples, in 1 image, exceed 12 bits, but they scale all images to "
        "16 bits: the largest is 65535 in 'a7'."
    )
    assert warning.endswith("set preprocessing.intensity=4095.")
    assert warning in cv.audit(data.experiment).warnings
    assert not said(data, "fill only")  # which would propose a range up to the hot pixel


def test_a_hot_pixel_outside_the_training_images_changes_no_scale() -> None:
    pixels = cells(100, 4000)
    pixels["a0"][0, 0, 0] = 65535
    data = prepared(pixels)
    assert data.one == 4095
    assert not said(data, "scale all images")
    assert said(data, "1 image is brighter than the intensity that becomes 1 (4095)")


def test_honest_bright_images_are_not_reported() -> None:
    pixels = cells(100, 4000)
    pixels["a7"][:] = 20000  # a whole image
    assert not said(prepared(pixels), "scale all images")
    assert not said(prepared(cells(100, 4000)), "scale all images")
    declared = cells(100, 4000)
    declared["a7"][3, 4, 0] = 65535
    assert not said(prepared(declared, intensity=4095), "scale all images")


@pytest.mark.parametrize("high", [4095, 16383])
def test_a_pedestal_is_reported_with_the_range_to_declare(high: int) -> None:
    data = prepared(cells(32768, 32768 + high))
    (warning,) = said(data, "fill only")
    low, top = (
        float(number)
        for number in warning.rpartition("preprocessing.intensity=[")[2].rstrip("].").split(",")
    )
    assert low == pytest.approx(32768, abs=30)
    assert top == pytest.approx(32768 + high, abs=30)
    assert not said(prepared(cells(32768, 32768 + high), intensity=(low, top)), "fill only")


@pytest.mark.parametrize(
    ("dtype", "low"), [(np.int16, -32768), (np.uint32, 2**31), (np.int32, -(2**20))]
)
def test_a_pedestal_of_another_type_names_the_range_too(dtype: Any, low: int) -> None:
    images = cells(0, 4095).items()
    pixels = {image: (array.astype(np.int64) + low).astype(dtype) for image, array in images}
    with pytest.raises(errors.PreprocessingError) as caught:
        prepared(pixels)
    span = re.search(r"training images span (-?\d+) to (-?\d+)\)", caught.value.hint)
    assert span is not None
    assert int(span[1]) == pytest.approx(low, abs=40)
    assert int(span[2]) == pytest.approx(low + 4095, abs=40)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (100, 1100), (200, 4000), (100, 60000)])
def test_ordinary_images_are_on_no_pedestal(low: int, high: int) -> None:
    assert not said(prepared(cells(low, high)), "fill only")


def test_nearly_black_images_by_dtype_are_reported() -> None:
    data = prepared(cells(0, 4095), intensity="dtype")
    assert said(data, "fill only 6.2% of the intensity scale 0 to 65535")


@pytest.mark.parametrize("mixed", [False, True])
def test_black_and_white_images_fill_the_scale(mixed: bool) -> None:
    """They are stored as 0 and 255, so declaring the 0 to 1 of their files scales them wrongly."""
    pixels = {image: array > 128 for image, array in cells(0, 255).items()}
    if mixed:
        grey = {image: array.astype(np.uint8) for image, array in cells(0, 255).items()}
        pixels |= {image: array for image, array in grey.items() if int(image[1:]) % 3 == 0}
    data = prepared(pixels)
    assert (data.zero, data.one) == (0, 255)
    assert not said(data, "fill only")
    assert said(prepared(pixels, intensity=[0, 1]), "brighter than the intensity that becomes 1")


@given(values=st.lists(st.integers(0, 65535), min_size=1, max_size=40))
def test_counts_above_each_bit_depth(values: list[int]) -> None:
    pixels = np.array(values, np.uint16).reshape(-1, 1, 1)
    expected = tuple(sum(value > 2**bits - 1 for value in values) for bits in (8, 10, 12, 14))
    assert counts_above(pixels) == expected
    bits = standard_bit_depth(max(values))
    assert bits is not None
    assert max(values) < 2**bits


def test_pixels_without_counts() -> None:
    assert counts_above(np.full((2, 2, 1), 9e9, np.float32)) == (0, 0, 0, 0)
    assert counts_above(np.full((2, 2, 1), 255, np.uint8)) == (0, 0, 0, 0)
    assert standard_bit_depth(65536) is None
