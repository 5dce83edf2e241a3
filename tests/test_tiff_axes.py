"""Axes that a TIFF declares: planes come out in one order, and none is lost or mixed up."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

from cellvision import DecodedImage
from cellvision.errors import UnreadableImage
from cellvision.io import read_image

RANDOM = np.random.default_rng(2)
MINISBLACK: Any = {"photometric": "minisblack"}


def write(path: Path, data: Any, **options: Any) -> DecodedImage:
    tifffile.imwrite(path / "a.tif", data, **options)
    return read_image(path / "a.tif")


def refused(path: Path, *words: str) -> None:
    with pytest.raises(UnreadableImage) as caught:
        read_image(path)
    for word in words:
        assert word in caught.value.reason


def noise(*shape: int) -> Any:
    return RANDOM.integers(0, 4096, shape, np.uint16)


def flat(stack: Any) -> Any:
    """Return (T, Z, C, Y, X) as (Y, X, T·Z·C)."""
    return np.moveaxis(stack.reshape(-1, *stack.shape[-2:]), 0, -1)


# --- arrays written by tifffile ---------------------------------------------------------------


@pytest.mark.parametrize("shape", [(32, 32, 2), (20, 30, 5), (64, 48, 16), (256, 200, 40)])
def test_channels_last_are_channels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    image = write(tmp_path, pixels, **MINISBLACK)
    assert_array_equal(image.pixels, pixels)
    assert [(note.kind, note.warning) for note in image.notes] == [("axes_assumed", True)]
    image = write(tmp_path, pixels, metadata={"axes": "YXC"}, **MINISBLACK)
    assert_array_equal(image.pixels, pixels)
    assert image.notes == ()


@pytest.mark.parametrize("shape", [(48, 40, 1, 2), (1, 48, 40, 2), (48, 40, 2, 1), (64, 64, 32)])
def test_axes_of_length_one_and_square_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    image = write(tmp_path, pixels, **MINISBLACK)
    assert_array_equal(image.pixels, pixels.reshape([size for size in shape if size > 1]))
    assert [(note.kind, note.warning) for note in image.notes] == [("axes_assumed", True)]


@pytest.mark.parametrize("text", ["shape=(32, 24, 2)", "shape=(32,24,2)", "shape=(1, 32, 24, 2,)"])
def test_descriptions_of_old_versions(tmp_path: Path, text: str) -> None:
    pixels = noise(32, 24, 2)
    image = write(tmp_path, pixels, description=text, metadata=None, **MINISBLACK)
    assert_array_equal(image.pixels, pixels)
    pages = noise(3, 9, 8)
    for other in ("shape=(9, 9)", "shape=()", "shape=" + "9" * 99, "shape=(" + "1" * 10**5):
        image = write(tmp_path, pages, description=other, metadata=None, **MINISBLACK)
        assert image.pixels.shape == (9, 8, 3)


@pytest.mark.parametrize("shape", [(2, 32, 32), (5, 20, 30), (100, 40, 30), (7, 9, 7)])
def test_pages_of_plausible_images_are_channels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    image = write(tmp_path, pixels, **MINISBLACK)
    assert_array_equal(image.pixels, np.moveaxis(pixels, 0, -1))
    assert [note.kind for note in image.notes] == ["pages_as_channels"]


def test_rgb_is_not_touched(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (9, 8, 3), np.uint8)
    assert_array_equal(write(tmp_path, pixels).pixels, pixels)
    stack = RANDOM.integers(0, 256, (2, 9, 8, 3), np.uint8)
    image = write(tmp_path, stack, photometric="rgb")
    assert_array_equal(image.pixels, np.concatenate(list(stack), axis=-1))
    planar = write(
        tmp_path, stack[0].transpose(2, 0, 1), photometric="rgb", planarconfig="separate"
    )
    assert_array_equal(planar.pixels, stack[0])


@pytest.mark.parametrize("order", ["".join(o) for o in itertools.permutations("TZC")])
@pytest.mark.parametrize("kind", ["ome", "shaped"])
def test_planes_come_out_in_one_order(tmp_path: Path, order: str, kind: str) -> None:
    stack = noise(2, 3, 4, 9, 8)
    stored = stack.transpose(*["TZC".index(axis) for axis in order], 3, 4)
    options: Any = {"ome": True} if kind == "ome" else {}
    image = write(tmp_path, stored, metadata={"axes": f"{order}YX"}, **options, **MINISBLACK)
    assert_array_equal(image.pixels, flat(stack))
    assert image.notes[0] == "axes TZC 2x3x4 flattened to 24 channels"
    changed = [f"planes stored in the order {order} put in the order TZC"]
    assert list(image.notes[1:]) == ([] if order == "TZC" else changed)


def test_height_and_width_are_what_the_axes_say(tmp_path: Path) -> None:
    pixels = noise(4, 9, 8)
    image = write(tmp_path, pixels, metadata={"axes": "XYC"}, **MINISBLACK)
    assert_array_equal(image.pixels, pixels.transpose(1, 0, 2))
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata={"axes": "QZC"}, **MINISBLACK)
    refused(tmp_path / "a.tif", "no height and width")


def test_a_shaped_stack_that_is_cut_off(tmp_path: Path) -> None:
    write(tmp_path, noise(4, 9, 8), **MINISBLACK, truncate=True)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: -2 * 9 * 8])
    refused(tmp_path / "a.tif", "declares 4 planes, the file holds 3")


def test_a_description_of_other_pixels_is_ignored(tmp_path: Path) -> None:
    for text in ('{"shape": [5, 7]}', '{"shape": [0]}', '{"shape": ', '{"shape": "' + "9" * 99):
        image = write(tmp_path, noise(9, 8), description=text, metadata=None)
        assert image.pixels.shape == (9, 8, 1)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise(2, 9, 8), **MINISBLACK)
        writer.write(noise(3, 9, 8), **MINISBLACK)
    refused(tmp_path / "a.tif", "2 series of images")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(3):  # page by page, each with its own description
            writer.write(noise(9, 8), contiguous=False, **MINISBLACK)
    assert read_image(tmp_path / "a.tif").pixels.shape == (9, 8, 3)


# --- ImageJ -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [False, True], ids=["one page", "several pages"])
def test_imagej_stacks_that_are_cut_off(tmp_path: Path, pages: bool) -> None:
    stack = noise(4, 9, 8)
    path = tmp_path / "a.tif"
    if pages:
        with tifffile.TiffWriter(path) as writer:
            text = "ImageJ=1.11a\nimages=4\nslices=4\n"
            for plane in stack[:3]:
                writer.write(plane, description=text, metadata=None, contiguous=False)
                text = None
    else:
        # ImageJ keeps all planes behind one page: here as many rows as 3 planes have
        text = "ImageJ=1.11a\nimages=4\nslices=4\n"
        tifffile.imwrite(path, stack.reshape(36, 8), description=text, metadata=None)
        with tifffile.TiffFile(path, mode="r+") as tiff:
            for tag in (257, 278):
                tiff.pages.first.tags[tag].overwrite(9)
            tiff.pages.first.tags[279].overwrite(9 * 8 * 2)
        assert_array_equal(read_image(path).pixels, np.moveaxis(stack, 0, -1))
        path.write_bytes(path.read_bytes()[: -2 * 9 * 8])
    refused(path, "ImageJ description declares 4 planes, the file holds 3")


@pytest.mark.parametrize("line", ["images=-4", "slices=0", "channels=99999999999", "frames=x"])
def test_invalid_imagej_descriptions(tmp_path: Path, line: str) -> None:
    text = f"ImageJ=1.11a\n{line}\n"
    tifffile.imwrite(tmp_path / "a.tif", noise(9, 8), description=text, metadata=None)
    refused(tmp_path / "a.tif", "ImageJ description")


def test_imagej_colour_and_calibration(tmp_path: Path) -> None:
    rgb = RANDOM.integers(0, 256, (2, 9, 8, 3), np.uint8)
    image = write(tmp_path, rgb, imagej=True, metadata={"axes": "ZYXS"})
    assert_array_equal(image.pixels, np.concatenate(list(rgb), axis=-1))
    text = "ImageJ=1.53t\nimages=1\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=Gray Value\n"
    image = write(tmp_path, noise(9, 8), description=text, metadata=None)
    assert [(note.kind, note.warning) for note in image.notes] == [("calibration_ignored", True)]


# --- OME-TIFF ---------------------------------------------------------------------------------

OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{uuid}>{images}</OME>'


def image_xml(data: str, c: int = 2, z: int = 1, order: str = "XYCZT") -> str:
    return (
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint16" '
        f'SizeX="8" SizeY="9" SizeC="{c}" SizeZ="{z}" SizeT="1">{data}</Pixels></Image>'
    )


def ome(path: Path, planes: Any, images: str, uuid: str = "") -> Path:
    text = OME.format(images=images, uuid=uuid)
    tifffile.imwrite(path / "a.ome.tif", planes, description=text, metadata=None, **MINISBLACK)
    return path / "a.ome.tif"


def test_planes_in_another_order_than_the_pages(tmp_path: Path) -> None:
    planes = noise(3, 9, 8)
    data = "".join(f'<TiffData FirstC="{c}" IFD="{(c + 1) % 3}" PlaneCount="1"/>' for c in range(3))
    image = read_image(ome(tmp_path, planes, image_xml(data, c=3)))
    assert_array_equal(image.pixels, np.moveaxis(planes[[1, 2, 0]], 0, -1))
    both = noise(4, 9, 8)  # Z before C, in two blocks that are exchanged
    data = (
        '<TiffData IFD="2" FirstC="0" PlaneCount="2"/><TiffData FirstC="1" PlaneCount="2" IFD="0"/>'
    )
    image = read_image(ome(tmp_path, both, image_xml(data, z=2, order="XYZCT")))
    z0c0, z1c0, z0c1, z1c1 = both[2], both[3], both[0], both[1]
    assert_array_equal(image.pixels, np.stack([z0c0, z0c1, z1c0, z1c1], -1))


def test_two_images_in_one_file_are_refused(tmp_path: Path) -> None:
    images = image_xml('<TiffData IFD="0"/>', c=1) + image_xml('<TiffData IFD="1"/>', c=1)
    refused(ome(tmp_path, noise(2, 9, 8), images), "2 images, not one")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ('<TiffData IFD="0" PlaneCount="2"/>', "declares 3 planes, the file holds 2"),
        ("", "declares 3 planes, the file holds 2"),
        ('<TiffData IFD="0" PlaneCount="5"/>', "do not exist"),
        ('<TiffData IFD="0" FirstC="7"/>', "does not exist"),
        ('<TiffData IFD="0"/><TiffData IFD="0" FirstC="1"/>', "page 1 twice"),
        ('<TiffData IFD="0"/><TiffData IFD="1"/>', "one plane to two pages"),
        ('<TiffData IFD="1" FirstC="1"/>', "1 of 2 pages"),
        ('<TiffData IFD="one"/>', "no numbers"),
    ],
)
def test_planes_that_do_not_add_up(tmp_path: Path, data: str, word: str) -> None:
    refused(ome(tmp_path, noise(2, 9, 8), image_xml(data, c=3)), word)


def test_one_file_of_a_set_gives_its_own_planes_in_order(tmp_path: Path) -> None:
    planes = noise(2, 9, 8)
    block = '<TiffData FirstC="{c}" IFD="{ifd}"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
    data = "".join(
        block.format(c=c, ifd=ifd, name=name, uuid=f"urn:uuid:{name}")
        for c, ifd, name in [(0, 0, "b"), (3, 0, "mine"), (1, 1, "mine"), (2, 1, "b")]
    )
    path = ome(tmp_path, planes, image_xml(data, c=4), ' UUID="urn:uuid:mine"')
    image = read_image(path)
    assert_array_equal(image.pixels, np.stack([planes[1], planes[0]], -1))
    assert image.notes[0] == "2 of the 4 planes of a set of files"


def test_hostile_xml(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE OME [<!ENTITY a "{}">]>'.format("x" * 99)
    text = bomb + OME.format(images=image_xml("&a;"), uuid="")
    tifffile.imwrite(
        tmp_path / "a.tif", noise(2, 9, 8), description=text, metadata=None, **MINISBLACK
    )
    refused(tmp_path / "a.tif", "OME-XML", "entities")
    broken = OME.format(images=image_xml("<TiffData>"), uuid="")
    refused(ome(tmp_path, noise(2, 9, 8), broken[:-30] + "OME>"), "not well-formed")


# --- colour maps ------------------------------------------------------------------------------


def test_16_bit_pages_with_a_colour_map_each_are_grey(tmp_path: Path) -> None:
    planes = noise(3, 9, 8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in planes:
            table = RANDOM.integers(0, 65536, 3 * 256).astype(np.uint16).tolist()
            extra = [(320, "H", len(table), table, True)]
            writer.write(plane, metadata=None, extratags=extra, contiguous=False, **MINISBLACK)
    image = read_image(tmp_path / "a.tif")
    assert_array_equal(image.pixels, np.moveaxis(planes, 0, -1))
    table = RANDOM.integers(0, 65536, (3, 65536)).astype(np.uint16)
    image = write(tmp_path, planes[0], photometric="palette", colormap=table, metadata=None)
    assert_array_equal(image.pixels, planes[0][..., None])
    assert [note.kind for note in image.notes] == ["colour_map_ignored"]


def test_notes_name_no_axis_twice(tmp_path: Path) -> None:
    image = write(tmp_path, noise(3, 9, 8), ome=True, metadata={"axes": "ZYX"}, **MINISBLACK)
    assert image.notes == ("axes Z 3 flattened to 3 channels",)
    assert not any(re.search(r"\b1\b", note) for note in image.notes)
