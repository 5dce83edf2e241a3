"""From native pixels to the network's input: channels, size and the one intensity factor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cellvision as cv
from cellvision import errors
from cellvision.data.geometry import resize
from cellvision.data.intensity import STANDARD_BIT_DEPTHS

UINT8, UINT16, FLOAT = np.dtype("uint8"), np.dtype("uint16"), np.dtype("float32")


@given(high=st.integers(0, 65535))
def test_the_smallest_standard_bit_depth_that_holds_all(high: int) -> None:
    zero, one = cv.Preprocessing().intensity_range(UINT16, 0, high)
    assert zero == 0
    assert one in [2**bits - 1 for bits in STANDARD_BIT_DEPTHS]
    assert high <= one
    assert one == 255 or high > (one + 1) / 4 - 1


@pytest.mark.parametrize(
    ("high", "one"), [(255, 255), (256, 1023), (4095, 4095), (4096, 16383), (65535, 65535)]
)
def test_bit_depths(high: int, one: int) -> None:
    assert cv.Preprocessing().intensity_range(UINT16, 3, high) == (0, one)


def test_other_rules() -> None:
    assert cv.Preprocessing(intensity="dtype").intensity_range(UINT16, 0, 100) == (0, 65535)
    assert cv.Preprocessing(intensity=4095).intensity_range(UINT16, 0, 100) == (0, 4095)
    assert cv.Preprocessing(intensity=(-1, 2.5)).intensity_range(FLOAT, -9, 9) == (-1, 2.5)
    assert cv.Preprocessing(intensity="per_image").intensity_range(FLOAT, -9, 9) == (0, 65535)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "says"),
    [
        (FLOAT, 0.0, 1.0, "fractional"),
        (np.dtype("int16"), -5, 9, "negative intensities .down to -5"),
        (np.dtype("uint32"), 0, 65536, "exceeds 16 bits"),
    ],
)
def test_ranges_that_must_be_declared(dtype: Any, low: float, high: float, says: str) -> None:
    with pytest.raises(errors.PreprocessingError, match=says) as caught:
        cv.Preprocessing().intensity_range(dtype, low, high)
    assert "--set preprocessing.intensity=[low,high]" in caught.value.hint
    assert cv.Preprocessing(intensity=(low, high)).intensity_range(dtype, low, high) == (low, high)


def image(*channels: int, dtype: Any = np.uint16) -> np.ndarray:
    return np.full((3, 4, len(channels)), channels, dtype)


def test_channels_are_picked_in_order() -> None:
    five = image(10, 20, 30, 40, 50)
    assert cv.Preprocessing(channels=(4, 0)).select_channels(five)[0, 0].tolist() == [50, 10]
    assert cv.Preprocessing(channels=(1,)).select_channels(five).shape == (3, 4, 1)
    assert cv.Preprocessing(channels=(4, 0)).select_channels(five).dtype == np.uint16


def test_rgb_and_gray() -> None:
    grey, colour = image(7), image(300, 300, 300)
    assert np.array_equal(cv.Preprocessing().select_channels(colour), colour)
    assert cv.Preprocessing().select_channels(grey).shape == (3, 4, 1)
    assert np.array_equal(
        cv.Preprocessing().expand_channels(cv.Preprocessing().select_channels(grey)), image(7, 7, 7)
    )
    gray = cv.Preprocessing(channels="gray")
    assert np.array_equal(
        gray.select_channels(colour), image(300)
    )  # equal parts keep exactly their value
    assert gray.select_channels(image(1000, 0, 0))[0, 0, 0] == 299
    assert gray.select_channels(image(1000, 0, 0)).dtype == np.uint16
    assert gray.select_channels(image(1.5, 1.5, 1.5, dtype=np.float32))[0, 0, 0] == 1.5  # type: ignore[arg-type]


def test_depths() -> None:
    assert cv.Preprocessing(size=(8, 9)).input_shape == (8, 9, 3)
    assert cv.Preprocessing(channels="gray").depth == 1
    assert cv.Preprocessing(channels=(0, 3)).depth == 2


@pytest.mark.parametrize("channels", ["rgb", "gray"])
@pytest.mark.parametrize("count", [2, 4, 5])
def test_numbers_of_channels_that_are_no_colours(channels: Any, count: int) -> None:
    with pytest.raises(errors.PreprocessingError, match=f"has {count} channels") as caught:
        cv.Preprocessing(channels=channels).select_channels(image(*range(count)))
    assert (
        f"preprocessing.channels={str(list(range(min(count, 3)))).replace(' ', '')}"
        in caught.value.hint
    )


def test_missing_channel() -> None:
    with pytest.raises(errors.PreprocessingError, match="requests channel 3, but the image has 2"):
        cv.Preprocessing(channels=(0, 3)).select_channels(image(1, 2))


def test_black_and_white_become_0_and_255() -> None:
    mask = np.zeros((3, 4, 1), bool)
    mask[1] = True
    picked = cv.Preprocessing().select_channels(mask)
    assert picked.dtype == np.uint8
    assert np.unique(picked).tolist() == [0, 255]
    assert cv.Preprocessing().intensity_range(picked.dtype, 0, 1) == (0, 255)


dtypes = st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32", "float64"])


@given(
    dtype=dtypes,
    value=st.integers(0, 255),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_resizing_keeps_type_and_flat_values(
    dtype: str, value: int, shape: tuple[int, int, int], size: tuple[int, int]
) -> None:
    result = resize(np.full(shape, value, dtype), size)
    assert result.shape == (*size, shape[2])
    assert result.dtype == dtype
    assert (result == value).all()


@given(
    seed=st.integers(0, 99),
    dtype=st.sampled_from(["uint8", "uint16"]),
    size=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    channels=st.integers(1, 3),
)
def test_resizing_stays_within_the_range(
    seed: int, dtype: str, size: tuple[int, int], channels: int
) -> None:
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(top // 3, top, (9, 7, channels), dtype)
    result = resize(pixels, size)
    assert pixels.min() <= result.min() <= result.max() <= pixels.max()
    if size == (9, 7):
        assert np.array_equal(result, pixels)


def test_16_bits_are_never_cast_down() -> None:
    ramp = np.linspace(1000, 60000, 64 * 64).reshape(64, 64, 1).astype(np.uint16)
    result = cv.Preprocessing(size=(32, 32)).resize(ramp)
    assert result.dtype == np.uint16
    assert len(np.unique(result)) > 256
    assert result.astype(float).mean() == pytest.approx(ramp.astype(float).mean(), rel=1e-3)
    dim = np.full((8, 8, 1), 3, np.uint16)
    assert (cv.Preprocessing(size=(4, 4)).resize(dim) == 3).all()


def test_per_image_stretches_each_channel() -> None:
    two = np.stack([np.arange(16).reshape(4, 4), np.full((4, 4), 9)], axis=-1).astype(np.uint16)
    result = cv.Preprocessing(size=(4, 4), channels=(0, 1), intensity="per_image").resize(two)
    assert result.dtype == np.uint16
    assert (result[..., 0].min(), result[..., 0].max()) == (0, 65535)
    assert (result[..., 1] == 0).all()
    brighter = cv.Preprocessing(size=(4, 4), channels=(0, 1), intensity="per_image").resize(two * 7)
    assert np.array_equal(result, brighter)


def test_what_the_stored_pixels_depend_on() -> None:
    plain = cv.Preprocessing().geometry()
    assert cv.Preprocessing(intensity=9, on_unreadable="skip").geometry() == plain
    assert cv.Preprocessing(intensity="per_image").geometry() != plain
    assert cv.Preprocessing(size=(8, 8)).geometry() != plain
    assert cv.Preprocessing(channels="gray").geometry() != plain
    assert cv.Preprocessing(fit="pad").geometry() != plain


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (0, 4)},
        {"size": (4,)},
        {"channels": ()},
        {"channels": (-1,)},
        {"channels": "red"},
        {"intensity": 0},
        {"intensity": (5, 5)},
        {"intensity": (5, float("inf"))},
        {"intensity": float("nan")},
        {"intensity": "max"},
        {"on_unreadable": "ignore"},
    ],
)
def test_invalid_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.ExperimentError):
        cv.Preprocessing(**wrong)


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)),
    more=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_padding_keeps_every_pixel_in_the_centre(
    shape: tuple[int, int, int], more: tuple[int, int], dtype: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    size = (shape[0] + more[0], shape[1] + more[1])
    padded = cv.Preprocessing(size=size, fit="pad").resize(pixels)
    assert (padded.shape, padded.dtype) == ((*size, shape[2]), pixels.dtype)
    top, left = more[0] // 2, more[1] // 2
    assert np.array_equal(padded[top : top + shape[0], left : left + shape[1]], pixels)
    assert np.array_equal(cv.Preprocessing(size=shape[:2], fit="crop").resize(padded), pixels) or (
        more[0] % 2 or more[1] % 2
    )


def test_padding_is_filled_with_the_median_of_the_border() -> None:
    pixels = np.full((5, 5, 2), (100, 7), np.uint16)
    pixels[1:4, 1:4] = 4000
    pixels[0, 0] = 9999  # one bright pixel on the border does not matter
    padded = cv.Preprocessing(size=(9, 9), fit="pad", channels=(0, 1)).resize(pixels)
    assert (padded[:2] == (100, 7)).all()
    assert (padded[:, -2:] == (100, 7)).all()


def test_padding_refuses_larger_images() -> None:
    with pytest.raises(errors.PreprocessingError, match="5 × 9 pixels, larger than") as caught:
        cv.Preprocessing(size=(8, 8), fit="pad").resize(np.zeros((5, 9, 1), np.uint8))
    assert "--set preprocessing.size=[8,9]" in caught.value.hint


def test_cropping_takes_the_centre_and_pads_what_is_missing() -> None:
    pixels = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)
    cropped = cv.Preprocessing(size=(3, 3), fit="crop").resize(pixels)
    assert np.array_equal(cropped, pixels[1:4, 2:5])
    mixed = cv.Preprocessing(size=(7, 3), fit="crop").resize(pixels)
    assert np.array_equal(mixed[1:6], pixels[:, 2:5])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size": 64}, r"write height and width as a list: \[64,64\]"),
        ({"size": "96"}, r"write height and width as a list: \[96,96\]"),
        ({"channels": 0}, r"write channel numbers as a list: \[0\]"),
        ({"channels": "2"}, r"write channel numbers as a list: \[2\]"),
        ({"channels": "red"}, r'write "rgb", "gray" or a list of channel numbers such as \[0\]'),
        ({"fit": "stretch"}, "fit: Input should be 'resize', 'pad' or 'crop'"),
        ({"sise": (8, 8)}, "Did you mean 'size'"),
    ],
)
def test_slips_name_the_exact_form(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.ExperimentError, match=says):
        cv.Preprocessing(**settings)


@given(seed=st.integers(0, 99), dtype=st.sampled_from(["uint8", "uint16", "float32"]))
def test_luma_is_the_same_wherever_it_is_computed(seed: int, dtype: str) -> None:
    from cellvision_datasets.image_files import to_mono

    pixels = np.random.default_rng(seed).integers(0, 2**16, (40, 40, 3)).astype(dtype)
    grey = cv.io.luma(pixels)
    assert grey.dtype == pixels.dtype
    assert np.array_equal(cv.Preprocessing(channels="gray").select_channels(pixels), grey)
    assert np.array_equal(to_mono("x", cv.DecodedImage(pixels, 16, ())).pixels, grey)
    exact = (
        299 * pixels[..., :1].astype(np.int64)
        + 587 * pixels[..., 1:2].astype(np.int64)
        + 114 * pixels[..., 2:].astype(np.int64)
    )
    assert np.abs(grey.astype(np.float64) * 1000 - exact).max() <= (
        500 if dtype != "float32" else 5
    )
