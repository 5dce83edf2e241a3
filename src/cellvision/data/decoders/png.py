"""PNG: chunks and compression are checked here, then libpng undoes the filters.

libpng accepts a wrong checksum of the compressed data with a warning, so libdeflate inflates them
first, and strictly; libpng gets them uncompressed, which is also faster. It gets nothing else but
a header, so it applies no palette, gamma or transparency and prints no warning about colour
profiles. Samples of 1, 2 or 4 bits and palette indices pass through it as the bytes that hold
them: PNG filters work on bytes, so an image of packed samples is, for libpng, a grey image of
bytes. Each pass of an interlaced image is a separate image.
https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

import imagecodecs
import numpy as np

from cellvision.data.decoders.common import (
    Decoded,
    Pixels,
    apply_exif,
    apply_palette,
    check_size,
    damaged,
    drop_alpha,
    read_whole,
    spread_to_8_bits,
)
from cellvision.interfaces.decoded_image import Note

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGB_ALPHA: 4}
_DEPTHS = {
    _GREY: (1, 2, 4, 8, 16),
    _RGB: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _GREY_ALPHA: (8, 16),
    _RGB_ALPHA: (8, 16),
}
_ADAM7 = (  # first row and column of each pass, steps of rows and columns
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
_DEFLATE_RATIO = 1032
"""Deflate cannot expand a byte to more than this many."""
_AT_ONCE = 2**24
"""Images of more bytes are checked in pieces, so that they are in memory only once."""
_PIECE_BYTES = 2**14
_STORED_BYTES = 0xFFFF
"""Most bytes of an uncompressed block of deflate."""

_Parts: TypeAlias = Sequence[bytes | memoryview]
"""Bytes in parts, which are joined once, when libpng's file is put together."""

