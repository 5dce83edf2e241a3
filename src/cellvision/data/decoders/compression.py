"""How the pixels of a file are compressed, read from its header."""

from __future__ import annotations

import struct
from typing import BinaryIO

_TIFF = {
    1: "uncompressed",
    2: "CCITT",
    3: "CCITT",
    4: "CCITT",
    5: "LZW",
    6: "JPEG",
    7: "JPEG",
    8: "Deflate",
    32773: "PackBits",
    32946: "Deflate",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
}
_COMPRESSION_TAG = 259
_MOST_TAGS = 4096

_TABLE, _SCAN, _END = 0xDB, 0xDA, 0xD9
_STANDALONE = (0x01, *range(0xD0, 0xD9))
_HEADER_BYTES = 2**17
_STANDARD_SUM = 3688
"""Sum of the luminance table in Annex K of the JPEG standard, which is quality 50."""


def compression_of(file: BinaryIO, kind: str) -> str:
    """Describe the compression of an open file, such as ``LZW`` or ``JPEG, quality 90``.

    Parameters
    ----------
    file
        The file; its position is changed.
    kind
        Its format, as its first bytes say.

    Returns
    -------
    str
        Empty if it is unknown, as for a damaged header.
    """
    file.seek(0)
    try:
        if kind == "JPEG":
            return _jpeg(file.read(_HEADER_BYTES))
        if kind == "TIFF":
            return _tiff(file)
        if kind == "WebP":
            return "lossless WebP" if file.read(16)[12:] == b"VP8L" else "WebP"
    except (struct.error, ValueError, IndexError, OSError):
        return ""
    return {"PNG": "PNG", "BMP": "uncompressed", "PNM": "uncompressed"}.get(kind, "")


def _jpeg(data: bytes) -> str:
    """Estimate the quality from the first quantization table."""
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker in (_SCAN, _END):
            break
        if marker in _STANDALONE or marker == 0xFF:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker == _TABLE:
            wide = data[position + 4] >> 4
            values = struct.unpack_from(">64H" if wide else ">64B", data, position + 5)
            return f"JPEG, quality {_quality(sum(values))}"
        position += 2 + length
    return "JPEG"


def _quality(total: int) -> int:
    """Return the quality from 1 to 100 with which libjpeg writes a table of this sum."""
    scale = 100 * total / _STANDARD_SUM
    quality = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return min(max(round(quality), 1), 100)


def _tiff(file: BinaryIO) -> str:
    """Read the compression of the first page."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    number, count, entry = ("Q", "Q", "HHQQ") if big else ("I", "H", "HHII")
    (first,) = struct.unpack_from(order + number, head, 8 if big else 4)
    file.seek(first)
    (tags,) = struct.unpack(order + count, file.read(struct.calcsize("=" + count)))
    size = struct.calcsize("=" + entry)
    body = file.read(min(tags, _MOST_TAGS) * size)
    for tag, _, _, value in struct.iter_unpack(order + entry, body):
        if tag == _COMPRESSION_TAG:
            # A short number stands at the beginning of the field.
            code = value & 0xFFFF if order == "<" else value >> (48 if big else 16)
            return _TIFF.get(code, f"TIFF compression {code}")
    return "uncompressed"
