"""Decoding: every rule of `cellvision.data.files`, on files made here, and every bad input."""

from __future__ import annotations

import io
import os
import runpy
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from PIL import Image, ImageOps

from cellvision import DecodedImage
from cellvision.data.decoders import common
from cellvision.errors import UnreadableImage
from cellvision.io import IMAGE_SUFFIXES, is_phantom, read_image

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (7, 5), np.uint8)
RGB = RANDOM.integers(0, 256, (7, 5, 3), np.uint8)
WIDE = RANDOM.integers(0, 4096, (7, 5), np.uint16)
WIDE_RGB = RANDOM.integers(0, 65536, (7, 5, 3), np.uint16)


@pytest.fixture(autouse=True)
def _silence(capfd: pytest.CaptureFixture[str]) -> Any:
    """Fail where a library prints or warns on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
    assert capfd.readouterr().err == ""


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def tiff(path: Path, data: Any, **options: Any) -> DecodedImage:
    tifffile.imwrite(path / "a.tif", data, **options)
    return read_image(path / "a.tif")


def pillow(path: Path, pixels: Any, name: str, **options: Any) -> DecodedImage:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path / name, **options)
    return read_image(path / name)


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes], more: bytes = b""):
    """Return a PNG, byte by byte; `more` goes between its header and its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    body = chunk(b"IHDR", header) + more + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def ifd(
    path: Path, tags: dict[int, tuple[int, int]], tail: bytes = b"", following: int = 0
) -> Path:
    """Write a little-endian TIFF of one page from {tag: (type, value)}, then `tail`."""
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value)
        for tag, (kind, value) in sorted(tags.items())
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following)
    return write(path / "made.tif", head + tail)


def refused(path: Path | str, *words: str) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        read_image(path)
    fault = caught.value
    assert fault.file == str(path)
    assert "\n" not in fault.reason
    assert "\n" not in fault.hint
    assert fault.hint
    for word in words:
        assert word in fault.reason
    return fault


