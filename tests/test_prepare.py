"""Tiles, rotated copies and numbered series: pixels, provenance, restarts, refusals."""

from __future__ import annotations

import hashlib
import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from cellvision import errors, prepare
from cellvision.cli.prepare import app, parse_angles, parse_pair
from cellvision.data.files import read_image
from cellvision.prepare.rotate import inscribed, rotate
from cellvision.prepare.slice import layout, nearly_square

EDGES = ("drop", "pad", "shift")

# Notices are asked for where they matter.
pytestmark = pytest.mark.filterwarnings("ignore::cellvision.prepare.PrepareWarning")


def noise(height: int, width: int, dtype: str = "uint16", channels: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels else (height, width)
    high = {"uint8": 256, "uint16": 4096}.get(dtype, 1000)
    return np.random.default_rng(height * 1000 + width).integers(0, high, shape).astype(dtype)


def pixels(path: Path) -> np.ndarray:
    return read_image(path).pixels


def tree(folder: Path) -> dict[str, str]:
    """Every visible file with a digest of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def manifest(folder: Path) -> list[dict[str, str]]:
    import csv

    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Two classes of wide-field images, with plate and well beside them."""
    folder = tmp_path / "fields"
    for name in ("control/a1.tif", "control/a2.tif", "treated/b10.tif", "treated/b9.tif"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / name, noise(40, 60) + len(name))
    (folder / "groups.csv").write_text(
        "file,plate,well\ncontrol/a1.tif,007,B02\ncontrol/a2.tif,007,B03\n"
        "treated/b10.tif,007,C02\ntreated/b9.tif,007,C03\n"
    )
    (folder / ".DS_Store").write_bytes(b"phantom")
    (folder / "control" / "._a1.tif").write_bytes(b"phantom")
    return folder


# Tile geometry


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 20), st.integers(1, 20))
def test_a_grid_that_divides_covers_every_pixel_once(
    rows: int, columns: int, height: int, width: int
) -> None:
    counts = np.zeros((rows * height, columns * width), int)
    for edge in EDGES:
        counts[:] = 0
        tiles = layout(*counts.shape, grid=(rows, columns), edge=edge)
        for tile in tiles:
            counts[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
        assert (counts == 1).all()
        assert [(tile.row, tile.column) for tile in tiles] == list(np.ndindex(rows, columns))


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, tuple[int, int], int]:
    tile = (draw(st.integers(1, 30)), draw(st.integers(1, 30)))
    overlap = draw(st.integers(0, min(tile) - 1))
    height, width = (draw(st.integers(side, 90)) for side in tile)
    return height, width, tile, overlap


@given(sizes())
def test_tiles_of_a_size(case: tuple[int, int, tuple[int, int], int]) -> None:
    height, width, size, overlap = case
    for edge in EDGES:
        counts = np.zeros((height + size[0], width + size[1]), int)
        tiles = layout(height, width, size=size, overlap=overlap, edge=edge)
        for tile in tiles:
            assert (tile.height, tile.width) == size
            counts[tile.y : tile.y + size[0], tile.x : tile.x + size[1]] += 1
        inside, outside = counts[:height, :width], counts.sum() - counts[:height, :width].sum()
        assert len({(tile.y, tile.x) for tile in tiles}) == len(tiles)
        if edge == "pad":
            assert inside.all()
        else:
            assert outside == 0, "no tile reaches over the edge"
        if edge == "shift":
            assert inside.all()
        if edge == "drop":
            stride = (size[0] - overlap, size[1] - overlap)
            rows, columns = (max(t.row for t in tiles) + 1, max(t.column for t in tiles) + 1)
            assert height - ((rows - 1) * stride[0] + size[0]) < stride[0]
            assert width - ((columns - 1) * stride[1] + size[1]) < stride[1]


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 30), st.integers(1, 30))
def test_any_grid_is_cut_whole_or_refused(height: int, width: int, rows: int, columns: int) -> None:
    for edge in EDGES:
        try:
            tiles = layout(height, width, grid=(rows, columns), edge=edge)
        except errors.InvalidInput:
            too_many = rows > height or columns > width
            assert edge != "drop" or too_many
            continue
        assert len(tiles) == rows * columns
        assert all(tile.y < height and tile.x < width for tile in tiles)
        covered = np.zeros((height, width), bool)
        for tile in tiles:
            covered[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = True
        if edge == "drop":
            assert covered.sum() == (height // rows * rows) * (width // columns * columns)
        else:
            assert covered.all()


@given(st.integers(1, 5000))
def test_a_number_of_tiles_is_cut_as_square_as_it_can(count: int) -> None:
    fewer, more = nearly_square(count)
    assert fewer * more == count
    assert fewer <= more
    assert all(count % factor for factor in range(fewer + 1, math.isqrt(count) + 1))


def test_the_longer_side_gets_more_tiles() -> None:
    wide, high = layout(30, 60, tiles=12), layout(60, 30, tiles=12)
    assert (wide[-1].row, wide[-1].column) == (2, 3)
    assert (high[-1].row, high[-1].column) == (3, 2)
    assert len(layout(64, 64, tiles=16)) == 16
    assert layout(64, 64, tiles=16)[-1].row == 3


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["x", "X", "×", " x "]))
def test_pairs_are_read(first: int, second: int, sign: str) -> None:
    assert parse_pair(f"{first}{sign}{second}", "--grid") == (first, second)


