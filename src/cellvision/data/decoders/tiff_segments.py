"""Whether the strips or tiles of a TIFF page hold the pixels that it declares.

tifffile reads an absent strip as zeros, and libjpeg fills what is missing with grey: pixels that
nobody measured.
"""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import numpy as np
import tifffile

from cellvision.data.decoders import jpeg
from cellvision.data.decoders.common import COPY_AGAIN, Refusal, check_size, damaged

_NONE, _OLD_JPEG, _JPEG = 1, 6, 7
_RATIOS = {
    5: 4096,  # LZW: a code of 9 bits or more stands for at most 4096 bytes
    8: 1032,  # deflate
    32946: 1032,
    32773: 64,  # PackBits: two bytes stand for at most 128
}
_UNBOUNDED = (2, 3, 4, _OLD_JPEG, _JPEG, 34925, 50000)
"""Compressions without such a bound: CCITT, JPEG, LZMA, ZSTD."""
_JPEG_2000 = (33003, 33004, 33005, 34712)
_LARGE_TILE = 2**26
_EXPORT = "Export it uncompressed, or with LZW or deflate"


def check_segments(page: tifffile.TiffPage, handle: tifffile.FileHandle) -> None:
    """Refuse a page of which a strip or tile is absent, cut off or too short.

    Byte counts that the file leaves out are worked out as libtiff does.

    Raises
    ------
    common.Refusal
        The first fault that is met.
    """
    known = {_NONE, *_RATIOS, *_UNBOUNDED, *_JPEG_2000}
    if page.compression not in known:
        name = getattr(page.compression, "name", str(page.compression))
        raise Refusal(f"its compression {name} is not supported", _EXPORT)
    kind = "tile" if page.is_tiled else "strip"
    segments = math.prod(page.chunked)
    if segments > handle.size:
        raise damaged("TIFF", f"it declares {segments} {kind}s, more than its bytes")
    _complete_byte_counts(page, handle.size, segments)
    if page.is_contiguous:
        _check_contiguous(page, handle.size)
        return
    offsets = np.array(page.dataoffsets[:segments], np.float64)
    counts = np.array(page.databytecounts[:segments], np.float64)
    present = int(np.count_nonzero(counts[: len(offsets)] > 0))
    if present < segments or len(offsets) < segments:
        raise Refusal(f"{segments - present} of its {segments} {kind}s hold no data", COPY_AGAIN)
    beyond = np.flatnonzero(offsets + counts > handle.size)
    if beyond.size:
        raise damaged(
            "TIFF",
            f"{kind} {beyond[0] + 1} of {segments} lies beyond the end of the file (cut off?)",
        )
    _check_sizes(page, counts, kind)
    if page.compression in (_OLD_JPEG, _JPEG, *_JPEG_2000):
        for number in range(segments):
            handle.seek(page.dataoffsets[number])
            _check_stream(page, handle.read(page.databytecounts[number]))


def _check_contiguous(page: tifffile.TiffPage, size: int) -> None:
    missing = min(page.dataoffsets[0] + page.nbytes - size, page.nbytes)
    if missing > 0:
        raise damaged("TIFF", f"{missing} of {page.nbytes} bytes of pixels are missing (cut off?)")


def _complete_byte_counts(page: tifffile.TiffPage, size: int, segments: int) -> None:
    """Work out byte counts that are absent, or zero for the only strip, as libtiff does."""
    absent = not (page.tags.get(279) or page.tags.get(325) or page.tags.get(514))
    empty = segments == 1 and page.databytecounts[:1] == (0,)
    if not (absent or empty) or page.is_tiled or len(page.dataoffsets) < segments:
        return
    if page.compression == _NONE:
        samples = page.samplesperpixel if page.planarconfig == 1 else 1
        row = -(-page.imagewidth * samples * page.bitspersample // 8)
        strips = -(-page.imagelength // page.rowsperstrip)
        rows = [
            min(page.rowsperstrip, page.imagelength - number % strips * page.rowsperstrip)
            for number in range(segments)
        ]
        page.databytecounts = tuple(row * count for count in rows)
        return
    starts = sorted({*page.dataoffsets, page.offset, size})
    ends = dict(pairwise(starts))
    page.databytecounts = tuple(
        ends.get(offset, size) - offset for offset in page.dataoffsets[:segments]
    )


def _check_sizes(page: tifffile.TiffPage, counts: np.ndarray, kind: str) -> None:
    """Refuse segments that cannot hold their pixels, and tiles far larger than the image."""
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.is_tiled:
        pixels = page.tilewidth * page.tilelength * page.tiledepth * samples
        if pixels * page.dtype.itemsize > max(_LARGE_TILE, 4 * page.nbytes):
            raise damaged("TIFF", f"its tiles of {page.tilewidth} x {page.tilelength} exceed it")
        check_size(page.tilelength, page.tilewidth, samples, page.dtype.itemsize)
        sizes = np.full(len(counts), float(pixels))
    else:
        strips = -(-page.imagelength // page.rowsperstrip)
        first_rows = np.arange(len(counts)) % strips * page.rowsperstrip
        rows = np.minimum(page.rowsperstrip, page.imagelength - first_rows)
        sizes = rows.astype(np.float64) * page.imagewidth * samples
    ratio = 1 if page.compression == _NONE else _RATIOS.get(page.compression)
    if ratio is None:
        return
    bits = page.bitspersample
    short = np.flatnonzero(counts * 8 * ratio < sizes * bits - 8 * ratio)
    if short.size:
        number = int(short[0])
        raise damaged(
            "TIFF",
            f"the {int(counts[number])} bytes of {kind} {number + 1} cannot hold its pixels",
        )


def _check_stream(page: tifffile.TiffPage, data: bytes) -> None:
    """Check a strip or tile that is a complete JPEG or JPEG 2000 file."""
    width = page.tilewidth if page.is_tiled else page.imagewidth
    height = page.tilelength if page.is_tiled else page.rowsperstrip
    if page.compression in _JPEG_2000:
        start = data.find(b"\xff\x4f\xff\x51")
        if start < 0 or len(data) < start + 24:
            raise damaged("TIFF", "it holds no JPEG 2000 data")
        across, down, left, top = struct.unpack_from(">4I", data, start + 8)
        size = across - left, down - top
    else:
        if page.jpegtables:
            data = data[:2] + page.jpegtables[2:-2] + data[2:]
        frame = jpeg.read_frame(data)
        jpeg.check_frame(frame)
        size = frame.width, frame.height
    if not 0 < size[0] < width + 32 or not 0 < size[1] < height + 32:
        raise damaged("TIFF", f"it holds JPEG data of {size[0]} x {size[1]} pixels")
    if page.compression in (_OLD_JPEG, _JPEG):
        jpeg.decode_strictly(data, frame)