# --- PNG, JPEG, BMP, WebP -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.webp", "a.tif", "a.ppm"])
def test_rgb_of_8_bits(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    image = pillow(tmp_path, RGB, name, **options)
    assert_array_equal(image.pixels, RGB)
    assert (image.pixels.dtype, image.bit_depth, image.notes) == (np.uint8, 8, ())


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.pgm"])
def test_grey_of_8_bits(tmp_path: Path, name: str) -> None:
    image = pillow(tmp_path, GREY, name)
    assert_array_equal(image.pixels, GREY[..., None])
    assert (image.pixels.dtype, image.bit_depth) == (np.uint8, 8)


@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_jpeg_as_another_decoder_reads_it(tmp_path: Path, pixels: Any) -> None:
    image = pillow(tmp_path, pixels, "a.jpg", subsampling=0)
    other = imagecodecs.jpeg_decode((tmp_path / "a.jpg").read_bytes())
    assert_array_equal(image.pixels, other.reshape(7, 5, -1))


@pytest.mark.parametrize("name", ["a.png", "a.pgm", "a.tif"])
def test_grey_of_16_bits(tmp_path: Path, name: str) -> None:
    image = pillow(tmp_path, WIDE, name)
    assert_array_equal(image.pixels, WIDE[..., None])
    assert (image.pixels.dtype, image.bit_depth) == (np.uint16, 16)
    assert image.pixels.dtype.isnative


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colour_png_of_16_bits_keeps_its_bits(tmp_path: Path, channels: int) -> None:
    pixels = RANDOM.integers(0, 65536, (7, 5, channels), np.uint16)
    image = read_image(write(tmp_path / "a.png", imagecodecs.png_encode(pixels)))
    count = 1 if channels == 2 else 3
    assert_array_equal(image.pixels, pixels[..., :count])
    assert (image.pixels.dtype, image.bit_depth) == (np.uint16, 16)
    assert [note.split(",")[0] for note in image.notes] == (
        [] if channels == 3 else ["alpha channel dropped"]
    )


def test_orientation_of_a_16_bit_colour_png(tmp_path: Path) -> None:
    rows = [row.astype(">u2").tobytes() for row in WIDE_RGB]
    data = png(5, 7, 16, 2, rows, chunk(b"eXIf", exif(6).removeprefix(b"Exif\0\0")))
    image = read_image(write(tmp_path / "a.png", data))
    assert_array_equal(image.pixels, np.rot90(WIDE_RGB, -1))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.pbm"])
def test_one_bit_is_bool(tmp_path: Path, name: str) -> None:
    bits = GREY > 127
    image = pillow(tmp_path, bits, name)
    assert image.pixels.dtype == bool
    assert image.bit_depth == 1
    assert_array_equal(image.pixels, bits[..., None])


@pytest.mark.parametrize(("depth", "factor"), [(2, 85), (4, 17)])
def test_grey_of_few_bits_is_spread_exactly(tmp_path: Path, depth: int, factor: int) -> None:
    values = [0, 1, 2, 3]
    packed = b"\x1b" if depth == 2 else b"\x01\x23"
    spread = np.array(values)[None, :, None] * factor
    from_png = read_image(write(tmp_path / "a.png", png(4, 1, depth, 0, [packed])))
    tags = {256: (3, 4), 257: (3, 1), 258: (3, depth), 259: (3, 1), 262: (3, 1), 277: (3, 1)}
    tags |= {278: (3, 1), 279: (4, len(packed)), 273: (4, 8 + 2 + 12 * 9 + 4)}
    from_tiff = read_image(ifd(tmp_path, tags, packed))
    for image in (from_png, from_tiff):
        assert_array_equal(image.pixels, spread)
        assert (image.pixels.dtype, image.bit_depth) == (np.uint8, 8)
        assert image.notes == (f"{depth}-bit values spread to 8 bits (times {factor})",)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_dropped(tmp_path: Path, mode: str) -> None:
    whole = RANDOM.integers(0, 256, (7, 5, len(mode)), np.uint8)
    image = pillow(tmp_path, whole, "a.png")
    assert_array_equal(image.pixels, whole[..., :-1])
    low, high = whole[..., -1].min(), whole[..., -1].max()
    assert image.notes == (f"alpha channel dropped, although it varies ({low} to {high})",)
    assert [(note.kind, note.warning) for note in image.notes] == [("varying_alpha_dropped", True)]
    whole[..., -1] = 255
    image = pillow(tmp_path, whole, "a.png")
    assert image.notes == ("alpha channel dropped",)
    assert [(note.kind, note.warning) for note in image.notes] == [("alpha_dropped", False)]


def test_a_transparent_colour_is_ignored(tmp_path: Path) -> None:
    image = pillow(tmp_path, GREY, "a.png", transparency=3)
    assert_array_equal(image.pixels, GREY[..., None])
    assert image.notes == ("transparent colour ignored",)


@pytest.mark.parametrize("depth", [1, 2, 8])
def test_a_palette_whose_transparency_varies(tmp_path: Path, depth: int) -> None:
    """Black in several opacities: what was visible is not in the colours."""
    palette = chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\x40")
    for row, varies in ((b"\0\1" if depth == 8 else b"\x40\0", True), (b"\0\0", False)):
        width = 16 // depth
        image = read_image(write(tmp_path / "a.png", png(width, 1, depth, 3, [row], palette)))
        assert image.pixels.shape == (1, width, 1)
        assert not image.pixels.any()
        warned = [str(note) for note in image.notes if note.warning]
        expected = "transparency of the palette ignored, although it varies (64 to 255)"
        assert warned == ([expected] if varies else [])


@pytest.mark.parametrize("name", ["a.png", "a.bmp"])
def test_palettes(tmp_path: Path, name: str) -> None:
    ramp, inverted, colours = (Image.fromarray(GREY).convert("L") for _ in range(3))
    table = RANDOM.integers(0, 256, (256, 3), np.uint8)
    ramp.putpalette([v for v in range(256) for _ in "rgb"])
    inverted.putpalette([255 - v for v in range(256) for _ in "rgb"])
    colours.putpalette(table.ravel().tolist())
    assert_array_equal(pillow(tmp_path, ramp, name).pixels, GREY[..., None])
    assert_array_equal(pillow(tmp_path, inverted, name).pixels, 255 - GREY[..., None])
    image = pillow(tmp_path, colours, name)
    assert_array_equal(image.pixels, table[GREY])
    assert image.notes == ("palette mapped to RGB (8-bit)",)


def test_a_short_grey_ramp_keeps_its_values(tmp_path: Path) -> None:
    palette = chunk(b"PLTE", bytes(v for v in range(4) for _ in "rgb"))
    image = read_image(write(tmp_path / "a.png", png(4, 1, 2, 3, [b"\x1b"], palette)))
    assert image.pixels.ravel().tolist() == [0, 1, 2, 3]
    assert image.notes == ("palette values kept (grey ramp)",)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_exif_orientation(tmp_path: Path, name: str, orientation: int) -> None:
    image = pillow(tmp_path, RGB, name, exif=exif(orientation))
    with Image.open(tmp_path / name) as plain:
        assert_array_equal(image.pixels, np.asarray(ImageOps.exif_transpose(plain)))
    notes = () if orientation == 1 else (f"EXIF orientation {orientation} applied",)
    assert image.notes == notes


@pytest.mark.parametrize(
    "broken", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\1"]
)
def test_broken_exif_is_ignored(tmp_path: Path, broken: bytes) -> None:
    image = pillow(tmp_path, RGB, "a.jpg", exif=broken)
    assert image.pixels.shape == (7, 5, 3)
    assert len(image.notes) == 1
    assert image.notes[0].startswith("damaged EXIF ignored")


def test_only_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    image = pillow(tmp_path, frames[0], "a.png", save_all=True, append_images=frames[1:])
    assert_array_equal(image.pixels, RGB)
    assert image.notes == ("animation: only the first of 2 frames is read",)


# --- PBM, PGM, PPM --------------------------------------------------------------------------


def test_a_12_bit_pgm_keeps_its_values(tmp_path: Path) -> None:
    data = b"P5 # camera\n5 7\n# gain 2\n4095\n" + WIDE.astype(">u2").tobytes()
    image = read_image(write(tmp_path / "a.pgm", data))
    assert_array_equal(image.pixels, WIDE[..., None])
    assert (image.pixels.dtype, image.bit_depth, image.notes) == (np.uint16, 12, ())


def test_a_16_bit_ppm(tmp_path: Path) -> None:
    data = b"P6 5 7 65535\n" + WIDE_RGB.astype(">u2").tobytes()
    image = read_image(write(tmp_path / "a.ppm", data))
    assert_array_equal(image.pixels, WIDE_RGB)
    assert image.bit_depth == 16


@pytest.mark.parametrize(
    ("text", "values", "bits"),
    [
        (b"P2\n3 1\n1000\n0 5 # five\n1000\n", [0, 5, 1000], 10),
        (b"P2 3 1 15 0 5 15", [0, 5, 15], 8),
        (b"P1\n3 1\n1 01\n", [False, True, False], 1),
    ],
)
def test_plain_netpbm(tmp_path: Path, text: bytes, values: list[int], bits: int) -> None:
    image = read_image(write(tmp_path / "a.pnm", text))
    assert image.pixels.ravel().tolist() == values
    assert image.bit_depth == bits


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"P5 5 7", "header"),
        (b"P5 5 7 255\n" + bytes(34), "cut off"),
        (b"P5 1 1 70000\n\0\0", "70000"),
        (b"P5 1 1 4095\n\xff\xff", "65535 exceeds"),
        (b"P2 2 1 255 7 x1", "not a number"),
        (b"P2 2 1 255 1234", "1234 exceeds"),
        (b"P2 2 1 255 12 ", "cut off"),
        (b"P2 2 1 255 12 # 99", "cut off"),
        (b"P2 2 1 255 -1 3", "range"),
        (b"P5 0 5 255\n", "without pixels"),
        (b"P6 100000 100000 255\n", "GiB"),
    ],
)
def test_bad_netpbm(tmp_path: Path, data: bytes, word: str) -> None:
    refused(write(tmp_path / "a.pgm", data), word)