@given(st.text(max_size=12).filter(lambda text: not re.fullmatch(r"\s*\d+\s*[xX×]\s*\d+\s*", text)))
def test_other_texts_are_no_pairs(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="--size"):
        parse_pair(text, "--size")


@given(st.lists(st.floats(-720, 720, allow_nan=False), min_size=1, max_size=5))
def test_angles_are_read(angles: list[float]) -> None:
    assert parse_angles(",".join(map(str, angles))) == angles


# Slicing


def test_sixteen_tiles_with_provenance(fields: Path, tmp_path: Path) -> None:
    before = tree(fields)
    out = tmp_path / "tiles"
    table = prepare.slice_images(fields, out, tiles=16)
    assert tree(fields) == before, "sources are never changed"
    assert len(table) == 64
    assert list(table.columns) == ["file", "source", "field", "transformation", "plate", "well"]
    first = manifest(out)[1]
    assert first == {
        "file": "control/a1_r00_c01.tif",
        "source": "control/a1.tif",
        "field": "control/a1",
        "transformation": "slice r=0 c=1 y=0 x=15 h=10 w=15",
        "plate": "007",
        "well": "B02",
    }
    assert table.to_dict("records") == manifest(out)
    # In natural order: b9 before b10.
    assert list(dict.fromkeys(table["source"]))[2:] == ["treated/b9.tif", "treated/b10.tif"]
    whole = pixels(fields / "treated/b9.tif")
    tiles = [pixels(out / file) for file in table["file"] if "b9" in file]
    rows = [np.concatenate(tiles[start : start + 4], axis=1) for start in range(0, 16, 4)]
    together = np.concatenate(rows)
    assert together.dtype == whole.dtype == np.uint16
    assert (together == whole).all()


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "suffix"),
    [
        ("gray8.png", (24, 24), "uint8", ".png"),
        ("gray16.png", (24, 24), "uint16", ".png"),
        ("rgb.png", (24, 24, 3), "uint8", ".png"),
        ("rgb.bmp", (24, 24, 3), "uint8", ".png"),
        ("rgb.jpg", (24, 24, 3), "uint8", ".png"),
        ("gray.jpg", (24, 24), "uint8", ".png"),
        ("gray8.tif", (24, 24), "uint8", ".tif"),
        ("gray16.ome.tif", (24, 24), "uint16", ".tif"),
        ("float.tiff", (24, 24), "float32", ".tif"),
        ("signed.tif", (24, 24), "int16", ".tif"),
        ("two_pages.tif", (2, 24, 24), "uint16", ".tif"),
        ("three_pages.tif", (3, 24, 24), "uint16", ".tif"),
        ("five_pages.tif", (5, 24, 24), "uint8", ".tif"),
        ("rgb.tif", (24, 24, 3), "uint8", ".tif"),
        ("rgb16.tif", (24, 24, 3), "uint16", ".tif"),
        ("big_endian.tif", (24, 24), ">u2", ".tif"),
    ],
)
def test_tiles_keep_dtype_channels_and_values(
    tmp_path: Path, name: str, shape: tuple[int, ...], dtype: str, suffix: str
) -> None:
    array = np.random.default_rng(1).integers(0, 250, shape).astype(dtype)
    path = tmp_path / name
    if path.suffix in (".tif", ".tiff"):
        rgb = shape[-1] == 3
        tifffile.imwrite(path, array, photometric="rgb" if rgb else "minisblack")
    else:
        Image.fromarray(array).save(path)
    whole = pixels(path)
    table = prepare.slice_images(path, tmp_path / "out", grid=(2, 3))
    assert len(table) == 6
    for row, file in enumerate(table["file"]):
        tile = pixels(tmp_path / "out" / file)
        y, x = row // 3 * 12, row % 3 * 8
        assert file.endswith(suffix)
        assert tile.dtype == whole.dtype
        assert np.array_equal(tile, whole[y : y + 12, x : x + 8])
    assert table["field"][0] == name.split(".")[0]