_FEW_BYTES = 2**12
"""Up to here, zlib computes a checksum and keeps Python's lock; beyond, zlib-ng is faster."""


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def channels(self) -> int:
        return _CHANNELS[self.colour]

    def row_bytes(self, width: int) -> int:
        return -(-width * self.depth * self.channels // 8)


def decode(file: BinaryIO) -> Decoded:
    """Decode an open PNG file.

    Returns
    -------
    tuple
        Pixels (H, W, 1 or 3): bool, uint8 or uint16; bits per sample; notes.

    Raises
    ------
    common.Refusal
        Damaged, cut off, or too large.
    """
    data = read_whole(file)
    chunks = _chunks(data)
    header = _header(chunks)
    pixel_data = chunks.get(b"IDAT", b"")
    check_size(header.height, header.width, header.channels, 2 if header.depth == 16 else 1)
    raw_bytes = header.row_bytes(header.width) * header.height
    if raw_bytes > _DEFLATE_RATIO * len(pixel_data):
        raise damaged(
            "PNG", f"its {len(pixel_data)} bytes of data cannot hold {raw_bytes} bytes of pixels"
        )
    notes: list[str] = []
    pixels = _samples(header, pixel_data)
    if header.colour in (_GREY_ALPHA, _RGB_ALPHA):
        pixels = drop_alpha(pixels, [header.channels - 1], notes)
    elif b"tRNS" in chunks:
        notes.append(_transparency_note(header, chunks[b"tRNS"], pixels))
    if header.colour == _PALETTE:
        pixels = apply_palette(pixels, _palette(chunks), notes)
    elif header.depth in (2, 4):
        pixels = spread_to_8_bits(pixels, header.depth, notes)
    frames = int.from_bytes(chunks.get(b"acTL", b"")[:4], "big")
    if frames > 1:
        text = f"animation: only the first of {frames} frames is read"
        notes.append(Note(text, "frames_left_out", warning=True))
    pixels = apply_exif(pixels, chunks.get(b"eXIf", b""), notes)
    return pixels, 1 if pixels.dtype == bool else 8 * pixels.dtype.itemsize, notes


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the contents of the chunks by name, those of all IDAT joined.

    Checksums of the chunks that pixels depend on must be right.
    """
    chunks: dict[bytes, bytes] = {}
    pixel_data: list[memoryview] = []
    view = memoryview(data)
    position, name = len(_SIGNATURE), b""
    while name != b"IEND":
        if position + 12 > len(data):
            raise damaged("PNG", "it is cut off before its end")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise damaged("PNG", f"it is cut off in its chunk {name.decode('latin-1')!r}")
        critical = name in (b"IHDR", b"PLTE", b"IDAT")
        if critical and _checksum(view[position + 4 : end]) != data[end : end + 4]:
            raise damaged("PNG", f"the checksum of its chunk {name.decode()} is wrong")
        if not name[:1].islower() and not critical and name != b"IEND":
            raise damaged("PNG", f"it has an unknown chunk {name.decode('latin-1')!r}")
        if name == b"IDAT":
            pixel_data.append(view[position + 8 : end])
        else:
            chunks.setdefault(name, data[position + 8 : end])
        position = end + 4
    chunks[b"IDAT"] = b"".join(pixel_data)
    return chunks


def _header(chunks: dict[bytes, bytes]) -> _Header:
    body = chunks.get(b"IHDR", b"")
    if len(body) != 13:
        raise damaged("PNG", "its header is incomplete")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(
        ">IIBBBBB", body
    )
    known = depth in _DEPTHS.get(colour, ()) and interlace < 2
    if not known or compression or filtering:
        raise damaged("PNG", "its header declares a kind of pixels that PNG does not have")
    return _Header(width, height, depth, colour, bool(interlace))


def _palette(chunks: dict[bytes, bytes]) -> Pixels:
    body = chunks.get(b"PLTE", b"")
    if not body or len(body) % 3:
        raise damaged("PNG", "its palette is missing or incomplete")
    return np.frombuffer(body, np.uint8).reshape(-1, 3)


def _transparency_note(header: _Header, transparency: bytes, pixels: Pixels) -> Note:
    """Say that transparency is ignored; a warning if that of a palette varies within the image."""
    if header.colour == _PALETTE:
        opacity = np.full(256, 255, np.uint8)
        entries = np.frombuffer(transparency[:256], np.uint8)
        opacity[: len(entries)] = entries
        counts = np.bincount(pixels.astype(np.uint8, copy=False).ravel(), minlength=256)
        used = opacity[counts > 0]
        if used.min() != used.max():
            text = (
                f"transparency of the palette ignored, although it varies ({used.min()} to "
                f"{used.max()})"
            )
            return Note(text, "varying_alpha_dropped", warning=True)
    return Note("transparent colour ignored", "transparency_ignored")


def _samples(header: _Header, pixel_data: bytes) -> Pixels:
    """Decode to (H, W, channels); palette indices and few bits as stored."""
    passes = _passes(header)
    size = sum(height * (1 + header.row_bytes(width)) for *_, height, width in passes)
    if size > _AT_ONCE and not header.interlaced:
        _check_compression(pixel_data, size)
        return _unfiltered(header, [pixel_data], header.height, header.width)
    raw = _inflate(pixel_data, size)
    if not header.interlaced:
        return _unfiltered(header, _stored(raw), header.height, header.width)
    pixels, start = np.empty(0), 0
    for row, column, rows, columns, height, width in passes:
        end = start + height * (1 + header.row_bytes(width))
        part = _unfiltered(header, _stored(raw[start:end]), height, width)
        if start == 0:
            pixels = np.empty((header.height, header.width, part.shape[2]), part.dtype)
        pixels[row::rows, column::columns] = part
        start = end
    return pixels


def _passes(header: _Header) -> list[tuple[int, int, int, int, int, int]]:
    """List the passes that have pixels: first row and column, steps, height and width."""
    passes = []
    for row, column, rows, columns in _ADAM7 if header.interlaced else ((0, 0, 1, 1),):
        height = len(range(row, header.height, rows))
        width = len(range(column, header.width, columns))
        if height and width:
            passes.append((row, column, rows, columns, height, width))
    return passes


def _inflate(pixel_data: bytes, size: int) -> bytes:
    try:
        raw = bytes(imagecodecs.deflate_decode(pixel_data, out=size))
    except imagecodecs.DeflateError as error:
        raise damaged("PNG", "its compressed data are damaged, or too many") from error
    if len(raw) < size:
        raise damaged("PNG", f"{size - len(raw)} of {size} bytes of pixels are missing")
    return raw


def _check_compression(pixel_data: bytes, size: int) -> None:
    """Check length and checksum of compressed data, with little memory."""
    inflater, missing, view = zlib.decompressobj(), size, memoryview(pixel_data)
    try:
        for start in range(0, len(view), _PIECE_BYTES):
            missing -= len(inflater.decompress(view[start : start + _PIECE_BYTES]))
            if inflater.eof or missing < 0:
                break
    except zlib.error as error:
        raise damaged("PNG", "its compressed data are damaged") from error
    if missing or not inflater.eof:
        raise damaged("PNG", f"it does not hold the {size} bytes of pixels that it declares")


def _stored(raw: bytes) -> _Parts:
    """Return a zlib stream that holds the bytes uncompressed."""
    parts: list[bytes | memoryview] = [b"\x78\x01"]
    view = memoryview(raw)
    for start in range(0, len(raw), _STORED_BYTES):
        part = view[start : start + _STORED_BYTES]
        last = start + _STORED_BYTES >= len(raw)
        parts += [struct.pack("<BHH", last, len(part), 0xFFFF - len(part)), part]
    parts.append(struct.pack(">I", imagecodecs.zlibng_adler32(raw)))
    return parts


def _unfiltered(header: _Header, stream: _Parts, height: int, width: int) -> Pixels:
    """Undo the filters of an image or of one pass of it, to (height, width, channels)."""
    depth = header.depth
    if depth >= 8:
        colour = _GREY if header.colour == _PALETTE else header.colour
        return _libpng(width, height, depth, colour, stream).reshape(height, width, -1)
    packed = _libpng(header.row_bytes(width), height, 8, _GREY, stream)
    bits = np.unpackbits(packed, axis=1, count=width * depth)
    if depth == 1:
        return bits.view(bool)[..., np.newaxis]
    weights = np.uint8(1) << np.arange(depth - 1, -1, -1, dtype=np.uint8)
    digits = bits.reshape(height, width, depth)
    values: Pixels = np.add.reduce(digits * weights, axis=2, dtype=np.uint8, keepdims=True)
    return values


def _libpng(width: int, height: int, depth: int, colour: int, stream: _Parts) -> Pixels:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = (*_chunk(b"IHDR", [header]), *_chunk(b"IDAT", stream), *_chunk(b"IEND", []))
    try:
        return np.asarray(imagecodecs.png_decode(b"".join((_SIGNATURE, *chunks))))
    except imagecodecs.PngError as error:
        raise damaged("PNG", str(error)) from error


def _chunk(name: bytes, body: _Parts) -> tuple[bytes, bytes, bytes]:
    """Return the parts of a chunk: length, name and body, checksum."""
    content = b"".join((name, *body))
    return struct.pack(">I", len(content) - len(name)), content, _checksum(content)


def _checksum(content: bytes | memoryview) -> bytes:
    if len(content) <= _FEW_BYTES:
        return struct.pack(">I", zlib.crc32(content))
    checksum = imagecodecs.zlibng_crc32(content)  # type: ignore[arg-type] # takes any buffer
    return struct.pack(">I", checksum)