# --- TIFF -----------------------------------------------------------------------------------

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "bigtiff"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiff_keeps_dtype_and_values(tmp_path: Path, dtype: str, big: bool, order: str) -> None:
    pixels = RANDOM.integers(0, 100, (7, 5)).astype(dtype) - np.array(3).astype(dtype)
    image = tiff(tmp_path, pixels, byteorder=order, bigtiff=big)
    assert_array_equal(image.pixels, pixels[..., None])
    assert image.pixels.dtype == np.dtype(dtype)
    assert image.pixels.dtype.isnative
    assert image.bit_depth == 8 * np.dtype(dtype).itemsize
    assert image.notes == ()


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits(tmp_path: Path, bits: int) -> None:
    pixels = RANDOM.integers(0, 2**bits, (7, 8), np.uint16)
    image = tiff(tmp_path, pixels, bitspersample=bits)
    assert_array_equal(image.pixels, pixels[..., None])
    assert (image.pixels.dtype, image.bit_depth) == (np.uint16, bits)


@pytest.mark.parametrize(
    "options",
    [
        {"planarconfig": "separate"},
        {"tile": (16, 16)},
        {"tile": (16, 16), "planarconfig": "separate", "compression": "lzw"},
        {"compression": "lzw", "predictor": True, "rowsperstrip": 3},
        {"compression": "deflate"},
        {"compression": "lzma"},
        {"compression": "zstd"},
    ],
    ids=str,
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_rgb_tiff_however_it_is_stored(tmp_path: Path, options: Any, order: str) -> None:
    pixels = RANDOM.integers(0, 65536, (40, 33, 3), np.uint16)
    separate = options.get("planarconfig") == "separate"
    stored = pixels.transpose(2, 0, 1) if separate else pixels
    image = tiff(tmp_path, stored, photometric="rgb", byteorder=order, **options)
    assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == np.uint16
    assert image.pixels.flags.c_contiguous


def test_jpeg_within_a_tiff_is_rgb(tmp_path: Path) -> None:
    smooth = np.stack([np.add.outer(np.arange(32), np.arange(32)) * k for k in (1, 2, 3)], -1)
    pixels = smooth.astype(np.uint8)
    image = tiff(tmp_path, pixels, photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.photometric == 6  # stored as YCbCr
    assert image.pixels.shape == (32, 32, 3)
    assert np.abs(image.pixels.astype(int) - pixels).mean() < 2


def test_pages_are_channels(tmp_path: Path) -> None:
    pages = RANDOM.integers(0, 4096, (4, 7, 5), np.uint16)
    image = tiff(tmp_path, pages, photometric="minisblack", byteorder=">", metadata=None)
    assert_array_equal(image.pixels, np.moveaxis(pages, 0, -1))
    assert image.notes == ("4 pages read as 4 channels",)


def test_rgb_pages_are_three_channels_each(tmp_path: Path) -> None:
    pages = RANDOM.integers(0, 256, (2, 7, 5, 3), np.uint8)
    image = tiff(tmp_path, pages, photometric="rgb", metadata=None)
    assert_array_equal(image.pixels, np.concatenate(list(pages), axis=-1))
    assert image.notes == ("2 pages read as 6 channels",)


def test_a_stack_described_in_one_page(tmp_path: Path) -> None:
    pages = RANDOM.integers(0, 256, (3, 7, 5), np.uint8)
    image = tiff(tmp_path, pages, photometric="minisblack", truncate=True)
    assert_array_equal(image.pixels, np.moveaxis(pages, 0, -1))


@pytest.mark.parametrize(
    ("second", "word"),
    [(GREY[:3], "shape"), (WIDE, "dtype"), (GREY > 3, "dtype")],
    ids=["shape", "dtype", "bool"],
)
def test_unequal_pages_are_refused(tmp_path: Path, second: Any, word: str) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (GREY, GREY, second):
            file.write(page, metadata=None, photometric="minisblack")
    refused(tmp_path / "a.tif", "pages 1 and 3 of 3", word)


def test_thumbnails_and_pyramid_levels_are_not_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY, metadata=None, subifds=1)
        file.write(GREY[::2, ::2], metadata=None, subfiletype=1)
        file.write(GREY[::3, ::3], metadata=None, subfiletype=1)
    image = read_image(tmp_path / "a.tif")
    assert_array_equal(image.pixels, GREY[..., None])
    assert image.notes == ("1 page of reduced size or masks left out",)


def test_ome_tiff(tmp_path: Path) -> None:
    channels = RANDOM.integers(0, 256, (2, 7, 5), np.uint8)
    image = tiff(tmp_path, channels, ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    assert_array_equal(image.pixels, np.moveaxis(channels, 0, -1))
    assert image.notes == ("2 pages read as 2 channels",)
    stack = RANDOM.integers(0, 256, (3, 5, 2, 7, 5), np.uint8)
    options: Any = {"photometric": "minisblack", "metadata": {"axes": "TZCYX"}}
    image = tiff(tmp_path, stack, ome=True, **options)
    assert_array_equal(image.pixels, np.moveaxis(stack.reshape(30, 7, 5), 0, -1))
    assert image.notes == ("axes TZC 3x5x2 flattened to 30 channels",)


def test_one_file_of_an_ome_set_gives_its_own_planes(tmp_path: Path) -> None:
    planes = RANDOM.integers(0, 256, (2, 7, 5), np.uint8)
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="5" SizeY="7" SizeC="2" '
        'SizeZ="3" SizeT="1"><TiffData FirstZ="2" IFD="0" PlaneCount="2">'
        '<UUID FileName="other.ome.tif">u</UUID>'
        "</TiffData></Pixels></Image></OME>"
    )
    image = tiff(tmp_path, planes, photometric="minisblack", metadata=None, description=xml)
    assert_array_equal(image.pixels, np.moveaxis(planes, 0, -1))
    assert image.notes == ("2 of the 6 planes of a set of files", "2 pages read as 2 channels")


def test_imagej_hyperstack(tmp_path: Path) -> None:
    stack = RANDOM.integers(0, 4096, (2, 3, 2, 7, 5), np.uint16)
    image = tiff(tmp_path, stack, imagej=True, metadata={"axes": "TZCYX"})
    assert_array_equal(image.pixels, np.moveaxis(stack.reshape(12, 7, 5), 0, -1))
    assert image.notes == ("axes TZC 2x3x2 flattened to 12 channels",)


def test_metamorph_stk(tmp_path: Path) -> None:
    # A STK keeps all planes behind one page; its UIC2 tag counts them.
    planes = RANDOM.integers(0, 256, (3, 7, 5), np.uint8)
    start = 8 + 2 + 12 * 11 + 4
    tags = {256: (3, 5), 257: (3, 7), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 1)}
    tags |= {278: (3, 7), 279: (4, 35), 273: (4, start)}
    tags |= {33628: (4, start + 105 + 72), 33629: (5, start + 105)}
    tail = planes.tobytes() + struct.pack("<22I", *[1] * 18, 0, 1, 1, 0)
    data = bytearray(ifd(tmp_path, tags, tail).read_bytes())
    for tag, kind, count in ((33628, 4, 2), (33629, 5, 3)):
        offset = data.index(struct.pack("<HHI", tag, kind, 1))
        data[offset + 4 : offset + 8] = struct.pack("<I", count)
    image = read_image(write(tmp_path / "a.stk", bytes(data)))
    assert_array_equal(image.pixels, np.moveaxis(planes, 0, -1))