def test_colour_tiffs_stay_colour_and_pages_stay_pages(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rgb.tif", noise(8, 8, "uint8", 3), photometric="rgb")
    tifffile.imwrite(tmp_path / "pages.tif", np.zeros((3, 8, 8), "uint8"), photometric="minisblack")
    for name, pages in (("rgb", 1), ("pages", 3)):
        table = prepare.slice_images(tmp_path / f"{name}.tif", tmp_path / name, tiles=1)
        with tifffile.TiffFile(tmp_path / name / table["file"][0]) as tiff:
            assert len(tiff.pages) == pages


def test_the_three_edge_policies(tmp_path: Path) -> None:
    image = noise(25, 33) + 1
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.warns(prepare.PrepareWarning, match="5 rows .* 3 columns"):
        drop = prepare.slice_images(tmp_path / "a.tif", tmp_path / "drop", size=(10, 10))
    pad = prepare.slice_images(tmp_path / "a.tif", tmp_path / "pad", size=(10, 10), edge="pad")
    shift = prepare.slice_images(
        tmp_path / "a.tif", tmp_path / "shift", size=(10, 10), edge="shift"
    )
    assert (len(drop), len(pad), len(shift)) == (6, 12, 12)
    last = pixels(tmp_path / "pad" / pad["file"].iloc[-1])[:, :, 0]
    assert (last[:5, :3] == image[20:, 30:]).all()
    assert last[5:].max() == last[:, 3:].max() == 0, "nothing is made up"
    last = pixels(tmp_path / "shift" / shift["file"].iloc[-1])[:, :, 0]
    assert (last == image[15:, 23:]).all()
    assert shift["transformation"].iloc[-1] == "slice r=2 c=3 y=15 x=23 h=10 w=10"


def test_files_of_one_stem_never_meet(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    values = {"a.png": 1, "a.jpg": 2, "a.tif": 3, "a_png.png": 4, "b.png": 5, "A.bmp": 6}
    for name, value in values.items():
        Image.fromarray(np.full((8, 8), value, "uint8")).save(folder / name)
    table = prepare.slice_images(folder, tmp_path / "out", tiles=2)
    assert len({file.casefold() for file in table["file"]}) == 12
    for file, source in zip(table["file"], table["source"], strict=True):
        assert abs(int(pixels(tmp_path / "out" / file).mean()) - values[source]) <= 1
    assert set(table["field"]) == {"a", "A", "a_png", "b"}


def test_one_bit_images_stay_one_bit(tmp_path: Path) -> None:
    mask = noise(8, 8) > 2000
    Image.fromarray(mask).save(tmp_path / "mask.png")
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    for name in ("mask.png", "mask.tif"):
        out = tmp_path / f"out_{name[-3:]}"
        table = prepare.rotate_images(tmp_path / name, out, angles=[0])
        copy = pixels(out / table["file"][0])
        assert copy.dtype == bool
        assert (copy == pixels(tmp_path / name)).all()


def test_a_class_may_be_a_link_to_a_folder(fields: Path, tmp_path: Path) -> None:
    folder = tmp_path / "linked"
    folder.mkdir()
    (folder / "control").symlink_to(fields / "control", target_is_directory=True)
    (folder / "control" / "loop").symlink_to(folder, target_is_directory=True)
    table = prepare.slice_images(folder, tmp_path / "out", tiles=1)
    assert list(table["source"]) == ["control/a1.tif", "control/a2.tif"]


def test_a_link_that_leads_nowhere_is_unreadable(fields: Path, tmp_path: Path) -> None:
    (fields / "control" / "z.tif").symlink_to(tmp_path / "gone.tif")
    with pytest.raises(errors.UnreadableImages, match=r"z.tif: no such file"):
        prepare.slice_images(fields, tmp_path / "out", tiles=4)
    (fields / "control" / "z.tif").unlink()
    assert len(prepare.slice_images(fields, tmp_path / "out", tiles=4)) == 16


def test_notices(fields: Path, tmp_path: Path) -> None:
    (fields / "control" / "notes.txt").write_text("not an image")
    (fields / "groups.csv").write_text("file,well\ncontrol/a1.tif,B02\n")
    with pytest.warns(prepare.PrepareWarning) as caught:
        table = prepare.slice_images(fields, tmp_path / "out", tiles=5)
    text = "\n".join(str(notice.message) for notice in caught)
    assert "prime" in text
    assert "control/notes.txt" in text
    assert "3 image(s) without a row" in text
    assert list(table["well"])[4:6] == ["B02", ""]


# Rotating


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
def test_no_value_is_made_up(height: int, width: int, angle: float, corners: str) -> None:
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


# Numbering


def test_numbering_copies_bytes_in_natural_order(fields: Path, tmp_path: Path) -> None:
    before = tree(fields)
    table = prepare.number_images(fields, tmp_path / "out")
    assert tree(fields) == before
    assert list(table["file"]) == [
        "control/s0.tif",
        "control/s1.tif",
        "treated/s0.tif",
        "treated/s1.tif",
    ]
    assert list(table["source"])[2:] == ["treated/b9.tif", "treated/b10.tif"]
    after = tree(tmp_path / "out")
    assert all(
        after[file] == before[source]
        for file, source in zip(table["file"], table["source"], strict=True)
    )


def test_in_place_keeps_the_provenance_of_tiles(fields: Path, tmp_path: Path) -> None:
    tiles = tmp_path / "tiles"
    sliced = prepare.slice_images(fields, tiles, tiles=4)
    contents = tree(tiles)
    table = prepare.number_images(tiles, in_place=True)
    assert list(table["source"]) == list(sliced["file"])
    assert list(table["field"]) == list(sliced["field"])
    assert list(table["well"]) == list(sliced["well"])
    assert table["transformation"][1] == sliced["transformation"][1] + "; number 1"
    after = tree(tiles)
    assert all(
        after[new] == contents[old] for new, old in zip(table["file"], table["source"], strict=True)
    )
    assert set(after) == {*table["file"], "manifest.csv"}
    again = prepare.number_images(tiles, in_place=True)
    assert again.equals(table)
    with pytest.raises(errors.FolderError, match="not empty"):
        prepare.slice_images(fields, tiles, tiles=4)


def test_in_place_takes_groups_along(fields: Path) -> None:
    prepare.number_images(fields, in_place=True, prefix="img_", start=5)
    assert (fields / "groups.csv").read_text() == (
        "file,plate,well\ncontrol/img_5.tif,007,B02\ncontrol/img_6.tif,007,B03\n"
        "treated/img_6.tif,007,C02\ntreated/img_5.tif,007,C03\n"
    )
    rows = {row["file"]: row for row in manifest(fields)}
    assert rows["treated/img_6.tif"]["well"] == "C02"
    assert rows["treated/img_6.tif"]["field"] == "treated/b10"


def entangled(folder: Path) -> None:
    """Names of which one is another's new name: only two phases get this right."""
    (folder / "c").mkdir(parents=True)
    for index, name in enumerate(("s1.png", "s2.png", "s0.tif", "s3.png", "x.png")):
        (folder / "c" / name).write_bytes(bytes([index]) * 9)
    (folder / "groups.csv").write_text(
        "file,well\nc/s1.png,B\nc/s2.png,C\nc/s0.tif,A\nc/s3.png,D\nc/x.png,E\n"
    )


@pytest.mark.parametrize("after", [False, True])
def test_numbering_in_place_is_finished_after_an_interruption_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    expected_folder = tmp_path / "expected"
    entangled(expected_folder)
    expected_table = prepare.number_images(expected_folder, in_place=True, start=1)
    expected = tree(expected_folder)
    assert list(expected_table["file"]) == [
        "c/s1.tif",
        "c/s2.png",
        "c/s3.png",
        "c/s4.png",
        "c/s5.png",
    ]

    def dying(call: Callable[..., object], left: list[int]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == 0 and not after:
                raise KeyboardInterrupt
            result = call(*arguments, **options)
            if left[0] == 0:
                raise KeyboardInterrupt
            return result

        return wrapped

    steps = 0
    while True:
        steps += 1
        folder = tmp_path / f"run{steps}"
        entangled(folder)
        left = [steps]
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying(os.replace, left))
            patch.setattr(Path, "rename", dying(Path.rename, left))
            patch.setattr(Path, "unlink", dying(Path.unlink, left))
            try:
                prepare.number_images(folder, in_place=True, start=1)
            except KeyboardInterrupt:
                pass
            else:
                break
        table = prepare.number_images(folder, in_place=True, start=1)
        assert table.equals(expected_table)
        assert tree(folder) == expected
        assert not (folder / ".number.json").exists()
    assert steps > 15


def test_in_place_overwrites_nothing(fields: Path) -> None:
    (fields / "control" / "s0.tif").mkdir()
    before = tree(fields)
    with pytest.raises(errors.FolderError, match="exists and is not one of the images"):
        prepare.number_images(fields, in_place=True)
    assert tree(fields) == before


def test_a_file_that_appears_while_numbering_is_not_overwritten(fields: Path) -> None:
    def intrude(done: int, total: int) -> None:
        if done == total // 2:
            (fields / "treated" / "s1.tif").write_bytes(b"somebody else's")

    with pytest.raises(errors.FolderError, match="appeared while numbering"):
        prepare.number_images(fields, in_place=True, progress=intrude)
    assert (fields / "treated" / "s1.tif").read_bytes() == b"somebody else's"
    with pytest.raises(errors.FolderError, match="was interrupted here"):
        prepare.slice_images(fields, fields.parent / "tiles", tiles=4)
    with pytest.raises(errors.FolderError, match="was interrupted here"):
        prepare.number_images(fields, in_place=True, prefix="other")
    (fields / "treated" / "s1.tif").unlink()
    assert len(prepare.number_images(fields, in_place=True)) == 4


# Chains, restarts


def test_the_field_survives_every_step(fields: Path, tmp_path: Path) -> None:
    prepare.slice_images(fields, tmp_path / "1", grid=(2, 2))
    prepare.number_images(tmp_path / "1", tmp_path / "2")
    table = prepare.rotate_images(tmp_path / "2", tmp_path / "3", angles=[18, 36])
    assert len(table) == 32
    assert set(table["field"]) == {"control/a1", "control/a2", "treated/b9", "treated/b10"}
    last = table.iloc[-1]
    assert last["file"] == "treated/s7_rot36.tif"
    assert last["source"] == "treated/s7.tif"
    assert last["field"] == "treated/b10"
    assert last["transformation"] == "slice r=1 c=1 y=20 x=30 h=20 w=30; number 7; rotate 36"
    assert last["well"] == "C02"


class KilledError(Exception):
    pass


@pytest.mark.parametrize("verb", ["slice", "rotate", "number"])
def test_an_interrupted_run_is_finished_like_one_that_was_not(
    fields: Path, tmp_path: Path, verb: str
) -> None:
    def work(out: Path, progress: Callable[[int, int], None] | None = None) -> None:
        if verb == "slice":
            prepare.slice_images(fields, out, tiles=4, progress=progress)
        elif verb == "rotate":
            prepare.rotate_images(fields, out, angles=[5, 90], progress=progress)
        else:
            prepare.number_images(fields, out, progress=progress)

    work(tmp_path / "whole")
    expected = tree(tmp_path / "whole")
    for moment in range(5):
        out = tmp_path / f"out{moment}"

        def kill(done: int, total: int, moment: int = moment) -> None:
            if done == moment:
                raise KilledError

        with pytest.raises(KilledError):
            work(out, kill)
        assert not (out / "manifest.csv").exists()
        with pytest.raises(errors.FolderError, match="not finished"):
            prepare.number_images(out, tmp_path / "other")
        seen: list[tuple[int, int]] = []
        work(out, lambda done, total, seen=seen: seen.append((done, total)))
        assert seen[0] == (moment, 4), "what was finished is not made again"
        assert seen[-1] == (4, 4)
        assert tree(out) == expected


def test_killed_by_the_system(fields: Path, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import os, signal, sys
        from cellvision import prepare
        def die(done, total):
            if done == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        prepare.slice_images(sys.argv[1], sys.argv[2], tiles=4, progress=die)
    """)
    out = tmp_path / "out"
    ended = subprocess.run([sys.executable, "-c", program, fields, out], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (out / "manifest.csv").exists()
    # As if it had died inside a write, and in the middle of a line of its record.
    left_over = out / "control" / ".a1_r00_c00.0123456789ab.tif"
    left_over.parent.mkdir(parents=True, exist_ok=True)
    left_over.write_bytes(b"half")
    with (out / ".prepare.jsonl").open("a") as record:
        record.write('{"source": "treated/b1')
    prepare.slice_images(fields, out, tiles=4)
    prepare.slice_images(fields, tmp_path / "whole", tiles=4)
    assert tree(out) == tree(tmp_path / "whole")
    assert not left_over.exists()


def test_lost_results_are_made_again(fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare.slice_images(fields, out, tiles=4)
    expected = tree(out)
    (out / "control" / "a1_r00_c01.tif").unlink()
    prepare.slice_images(fields, out, tiles=4)
    assert tree(out) == expected


def test_unreadable_images_are_listed_after_the_others_are_finished(
    fields: Path, tmp_path: Path
) -> None:
    for name in ("bad1.tif", "bad2.png"):
        (fields / "control" / name).write_bytes(b"no image")
    with pytest.raises(errors.UnreadableImages) as caught:
        prepare.slice_images(fields, tmp_path / "out", tiles=4)
    assert [Path(fault.file).name for fault in caught.value.faults] == ["bad1.tif", "bad2.png"]
    assert caught.value.exit_code == 2
    assert "preprocessing" not in str(caught.value)
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 16
    assert not (tmp_path / "out" / "manifest.csv").exists()
    for name in ("bad1.tif", "bad2.png"):
        (fields / "control" / name).unlink()
    assert len(prepare.slice_images(fields, tmp_path / "out", tiles=4)) == 16


def test_a_part_of_a_prepared_folder_keeps_its_provenance(fields: Path, tmp_path: Path) -> None:
    prepare.slice_images(fields, tmp_path / "tiles", tiles=4)
    turned = prepare.rotate_images(tmp_path / "tiles" / "control", tmp_path / "c", angles=[5, -5])
    assert set(turned["field"]) == {"control/a1", "control/a2"}
    assert set(turned["well"]) == {"B02", "B03"}
    one = tmp_path / "tiles" / "treated" / "b9_r00_c01.tif"
    turned = prepare.rotate_images(one, tmp_path / "t", angles=[90])
    assert list(turned["field"]) == ["treated/b9"]
    assert list(turned["transformation"]) == ["slice r=0 c=1 y=0 x=30 h=20 w=30; rotate 90"]
    # A table further up that is of something else is none of their business.
    (fields.parent / "groups.csv").write_text("name\nx\n")
    (fields / "groups.csv").unlink()
    assert len(prepare.slice_images(fields, tmp_path / "out", tiles=4)) == 16


# Refusals


def test_a_folder_begun_otherwise_is_refused(fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare.slice_images(fields, out, tiles=4)
    with pytest.raises(errors.FolderError, match=r"slice tiles=4 .* not with slice tiles=9"):
        prepare.slice_images(fields, out, tiles=9)
    with pytest.raises(errors.FolderError, match="not with rotate"):
        prepare.rotate_images(fields, out, angles=[1])
    tifffile.imwrite(fields / "control" / "a1.tif", noise(40, 60))
    with pytest.raises(errors.FolderError, match=r"control/a1.tif changed"):
        prepare.slice_images(fields, out, tiles=4)


def test_settings_that_made_nothing_may_be_corrected(fields: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match=r"control/a1.tif: a tile of 99x9 is larger"):
        prepare.slice_images(fields, tmp_path / "out", size=(99, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(prepare.slice_images(fields, tmp_path / "out", size=(20, 20))) == 24


def test_images_that_nobody_made_are_not_taken_in(fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare.slice_images(fields, out, tiles=4)
    tifffile.imwrite(out / "control" / "stray.tif", noise(4, 4))
    with pytest.raises(errors.FolderError, match=r"control/stray.tif"):
        prepare.slice_images(fields, out, tiles=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one"),
        ({"tiles": 4, "grid": (2, 2)}, "exactly one"),
        ({"tiles": 0}, "at least 1"),
        ({"grid": (0, 4)}, "at least 1"),
        ({"size": (4, -4)}, "at least 1"),
        ({"size": (8, 8), "overlap": 8}, "overlap 8 does not fit"),
        ({"size": (8, 8), "overlap": -1}, "overlap -1 does not fit"),
        ({"tiles": 4, "overlap": 2}, "size only"),
        ({"tiles": 4, "edge": "cut"}, "unknown edge"),
        ({"tiles": 10000}, "cannot be cut"),
        ({"size": (10, 61)}, "larger than the image"),
    ],
)
def test_slices_that_cannot_be(
    fields: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.slice_images(fields, tmp_path / "out", **options)


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
def test_rotations_that_cannot_be(
    fields: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.rotate_images(fields, tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either a new folder or in-place"),
        ({"out": "out", "in_place": True}, "either a new folder or in-place"),
        ({"in_place": True, "prefix": "a/b"}, "no file name"),
        ({"in_place": True, "prefix": "."}, "no file name"),
        ({"in_place": True, "start": -1}, "start is -1"),
    ],
)
def test_series_that_cannot_be(fields: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.number_images(fields, **options)


def test_folders_that_cannot_be(fields: Path, tmp_path: Path) -> None:
    empty, taken = tmp_path / "empty", tmp_path / "taken"
    empty.mkdir()
    taken.mkdir()
    (taken / "thesis.tex").write_text("precious")
    cases = [
        (tmp_path / "absent", tmp_path / "out", "does not exist"),
        (empty, tmp_path / "out", "holds no image"),
        (fields, fields, "lies in the source"),
        (fields, fields / "tiles", "lies in the source"),
        (fields, taken, "not empty"),
        (fields, tmp_path, "not empty"),
        (fields, taken / "thesis.tex", "is a file"),
    ]
    for source, out, message in cases:
        with pytest.raises(errors.FolderError, match=message):
            prepare.number_images(source, out)
    with pytest.raises(errors.FolderError, match="is a file"):
        prepare.number_images(fields / "control" / "a1.tif", in_place=True)
    assert [path.name for path in taken.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,well\na,b\n", "needs one column `file`"),
        ("file,well,well\na,b,c\n", "no column twice"),
        ("file,well\ncontrol/a1.tif\n", "line 2: 1 values for 2 columns"),
        ("file,well\ncontrol/a1.tif,a\ncontrol\\a1.tif,b\n", "line 3: control/a1.tif again"),
        ('file,well\ncontrol/a1.tif,"a\n', "not a CSV table"),
    ],
)
def test_tables_that_cannot_be(fields: Path, tmp_path: Path, table: str, message: str) -> None:
    (fields / "groups.csv").write_text(table)
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.slice_images(fields, tmp_path / "out", tiles=4)


def test_tables_that_contradict_each_other(fields: Path, tmp_path: Path) -> None:
    (fields / "manifest.csv").write_text("file,field,well\ncontrol/a1.tif,one,Z99\n")
    with pytest.raises(errors.InvalidInput, match=r"well=Z99 in manifest.csv and well=B02"):
        prepare.slice_images(fields, tmp_path / "out", tiles=4)
    (fields / "manifest.csv").write_text("file,field,day\ncontrol/a1.tif,one,3\n")
    table = prepare.slice_images(fields, tmp_path / "out", tiles=1)
    assert list(table["field"]) == ["one", "control/a2", "treated/b9", "treated/b10"]
    assert list(table["well"]) == ["B02", "B03", "C03", "C02"]
    assert list(table["day"]) == ["3", "", "", ""]


def test_names_in_any_script_are_ordered(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = ["b10.png", "b9.png", "٣.png", "10.png", "9.png", "²3.png", "B2.png", "a b.png"]
    for name in names:
        (folder / name).write_bytes(name.encode())
    table = prepare.number_images(folder, tmp_path / "out")
    assert list(table["source"])[:6] == [
        "9.png",
        "10.png",
        "a b.png",
        "B2.png",
        "b9.png",
        "b10.png",
    ]
    assert sorted(table["source"]) == sorted(names)


def test_in_place_with_rows_that_have_no_image(fields: Path) -> None:
    (fields / "control" / "a1.tif").unlink()
    with pytest.raises(errors.InvalidInput, match=r"without an image, first: control/a1.tif"):
        prepare.number_images(fields, in_place=True)


# Command line


def test_the_command_line(fields: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    tiles, turned = tmp_path / "tiles", tmp_path / "turned"
    result = runner.invoke(app, ["slice", str(fields), "--out", str(tiles), "--grid", "2x3"])
    assert result.exit_code == 0, result.output
    assert "24 tiles of 4 images" in result.stdout
    result = runner.invoke(app, ["rotate", str(tiles), "--out", str(turned), "--angles", "-5,-4"])
    assert result.exit_code == 0, result.output
    assert "48 copies of 24 images" in result.stdout
    result = runner.invoke(app, ["number", str(turned), "--in-place"])
    assert result.exit_code == 0, result.output
    assert manifest(turned)[0]["transformation"] == (
        "slice r=0 c=0 y=0 x=0 h=20 w=20; rotate -4; number 0"
    )
    with_size = ["slice", str(fields), "--out", str(tmp_path / "s"), "--size", "16x16"]
    result = runner.invoke(app, [*with_size, "--overlap", "4", "--edge", "shift"])
    assert result.exit_code == 0, result.output
    assert len(manifest(tmp_path / "s")) == 4 * 3 * 5


def test_notices_go_to_standard_error(fields: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["slice", str(fields), "--out", str(tmp_path / "out"), "--size", "32x32"]
    )
    assert result.exit_code == 0, result.output
    assert "note: control/a1.tif and 3 other(s): 8 rows at the lower" in result.stderr
    assert "note" not in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["slice", "--tiles", "4", "--grid", "2x2"],
        ["slice", "--grid", "2by2"],
        ["slice", "--grid", "2"],
        ["slice", "--size", "-2x2"],
        ["slice", "--tiles", "0"],
        ["slice"],
        ["rotate", "--angles", "5,,6"],
        ["rotate", "--angles", "a"],
    ],
)
def test_wrong_options_reach_the_main_command_as_invalid_input(
    fields: Path, tmp_path: Path, command: list[str]
) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, [command[0], str(fields), "--out", str(out), *command[1:]])
    assert isinstance(result.exception, errors.InvalidInput), result.output
    assert result.exception.exit_code == 2
    assert not out.exists()
