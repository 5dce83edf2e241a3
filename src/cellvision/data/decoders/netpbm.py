"""PBM, PGM and PPM (also called PNM), plain and raw.

Pillow stretches every maximum other than 255 and 65535 to the full range and has no 16-bit
PPM, so this small format is read here, with the values as they are stored.
https://netpbm.sourceforge.net/doc/
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from cellvision.data.decoders.common import Decoded, Pixels, Refusal, check_size, damaged
from cellvision.interfaces.decoded_image import Note

_HEADER_BYTES = 65536
_BLOCK_BYTES = 2**20
_LONGEST_NUMBER = 64
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_BITMAP = re.compile(rb"P[14]" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})\s")
_GRAYMAP = re.compile(_GAP.join([rb"P[2356]", *[rb"(\d{1,9})"] * 3]) + rb"\s")


def decode(file: BinaryIO) -> Decoded:
    """Decode an open PBM, PGM or PPM file.

    Returns
    -------
    tuple
        Pixels (H, W, 1 or 3): bool (PBM: 1 is black, so False), uint8 or uint16, values as
        stored; bits that the header's maximum needs, at least 8; notes.

    Raises
    ------
    common.Refusal
        Damaged, cut off, or too large.
    """
    head = file.read(_HEADER_BYTES)
    magic = head[:2]
    bitmap = magic in (b"P1", b"P4")
    match = (_BITMAP if bitmap else _GRAYMAP).match(head)
    if match is None:
        raise _damaged("its header is incomplete")
    width, height, *rest = (int(number) for number in match.groups())
    maximum = rest[0] if rest else 1
    if not 1 <= maximum <= 65535:
        raise _damaged(f"its largest value is declared as {maximum}")
    channels = 3 if magic in (b"P3", b"P6") else 1
    dtype = np.dtype(">u2" if maximum > 255 else "u1")
    check_size(height, width, channels, dtype.itemsize)

    count = height * width * channels
    plain = magic in (b"P1", b"P2", b"P3")
    row_bytes = -(-width // 8) if magic == b"P4" else 0
    # a plain value takes a digit and, but for the last, a blank (a PBM's needs no blank)
    raw_bytes = height * row_bytes or count * dtype.itemsize
    least = (count if bitmap else 2 * count - 1) if plain else raw_bytes
    present = os.fstat(file.fileno()).st_size - match.end()
    if present < least:
        raise _damaged(f"it is cut off: {present} of {least} bytes of pixels are there")

    notes: list[str] = []
    file.seek(match.end())
    if plain:
        samples = _plain(file, count, maximum, dtype.newbyteorder("="), bitmap=bitmap)
    elif magic == b"P4":
        rows = np.fromfile(file, np.uint8, raw_bytes).reshape(height, row_bytes)
        samples = np.unpackbits(rows, axis=1, count=width)
    else:
        samples = np.fromfile(file, dtype, count)
    if not plain and file.read(4096).strip():
        text = "data after the first image in the file ignored"
        notes.append(Note(text, "frames_left_out", warning=True))
    if bitmap:
        return (samples == 0).reshape(height, width, 1), 1, notes
    if int(samples.max()) > maximum:
        raise _damaged(f"a value of {samples.max()} exceeds its declared maximum, {maximum}")
    if maximum & (maximum + 1) or maximum < 255:
        text = f"declared maximum {maximum}; values kept as stored"
        notes.append(Note(text, "declared_maximum"))
    pixels = samples.astype(dtype.newbyteorder("="), copy=False).reshape(height, width, channels)
    return pixels, max(8, maximum.bit_length()), notes


def _plain(
    file: BinaryIO, count: int, maximum: int, dtype: np.dtype[np.generic], *, bitmap: bool
) -> Pixels:
    """Read decimal numbers, or the digits of a bitmap, block by block."""
    samples = np.empty(count, dtype)
    filled = 0
    for text in _blocks(file):
        numbers = _digits(text) if bitmap else _numbers(text)
        numbers = numbers[: count - filled]
        if numbers.size and int(numbers.max()) > maximum:
            raise _damaged(f"a value of {numbers.max()} exceeds its declared maximum, {maximum}")
        samples[filled : filled + len(numbers)] = numbers
        filled += len(numbers)
        if filled == count:
            return samples
    raise _damaged(f"it is cut off: {filled} of {count} values are there")


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the text in blocks that end between two numbers, without comments."""
    rest, in_comment = b"", False
    while block := file.read(_BLOCK_BYTES):
        if in_comment:
            block = b"#" + block
        block = re.sub(rb"#[^\r\n]*[\r\n]", b"\n", block)
        block, mark, _ = block.partition(b"#")
        in_comment = bool(mark)
        text = rest + block
        end = max(text.rfind(blank) for blank in (b" ", b"\n", b"\t", b"\r")) + 1
        if len(text) - end > _LONGEST_NUMBER:  # digits of a bitmap may stand without blanks
            end = len(text)
        rest = text[end:]
        yield text[:end]
    yield rest


def _digits(text: bytes) -> Pixels:
    digits = np.frombuffer(b"".join(text.split()), np.uint8) - np.uint8(ord("0"))
    if digits.size and digits.max() > 1:
        raise _damaged("a value is out of range")
    return digits


def _numbers(text: bytes) -> Pixels:
    if text.translate(None, b"0123456789 \t\n\r\v\f"):
        negative = not text.translate(None, b"-0123456789 \t\n\r\v\f")
        raise _damaged("a value is out of range" if negative else "a value is not a number")
    if re.search(rb"\d{19}", text):
        raise _damaged("a value is out of range")
    return np.fromstring(text, np.int64, sep=" ") if text.strip() else np.empty(0, np.int64)


def _damaged(why: str) -> Refusal:
    return damaged("PNM", why)