def test_white_is_zero_is_inverted(tmp_path: Path) -> None:
    image = tiff(tmp_path, GREY, photometric="miniswhite")
    assert_array_equal(image.pixels, 255 - GREY[..., None])
    assert image.notes == ("white-is-zero values inverted",)
    packed = tiff(tmp_path, WIDE, photometric="miniswhite", bitspersample=12)
    assert_array_equal(packed.pixels, 4095 - WIDE[..., None])
    bits = tiff(tmp_path, GREY > 99, photometric="miniswhite")
    assert_array_equal(bits.pixels, GREY[..., None] <= 99)
    signed = tiff(tmp_path, GREY.astype(np.int16), photometric="miniswhite")
    assert_array_equal(signed.pixels, GREY[..., None])
    assert signed.notes == ("white is zero; values kept as stored",)


@pytest.mark.parametrize("step", [257, 256, 1])
def test_tiff_grey_ramps_keep_their_values(tmp_path: Path, step: int) -> None:
    ramp = np.tile((np.arange(256) * step).astype(np.uint16), (3, 1))
    image = tiff(tmp_path, GREY, photometric="palette", colormap=ramp)
    assert_array_equal(image.pixels, GREY[..., None])
    assert (image.pixels.dtype, image.bit_depth) == (np.uint8, 8)
    assert image.notes == ("palette values kept (grey ramp)",)


