"""Damaged and hostile files: no hang, no made-up pixel, no memory beyond what is declared."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from cellvision.data.decoders import memory, netpbm
from cellvision.errors import UnreadableImage
from cellvision.io import read_image

RANDOM = np.random.default_rng(1)
GREY = RANDOM.integers(0, 256, (24, 20), np.uint8)


def refused(path: Path, *words: str) -> None:
    began = time.perf_counter()
    with pytest.raises(UnreadableImage) as caught:
        read_image(path)
    assert time.perf_counter() - began < 5
    for word in words:
        assert word in caught.value.reason


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, more: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + more + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def page(path: Path, tags: dict[int, tuple[int, int, int]], after: int, tail: bytes = b"") -> Path:
    """Write a TIFF of one directory from {tag: (type, count, value)}, then `tail`."""
    entries = b"".join(struct.pack("<HHII", tag, *rest) for tag, rest in sorted(tags.items()))
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", after)
    return write(path, head + tail)


def small(strip: int) -> dict[int, tuple[int, int, int]]:
    """Tags of 2 x 2 grey pixels in one strip."""
    tags = {256: (3, 1, 2), 257: (3, 1, 2), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    return {**tags, 273: (4, 1, strip), 277: (3, 1, 1), 278: (3, 1, 2), 279: (4, 1, 4)}


def rename_tag(path: Path, old: int, new: int) -> None:
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages.first.tags[old].offset
    data = bytearray(path.read_bytes())
    data[offset : offset + 2] = struct.pack("<H", new)
    path.write_bytes(bytes(data))


# --- endless lists of pages -------------------------------------------------------------------


def test_a_page_that_points_to_itself(tmp_path: Path) -> None:
    refused(page(tmp_path / "a.tif", small(8), after=8), "forms a ring at page 2")


def test_a_ring_of_many_pages(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for _ in range(7):
            writer.write(GREY, metadata=None, contiguous=False)
    data = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        offsets = [one.offset for one in tiff.pages]
        closing = offsets[-1] + 2 + 12 * len(tiff.pages[-1].tags)
    data[closing : closing + 4] = struct.pack("<I", offsets[3])
    refused(write(tmp_path / "a.tif", bytes(data)), "forms a ring at page 8")


def test_sub_images_that_point_to_their_parent(tmp_path: Path) -> None:
    tags = {**small(8), 330: (4, 1, 8)}
    refused(page(tmp_path / "a.tif", tags, after=0), "list of sub-images forms a ring")


def test_a_ring_in_a_big_tiff(tmp_path: Path) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, GREY, metadata=None, bigtiff=True)
    data = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        first = tiff.pages.first
        closing = first.offset + 8 + 20 * len(first.tags)
    data[closing : closing + 8] = struct.pack("<Q", first.offset)
    refused(write(tmp_path / "a.tif", bytes(data)), "forms a ring")


def test_overlapping_directories_cannot_exceed_the_file(tmp_path: Path) -> None:
    # each directory claims the whole file as the value of its tags
    size = 60_000
    tags = dict.fromkeys(range(40000, 40300), (1, size, 8))
    refused(page(tmp_path / "a.tif", tags, 0, bytes(size)), "declare more bytes than the file has")


def test_more_pages_than_any_image_has(tmp_path: Path) -> None:
    tags, pages = small(8), 16_385
    entries = b"".join(struct.pack("<HHII", tag, *rest) for tag, rest in sorted(tags.items()))
    size = 2 + len(entries) + 4
    following = [12 + number * size for number in range(1, pages)] + [0]
    chain = [struct.pack("<H", len(tags)) + entries + struct.pack("<I", k) for k in following]
    content = b"II*\0" + struct.pack("<I", 12) + bytes(4) + b"".join(chain)
    refused(write(tmp_path / "a.tif", content), "more than 16384 pages")


def test_a_list_of_pages_that_leaves_the_file(tmp_path: Path) -> None:
    refused(page(tmp_path / "a.tif", small(8), after=10**6), "breaks off after page 1")


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path, head: bytes) -> None:
    path = write(tmp_path / "a.bin", head)
    with path.open("r+b") as file:
        file.truncate(5 * 2**30)  # a hole, which takes no space
    refused(path, "it has 5.0 GiB; the limit is 4.0 GiB")


# --- made-up pixels ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "colour"), [(1, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 3), (2, 3), (8, 6)]
)
def test_a_png_with_rows_missing(tmp_path: Path, depth: int, colour: int) -> None:
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    row = b"\0" + bytes(-(-8 * depth * channels // 8))
    palette = chunk(b"PLTE", bytes(range(12)))
    whole = png(8, 16, depth, colour, zlib.compress(row * 16), palette)
    assert read_image(write(tmp_path / "whole.png", whole)).pixels.shape[:2] == (16, 8)
    half = png(8, 16, depth, colour, zlib.compress(row * 8), palette)
    refused(write(tmp_path / "half.png", half), "damaged PNG")
    cut = png(8, 16, depth, colour, zlib.compress(row * 16)[:-6], palette)
    refused(write(tmp_path / "cut.png", cut), "damaged PNG")


def test_a_png_whose_data_have_a_wrong_checksum(tmp_path: Path) -> None:
    stream = bytearray(zlib.compress(b"".join(b"\0" + row.tobytes() for row in GREY)))
    stream[-1] ^= 1
    refused(write(tmp_path / "a.png", png(20, 24, 8, 0, bytes(stream))), "damaged PNG")


def test_a_large_png_is_checked_in_pieces(tmp_path: Path) -> None:
    rows = (b"\0" + bytes(6000)) * 3000  # beyond the size that is inflated at once
    stream = zlib.compress(rows, 1)
    path = write(tmp_path / "a.png", png(6000, 3000, 8, 0, stream))
    assert read_image(path).pixels.shape == (3000, 6000, 1)
    damaged = bytearray(stream)
    damaged[-1] ^= 1
    refused(write(path, png(6000, 3000, 8, 0, bytes(damaged))), "damaged PNG")
    refused(write(path, png(6000, 3000, 8, 0, zlib.compress(rows[:-9], 1))), "does not hold")


def test_an_index_without_a_colour(tmp_path: Path) -> None:
    stream = zlib.compress(b"\0\0\1\2\3")
    palette = chunk(b"PLTE", bytes((9, 8, 7) * 3))
    refused(write(tmp_path / "a.png", png(4, 1, 8, 3, stream, palette)), "palette", "number 3")


def jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def bmp(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_jpeg_that_is_cut_and_closed(tmp_path: Path, options: Any, share: float) -> None:
    whole = jpeg(RANDOM.integers(0, 256, (64, 64), np.uint8), **options)
    assert read_image(write(tmp_path / "a.jpg", whole)).pixels.shape == (64, 64, 1)
    cut = whole[: int(share * len(whole))] + b"\xff\xd9"
    refused(write(tmp_path / "cut.jpg", cut), "damaged JPEG")


def test_a_progressive_jpeg_counts_the_coefficients_that_libjpeg_holds(tmp_path: Path) -> None:
    whole = jpeg(RANDOM.integers(0, 256, (64, 48, 3), np.uint8), progressive=True)
    path = write(tmp_path / "a.jpg", whole)
    held: list[int] = []
    with memory.holding():
        read_image(path)
        held.append(memory.bytes_in_flight())
    assert held == [64 * 48 * 3 * 3]
    frame = whole.index(b"\xff\xc2")
    large = whole[: frame + 5] + struct.pack(">HH", 50_000, 50_000) + whole[frame + 9 :]
    refused(write(path, large), "21.0 GiB when decoded")


def test_a_jpeg_with_a_scan_for_each_colour(tmp_path: Path) -> None:
    """Combine three grey files into one that is not progressive and not interleaved."""
    files = [jpeg(RANDOM.integers(0, 256, (24, 16), np.uint8)) for _ in range(3)]
    frame, scan = files[0].index(b"\xff\xc0"), files[0].index(b"\xff\xda")
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    header = struct.pack(">2sHBHHB", b"\xff\xc0", 17, 8, 24, 16, 3) + components
    head = files[0][:frame] + header + files[0][frame + 13 : scan]
    scans = [
        struct.pack(">2sHBBBBBB", b"\xff\xda", 8, 1, number, 0, 0, 63, 0)
        + file[file.index(b"\xff\xda") + 10 : -2]
        for number, file in enumerate(files, start=1)
    ]
    whole = head + b"".join(scans) + b"\xff\xd9"
    assert read_image(write(tmp_path / "a.jpg", whole)).pixels.shape == (24, 16, 3)
    for kept in (1, 2):
        cut = head + b"".join(scans[:kept]) + b"\xff\xd9"
        refused(write(tmp_path / "cut.jpg", cut), "scans are missing")


def test_more_scans_than_any_jpeg_has(tmp_path: Path) -> None:
    whole = jpeg(GREY, progressive=True)
    scan = whole.rindex(b"\xff\xda")
    many = whole[:-2] + 65 * whole[scan:-2] + whole[-2:]
    refused(write(tmp_path / "a.jpg", many), "more than 64 scans")


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\x01", b"\xff\xe2\0\2"])
def test_a_jpeg_of_empty_segments_is_refused_at_once(tmp_path: Path, filling: bytes) -> None:
    began = time.process_time()
    refused(write(tmp_path / "a.jpg", b"\xff\xd8\xff\xe0\0\2" + filling * 3_000_000), "header")
    assert time.process_time() - began < 1


def test_kinds_of_jpeg_that_are_not_read_are_not_called_damaged(tmp_path: Path) -> None:
    near_lossless = bytes(imagecodecs.jpegls_encode(GREY))
    refused(write(tmp_path / "ls.jpg", near_lossless), "it is JPEG-LS, which is not supported")
    lossless = bytearray(jpeg(GREY))
    lossless[lossless.index(b"\xff\xc0") + 1] = 0xC3
    refused(write(tmp_path / "lossless.jpg", bytes(lossless)), "it is lossless JPEG")
    wide = bytes(imagecodecs.jpeg8_encode(GREY.astype(np.uint16) * 16, bitspersample=12))
    refused(write(tmp_path / "wide.jpg", wide), "12 bits")


def test_run_lengths_may_skip_pixels(tmp_path: Path) -> None:
    head = b"BM" + struct.pack("<IHHI", 90, 0, 0, 62)
    info = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, 8, 1, 12, 0, 0, 2, 0)
    refused(write(tmp_path / "a.bmp", head + info + bytes(8) + b"\0\1" + bytes(20)), "run-length")


def test_a_jpeg_in_a_tiff_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RANDOM.integers(0, 256, (64, 64), np.uint8), compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[0], tiff.pages.first.databytecounts[0]
    data = bytearray(path.read_bytes())
    assert read_image(path).pixels.shape == (64, 64, 1)
    middle = offset + count // 2
    data[middle : offset + count] = b"\xff\xd9" + bytes(offset + count - middle - 2)
    refused(write(path, bytes(data)), "damaged JPEG")


@pytest.mark.parametrize("compression", ["lzw", "packbits", "deflate", "zstd", "lzma"])
def test_a_strip_that_is_too_short(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, compression=compression)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        first = tiff.pages.first
        first.tags[279].overwrite(first.databytecounts[0] // 2)
    refused(path, "damaged TIFF")


def test_compressions_that_cannot_be_checked_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="jpegxr")
    refused(tmp_path / "a.tif", "JPEGXR is not supported")


def test_the_only_sample_is_never_alpha(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, metadata=None, extratags=[(65000, "H", 1, 2, True)])
    rename_tag(path, 65000, 338)
    image = read_image(path)
    assert_array_equal(image.pixels, GREY[..., None])
    assert [(note.kind, note.warning) for note in image.notes] == [("alpha_kept", True)]
    both = RANDOM.integers(0, 256, (7, 5, 2), np.uint8)
    tifffile.imwrite(path, both, photometric="minisblack", extrasamples=[2], metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        assert tiff.pages.first.extrasamples == (2,)
    assert read_image(path).pixels.shape == (7, 5, 1)


def test_strips_without_byte_counts(tmp_path: Path) -> None:
    for name, options in {
        "one": {},
        "several": {"rowsperstrip": 5},
        "deflate": {"rowsperstrip": 5, "compression": "deflate"},
        "packbits": {"compression": "packbits"},
    }.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, GREY, metadata=None, **options)
        rename_tag(path, 279, 65001)
        assert_array_equal(read_image(path).pixels, GREY[..., None])


# --- memory -----------------------------------------------------------------------------------


def test_a_size_that_the_data_cannot_fill_is_refused_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> None:
        raise AssertionError("memory was taken")

    monkeypatch.setattr(imagecodecs, "png_decode", none)
    monkeypatch.setattr(imagecodecs, "deflate_decode", none)
    tiny = png(50_000, 50_000, 8, 0, zlib.compress(bytes(99)))
    refused(write(tmp_path / "a.png", tiny), "cannot hold")
    header = bytearray(jpeg(GREY))
    offset = header.index(b"\xff\xc0") + 5
    header[offset : offset + 4] = b"\x75\x30\x75\x30"
    refused(write(tmp_path / "a.jpg", bytes(header)), "cannot hold 30000 x 30000")
    bitmap = bytearray(bmp(GREY))
    bitmap[22:26] = struct.pack("<i", 100_000_000)
    refused(write(tmp_path / "a.bmp", bytes(bitmap)), "cut off")
    tags = small(8) | {256: (4, 1, 40_000), 257: (4, 1, 40_000), 278: (4, 1, 40_000)}
    tags[259] = (3, 1, 5)
    refused(page(tmp_path / "a.tif", tags, 0), "cannot hold its pixels")


def test_running_out_of_memory_refuses_one_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.pgm", b"P5 4 4 255\n" + bytes(16))

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(netpbm, "check_size", exhausted)
    refused(tmp_path / "a.pgm", "not enough memory")


def test_a_plain_pgm_needs_little_more_than_its_pixels(tmp_path: Path) -> None:
    import tracemalloc

    text = b"P2 1000 1000 65535\n" + b"# a comment\n" + b"40000 1 2 3 4 \n" * 200_000
    path = write(tmp_path / "a.pgm", text)
    read_image(path)
    tracemalloc.start()
    pixels = read_image(path).pixels
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_array_equal(pixels.ravel()[:6], [40000, 1, 2, 3, 4, 40000])
    assert pixels.nbytes == 2_000_000
    assert peak < pixels.nbytes + 12 * 2**20


def test_comments_and_numbers_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = RANDOM.integers(0, 1000, 60)
    text = "".join(f"{v}{'# 5 6 7' if k % 7 == 0 else ''}\n" for k, v in enumerate(values))
    path = write(tmp_path / "a.pgm", b"P2 6 10 999\n" + text.encode())
    bits = write(tmp_path / "a.pbm", b"P1 70 2\n# c\n" + b"01" * 70)
    for size in (1, 3, 7, 64, 1000):
        monkeypatch.setattr(netpbm, "_BLOCK_BYTES", size)
        assert_array_equal(read_image(path).pixels.ravel(), values)
        assert_array_equal(read_image(bits).pixels.ravel(), [True, False] * 70)


def test_threads_together_stay_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_BYTES_IN_FLIGHT", 100)
    peaks: list[int] = []

    def work() -> None:
        for size in (30, 40, 60, 250):
            with memory.holding():
                memory.reserve(size)
                peaks.append(memory.bytes_in_flight())
                if size < 250:
                    assert peaks[-1] <= 100
                time.sleep(0.001)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(peaks) == 32
    assert max(peaks) == 250  # larger than the budget: alone
    assert memory.bytes_in_flight() == 0


def test_a_thread_that_holds_pixels_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_BYTES_IN_FLIGHT", 10)
    with memory.holding():
        memory.reserve(8)
        with memory.holding():
            memory.reserve(8)
        assert memory.bytes_in_flight() == 16
    assert memory.bytes_in_flight() == 0


def test_reading_releases_what_it_reserved(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    read_image(tmp_path / "a.png")
    refused(write(tmp_path / "b.png", (tmp_path / "a.png").read_bytes()[:-30]))
    assert memory.bytes_in_flight() == 0


# --- the collection of hostile files ----------------------------------------------------------

HOSTILE = {
    "SOURCE.md": "not in a supported image format",
    "ij_lies.tif": "declares 4 planes",
    "imagej_stack_cut.tif": "declares 4 planes",
    "jpeg_cut_with_eoi.jpg": "damaged JPEG",
    "laugh.yaml": "not in a supported image format",
    "lie_png_60k.png": "damaged PNG",
    "loop1.tif": "forms a ring",
    "png16_rows_missing.png": "damaged PNG",
    "png_rows_missing.png": "damaged PNG",
    "zero_channels.tif": "damaged TIFF",
}


def test_every_hostile_file_is_refused_or_harmless(shared_data: Path) -> None:
    folder = shared_data / "hostile"
    names = {path.name for path in folder.iterdir()}
    assert names == HOSTILE.keys() | {"ome_lol.ome.tif"}
    for name, word in HOSTILE.items():
        refused(folder / name, word)
    image = read_image(folder / "ome_lol.ome.tif")
    assert image.pixels.shape == (10, 10, 1)
    assert image.notes == ("OME-XML ignored: it declares entities",)
