"""`prepare rotate`: directions, values, the cropped rectangle."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from prepare_folders import noise, pixels

from cellvision import errors, prepare
from cellvision.prepare.rotate import inscribed, rotate

pytestmark = pytest.mark.filterwarnings("ignore::cellvision.prepare.PrepareWarning")


def test_right_angles_are_exact_and_counter_clockwise(tmp_path: Path) -> None:
    image = noise(6, 10)
    tifffile.imwrite(tmp_path / "a.tif", image)
    table = prepare.rotate_images(
        tmp_path / "a.tif", tmp_path / "out", angles=[0, 90, 180, -90], corners="crop"
    )
    turned = [pixels(tmp_path / "out" / file)[:, :, 0] for file in table["file"]]
    assert list(table["file"]) == [f"a_rot{angle}.tif" for angle in (0, 90, 180, -90)]
    assert list(table["transformation"]) == [f"rotate {angle}" for angle in (0, 90, 180, -90)]
    # Counter-clockwise by 90: the right column becomes the top row.
    assert (turned[1][0] == image[:, -1]).all()
    assert all((turned[i] == np.rot90(image, i)).all() for i in range(4))


@pytest.mark.parametrize("corners", ["fill", "crop", "reflect"])
def test_other_angles_go_the_same_way(corners: str) -> None:
    image = np.zeros((41, 41, 1), np.uint16)
    image[20, 30:33] = 60000  # three o'clock
    turned = rotate(image, 89.999, corners=corners, fill=0)
    centre = turned.shape[0] // 2
    top, column = np.unravel_index(int(turned.argmax()), turned.shape[:2])
    assert column == centre
    assert top < centre, "at noon"


@given(
    st.integers(4, 40),
    st.integers(4, 40),
    st.floats(-360, 360, allow_nan=False).filter(lambda angle: angle % 90),
    st.sampled_from(["fill", "crop", "reflect"]),
)
@settings(max_examples=60, deadline=None)
def test_rotation_invents_no_values(height: int, width: int, angle: float, corners: str) -> None:
    image = (noise(height, width, "uint16", 2) % 3000) + 1000
    turned = rotate(image, angle, corners=corners, fill=0)
    assert turned.dtype == np.uint16
    inside = turned[turned > 0]
    assert inside.size
    assert image.min() <= inside.min()
    assert inside.max() <= image.max()
    if corners != "fill":
        assert inside.size == turned.size, "no corner is invented"
    if corners != "crop":
        assert turned.shape == image.shape


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.01, 89.99))
def test_the_cropped_rectangle_lies_inside(height: int, width: int, angle: float) -> None:
    new_height, new_width = inscribed(height, width, angle)
    assert 1 <= new_height <= max(height, width)
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    y, x = (new_height - 1) / 2, (new_width - 1) / 2
    assert x * cosine + y * sine <= (width - 1) / 2 + 1e-5
    assert x * sine + y * cosine <= (height - 1) / 2 + 1e-5


def test_sixteen_bits_stay_sixteen_and_a_flat_field_stays_flat(tmp_path: Path) -> None:
    Image.fromarray(np.full((30, 30), 51234, np.uint16)).save(tmp_path / "a.png")
    table = prepare.rotate_images(
        tmp_path / "a.png", tmp_path / "out", angles=[-5, 4, 18], corners="fill", fill=7
    )
    assert table["transformation"][0] == "rotate -5 corners=fill fill=7"
    for file in table["file"]:
        turned = pixels(tmp_path / "out" / file)
        assert turned.dtype == np.uint16
        assert set(np.unique(turned)) == {7, 51234}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"angles": []}, "at least one angle"),
        ({"angles": [0, 360]}, "same copy"),
        ({"angles": [math.nan]}, "finite"),
        ({"angles": [1], "corners": "round"}, "unknown corners"),
        ({"angles": [1], "corners": "crop", "fill": 1}, "no use"),
        ({"angles": [1], "fill": 65536}, "uint16 cannot hold"),
        ({"angles": [1], "fill": 0.5}, "uint16 cannot hold"),
    ],
)
def test_invalid_rotations_are_refused(
    fields: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.rotate_images(fields, tmp_path / "out", **options)