def test_tiff_colour_palettes(tmp_path: Path) -> None:
    colours = RANDOM.integers(0, 256, (3, 256), np.uint16)
    image = tiff(tmp_path, GREY, photometric="palette", colormap=colours * 257)
    assert_array_equal(image.pixels, colours.T.astype(np.uint8)[GREY])
    assert image.pixels.dtype == np.uint8
    fine = RANDOM.integers(0, 65536, (3, 256), np.uint16)
    image = tiff(tmp_path, GREY, photometric="palette", colormap=fine)
    assert_array_equal(image.pixels, fine.T[GREY])
    assert (image.pixels.dtype, image.bit_depth) == (np.uint16, 16)


def test_tiff_alpha_is_dropped_and_further_channels_stay(tmp_path: Path) -> None:
    four = RANDOM.integers(0, 256, (7, 5, 4), np.uint8)
    alpha = tiff(tmp_path, four, photometric="rgb", extrasamples=["unassalpha"])
    assert_array_equal(alpha.pixels, four[..., :3])
    assert [note.split(",")[0] for note in alpha.notes] == ["alpha channel dropped"]
    more = tiff(tmp_path, four, photometric="rgb", extrasamples=["unspecified"])
    assert_array_equal(more.pixels, four)
    assert more.notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_orientation(tmp_path: Path, orientation: int) -> None:
    image = tiff(tmp_path, RGB, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    plain = Image.fromarray(RGB)
    plain.getexif()[0x0112] = orientation
    assert_array_equal(image.pixels, np.asarray(ImageOps.exif_transpose(plain)))


def test_wrong_suffix(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.tif", format="PNG")
    image = read_image(str(tmp_path / "a.tif"))
    assert_array_equal(image.pixels, GREY[..., None])
    assert image.notes == ("named .tif, but contains PNG",)


# --- bad inputs -----------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.png", "no such file")
    refused(tmp_path, "it is a folder")
    refused(write(tmp_path / "empty.png", b""), "empty")
    refused(write(tmp_path / "text.png", b"BM is no bitmap, only two letters"), "not an image")
    refused(write(tmp_path / "readme.txt", b"hello"), "not in a supported image format")
    refused(write(tmp_path / "one.tif", b"I"), "not an image")
    refused(f"{tmp_path}/nul\0byte.png", "null")
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "regular file")


@pytest.mark.parametrize("suffix", ["nd2", "czi", "lif"])
def test_files_of_microscopes_name_the_plugin_that_reads_them(tmp_path: Path, suffix: str) -> None:
    magic = {"nd2": b"\xda\xce\xbe\x0a", "czi": b"ZISRAWFILE"}.get(suffix, b"p\0\0\0")
    path = write(tmp_path / f"cells.{suffix}", magic + bytes(200))
    with pytest.raises(UnreadableImage) as caught:
        read_image(path)
    assert f"cellvision-bioio[{suffix}]" in caught.value.hint


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.png", b"secret")

    def locked(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", locked)  # chmod would not stop a privileged user
    refused(path, "no permission")


@pytest.mark.parametrize(
    ("name", "magic", "word"),
    [
        ("a.gif", b"GIF89a", "GIF"),
        ("a.ico", b"\0\0\1\0", "ICO"),
        ("a.tga", b"\0\0\2\0", "TGA"),
        ("a.czi", b"ZISRAWFILE", "CZI"),
        ("a.png", b"GIF89a", "GIF"),
    ],
)
def test_formats_that_are_not_read(tmp_path: Path, name: str, magic: bytes, word: str) -> None:
    fault = refused(write(tmp_path / name, magic + bytes(200)), word)
    assert "TIFF" in fault.hint or "bioio" in fault.hint
    assert Path(name).suffix in IMAGE_SUFFIXES


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_is_refused(tmp_path: Path, name: str) -> None:
    Image.new("CMYK", (5, 7)).save(tmp_path / name)
    assert "RGB" in refused(tmp_path / name, "CMYK").hint


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.webp", "a.tif", "a.ppm"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_files_that_are_cut_off(tmp_path: Path, name: str, share: float) -> None:
    buffer = io.BytesIO()
    noise = RANDOM.integers(0, 256, (40, 40, 3), np.uint8)
    kind = {"jpg": "JPEG", "tif": "TIFF", "ppm": "PPM"}.get(name[2:], name[2:])
    Image.fromarray(noise).save(buffer, kind)
    whole = buffer.getvalue()
    refused(write(tmp_path / name, whole[: int(len(whole) * share)]))


def test_a_damaged_png(tmp_path: Path) -> None:
    for pixels in (GREY, WIDE_RGB):
        data = bytearray(imagecodecs.png_encode(pixels))
        data[data.index(b"IDAT") + 4] ^= 0xFF
        refused(write(tmp_path / "a.png", bytes(data)), "damaged PNG")


def test_a_stack_that_is_cut_off_loses_no_page_in_silence(tmp_path: Path) -> None:
    pages = RANDOM.integers(0, 256, (3, 32, 32), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            file.write(page, metadata=None, contiguous=False)
    data = (tmp_path / "a.tif").read_bytes()
    assert read_image(tmp_path / "a.tif").pixels.shape == (32, 32, 3)
    for share in (0.4, 0.7, 0.95):
        refused(write(tmp_path / "cut.tif", data[: int(len(data) * share)]), "damaged TIFF")


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_strips_beyond_the_end_of_the_file(tmp_path: Path, compression: str | None) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages.first.tags[273].overwrite(10**6)
    refused(tmp_path / "a.tif", "cut off")


def test_strips_without_data(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="deflate", rowsperstrip=3)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        tag = file.pages.first.tags[279]
        tag.overwrite((tag.value[0], 0, tag.value[2]))
    refused(tmp_path / "a.tif", "1 of its 3 strips")


def test_colour_spaces_without_a_faithful_rgb(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="cielab")
    refused(tmp_path / "a.tif", "CIELAB")
    tifffile.imwrite(tmp_path / "c.tif", GREY.astype(np.complex64))
    refused(tmp_path / "c.tif", "64 bits")


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    for depth, colour in ((8, 0), (8, 2), (16, 2)):
        data = png(100_000, 100_000, depth, colour, [b""])
        refused(write(tmp_path / "a.png", data), "100000 x 100000", "GiB")
    tags = {256: (4, 100_000), 257: (4, 100_000), 258: (3, 8), 259: (3, 8), 262: (3, 1)}
    tags |= {277: (3, 1), 278: (4, 100_000), 279: (4, 9), 273: (4, 8)}
    refused(ifd(tmp_path, tags), "100000 x 100000", "GiB")
    pages = tmp_path / "pages.tif"
    tifffile.imwrite(pages, np.zeros((3, 4, 4), np.uint8), photometric="minisblack", metadata=None)
    limit = common.MAX_DECODED_BYTES
    assert limit == 4 * 2**30
    jpeg = io.BytesIO()
    Image.fromarray(RGB).save(jpeg, "JPEG")
    header = bytearray(jpeg.getvalue())
    offset = header.index(b"\xff\xc0") + 5
    header[offset : offset + 4] = b"\xff\xdc\xff\xdc"
    refused(write(tmp_path / "a.jpg", bytes(header)), "65500 x 65500", "GiB")


def test_the_limit_counts_all_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = np.zeros((3, 4, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    monkeypatch.setattr(common, "MAX_DECODED_BYTES", 47)
    refused(tmp_path / "a.tif", "3 channels")
    monkeypatch.setattr(common, "MAX_DECODED_BYTES", 48)
    assert read_image(tmp_path / "a.tif").pixels.shape == (4, 4, 3)


def test_a_large_slide_passes_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow(tmp_path, RGB, "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)  # Pillow's own limit, far exceeded
    assert_array_equal(read_image(tmp_path / "a.png").pixels, RGB)


# --- the rest -------------------------------------------------------------------------------


def test_threads_decode_at_once(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    write(tmp_path / "b.png", imagecodecs.png_encode(WIDE_RGB))
    tifffile.imwrite(tmp_path / "c.tif", WIDE_RGB, photometric="rgb", compression="lzw")
    names = [tmp_path / name for name in ("a.png", "b.png", "c.tif")] * 40
    expected = [RGB, WIDE_RGB, WIDE_RGB] * 40
    with ThreadPoolExecutor(8) as pool:
        for image, pixels in zip(pool.map(read_image, names), expected, strict=True):
            assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize(
    ("name", "phantom"),
    [
        (".DS_Store", True),
        ("._cell.tif", True),
        (".hidden.png", True),
        ("Thumbs.db", True),
        ("desktop.ini", True),
        ("Desktop.ini", True),
        ("cell.tif", False),
        ("thumbs.png", False),
    ],
)
def test_phantoms(name: str, phantom: bool) -> None:
    assert is_phantom(Path("folder") / name) is phantom


def test_suffixes() -> None:
    assert {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".tif", ".tiff"} <= IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_SUFFIXES)
    assert not {".csv", ".txt", ".json", ".md"} & IMAGE_SUFFIXES


SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.sampled_from([shape, (*shape, 3)])
)
IMAGES = st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: arrays(dtype, SHAPES))


@settings(max_examples=60, deadline=None)
@given(pixels=IMAGES)
def test_png_round_trip(tmp_path_factory: pytest.TempPathFactory, pixels: Any) -> None:
    path = tmp_path_factory.mktemp("png") / "a.png"
    image = read_image(write(path, imagecodecs.png_encode(pixels)))
    assert_array_equal(image.pixels, pixels.reshape(*pixels.shape[:2], -1))
    assert (image.pixels.dtype, image.notes) == (pixels.dtype, ())


@settings(max_examples=60, deadline=None)
@given(
    pixels=IMAGES,
    order=st.sampled_from("<>"),
    compression=st.sampled_from([None, "lzw", "deflate"]),
    planar=st.booleans(),
)
def test_tiff_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    pixels: Any,
    order: Any,
    compression: str | None,
    planar: bool,
) -> None:
    rgb = pixels.ndim == 3
    stored = pixels.transpose(2, 0, 1) if rgb and planar else pixels
    image = tiff(
        tmp_path_factory.mktemp("tiff"),
        stored,
        byteorder=order,
        compression=compression,
        photometric="rgb" if rgb else "minisblack",
        planarconfig="separate" if rgb and planar else None,
    )
    assert_array_equal(image.pixels, pixels.reshape(*pixels.shape[:2], -1))
    assert image.pixels.dtype == pixels.dtype


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=300), kind=st.sampled_from(["png", "jpg", "tif", "webp", "pgm"]))
def test_rubbish_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: str
) -> None:
    magic = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff", "tif": b"II*\0"}
    magic |= {"webp": b"RIFF\x40\0\0\0WEBP", "pgm": b"P5\n"}
    path = write(tmp_path_factory.mktemp("rubbish") / "a.png", magic[kind] + content)
    try:
        image = read_image(path)
    except UnreadableImage as caught:
        outcome = len(caught.reason.splitlines())
    else:
        outcome = image.pixels.ndim - 2
    assert outcome == 1


