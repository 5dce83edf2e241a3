"""`prepare slice`: where tiles lie, their pixels and their provenance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from prepare_folders import manifest, noise, pixels, tree

from cellvision import errors, prepare
from cellvision.prepare.slice import layout, nearly_square

pytestmark = pytest.mark.filterwarnings("ignore::cellvision.prepare.PrepareWarning")


EDGES = ("drop", "pad", "shift")


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


def test_files_with_one_stem_get_different_outputs(tmp_path: Path) -> None:
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
    with pytest.raises(errors.UnreadableImages, match=r"z.tif: it is a broken link to .*gone.tif"):
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
    assert "3 images without a row" in text
    assert list(table["well"])[4:6] == ["B02", ""]


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
def test_invalid_slices_are_refused(
    fields: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.slice_images(fields, tmp_path / "out", **options)