# --- the collection of awkward files ----------------------------------------------------------

AWKWARD = {  # shape, dtype, bits, lowest, highest
    "cellprofiler_01_POS002_D.TIF": ((1006, 1000, 1), "uint8", 8, 0, 211),
    "cellprofiler_0_1_N_G.png": ((1040, 1392, 1), "uint16", 16, 23808, 65535),
    "cellprofiler_AS_09125_050116030001_D03f00d0.tif": ((512, 512, 1), "uint8", 8, 7, 255),
    "imageio_calcium_imaging.tif": ((30, 40, 1000), "uint16", 16, 38, 16268),
    "ometypes_ome.tiff": ((6, 6, 2), "uint8", 8, 0, 0),
    "pillow_12bit.cropped.tif": ((100, 100, 1), "uint16", 12, 0, 30),
    "pillow_16_bit_noise.tif": ((32, 32, 1), "uint16", 16, 106, 285),
    "pillow_16bit.cropped.tif": ((64, 64, 1), "uint16", 16, 291, 694),
    "pillow_16bit.s.tif": ((10, 10, 1), "int16", 16, 0, 32767),
    "pillow_flower.webp": ((360, 480, 3), "uint8", 8, 0, 255),
    "pillow_hopper_float_dpi_2.tif": ((128, 128, 3), "uint8", 8, 0, 255),
    "pillow_hopper_lzma.tif": ((128, 128, 3), "uint8", 8, 0, 255),
    "pillow_hopper_orientation_6.jpg": ((128, 128, 3), "uint8", 8, 0, 255),
    "pillow_i_trns.png": ((64, 64, 1), "uint16", 16, 0, 255),
    "pillow_tiff_adobe_deflate.tif": ((374, 278, 3), "uint8", 8, 0, 255),
    "pillow_tiff_tiled_planar_16bit_RGB.tiff": ((40, 100, 3), "uint16", 16, 0, 39661),
    "skimage_checker_bilevel.png": ((10, 10, 1), "bool", 1, 0, 1),
    "skimage_chessboard_GRAY_U16B.tif": ((200, 200, 1), "uint16", 16, 0, 255),
    "skimage_multipage.tif": ((15, 10, 2), "uint8", 8, 0, 255),
    "skimage_palette_color.png": ((10, 10, 3), "uint8", 8, 0, 255),
    "wndcharm_t1_s01_c05_ij.tif": ((113, 113, 1), "uint16", 16, 411, 1465),
}
REFUSED = {
    "SOURCE.md": "not in a supported image format",
    "imageio_newtonscradle.gif": "GIF",
    "pillow_broken_data_stream.png": "damaged PNG",
    "pillow_decompression_bomb.ico": "ICO",
    "pillow_hopper.gif": "GIF",
    "pillow_hopper_bad_exif.jpg": "Corrupt JPEG data",  # Pillow reads it, with half its rows wrong
    "pillow_la.tga": "TGA",
    "pillow_multipage.tiff": "pages 1 and 2 of 3 differ in palette",
    "pillow_pil_sample_cmyk.jpg": "CMYK",
    "pillow_tiff_strip_cmyk_jpeg.tif": "CMYK",
    "pillow_truncated_jpeg.jpg": "Premature end",
    "skimage_truncated.jpg": "damaged JPEG",
}
PILLOW_DIFFERS = {
    "imageio_calcium_imaging.tif",  # it gives the first page
    "ometypes_ome.tiff",
    "skimage_multipage.tif",
    "pillow_hopper_orientation_6.jpg",  # it leaves the turning to the caller
    "pillow_tiff_tiled_planar_16bit_RGB.tiff",  # it cuts 16 bits down to 8
    "skimage_palette_color.png",  # it gives indices
}


def test_every_awkward_file_is_read_or_refused(shared_data: Path) -> None:
    folder = shared_data / "awkward"
    assert {path.name for path in folder.iterdir()} == AWKWARD.keys() | REFUSED.keys()
    for name, expected in AWKWARD.items():
        image = read_image(folder / name)
        pixels = image.pixels
        properties = (pixels.shape, str(pixels.dtype), image.bit_depth, pixels.min(), pixels.max())
        assert properties == expected, name
        if name not in PILLOW_DIFFERS:
            with Image.open(folder / name) as other:
                plain = np.asarray(other)
            assert_array_equal(pixels, plain.reshape(pixels.shape), err_msg=name)
    for name, word in REFUSED.items():
        refused(folder / name, word)


def test_the_table_of_the_documentation_is_true(shared_data: Path) -> None:
    docs = Path(__file__).resolve().parents[1] / "docs"
    page = runpy.run_path(str(docs.parent / "scripts" / "awkward.py"))["page"]
    assert page(shared_data / "awkward") == (docs / "awkward-files.md").read_text("utf-8")
