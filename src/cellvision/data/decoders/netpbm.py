"""PBM, PGM and PPM (also called PNM), plain and raw.

Pillow stretches every maximum other than 255 and 65535 to the full range and has no 16-bit
PPM, so the few lines of this format are read here, with the values as they are stored.
https://netpbm.sourceforge.net/doc/
"""

from __future__ import annotations

import os
import re
from typing import BinaryIO

import numpy as np

from cellvision.data.decoders.common import Decoded, Pixels, Refusal, check_size

_HEADER_BYTES = 65536
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
    parts.Refusal
        Damaged, cut off, or too large.
    """
    head = file.read(_HEADER_BYTES)
    magic = head[:2]
    bitmap = magic in (b"P1", b"P4")
    match = (_BITMAP if bitmap else _GRAYMAP).match(head)
    if match is None:
        raise _damaged("its header is not complete")
    width, height, *rest = (int(number) for number in match.groups())
    maximum = rest[0] if rest else 1
    if not 1 <= maximum <= 65535:
        raise _damaged(f"its largest value is given as {maximum}")
    channels = 3 if magic in (b"P3", b"P6") else 1
    dtype = np.dtype(">u2" if maximum > 255 else "u1")
    check_size(height, width, channels, dtype.itemsize)

    count = height * width * channels
    plain = magic in (b"P1", b"P2", b"P3")
    row_bytes = -(-width // 8) if magic == b"P4" else 0
    # a plain value takes a digit and, but for the last, a blank (a PBM's needs no blank)
    raw_bytes = height * row_bytes or count * dtype.itemsize
    needed = (count if bitmap else 2 * count - 1) if plain else raw_bytes
    present = os.fstat(file.fileno()).st_size - match.end()
    if present < needed:
        raise _damaged(f"it is cut off, {present} of {needed} bytes of pixels are there")

    notes: list[str] = []
    file.seek(match.end())
    if plain:
        samples = _plain(file.read(), count, bitmap=bitmap)
    elif magic == b"P4":
        rows = np.fromfile(file, np.uint8, raw_bytes).reshape(height, row_bytes)
        samples = np.unpackbits(rows, axis=1, count=width)
    else:
        samples = np.fromfile(file, dtype, count)
    if not plain and file.read(4096).strip():
        notes.append("what follows the first image in the file is left out")
    if bitmap:
        return (samples == 0).reshape(height, width, 1), 1, notes
    if int(samples.max()) > maximum:
        raise _damaged(f"a value of {samples.max()} is above its declared largest, {maximum}")
    if maximum & (maximum + 1) or maximum < 255:
        notes.append(f"declared largest value {maximum}; values kept as stored")
    pixels = samples.astype(dtype.newbyteorder("="), copy=False).reshape(height, width, channels)
    return pixels, max(8, maximum.bit_length()), notes


def _plain(text: bytes, count: int, *, bitmap: bool) -> Pixels:
    text = re.sub(rb"#[^\r\n]*", b"", text)
    digits = list(b"".join(text.split())[:count]) if bitmap else text.split()[:count]
    if len(digits) < count:
        raise _damaged(f"it is cut off, {len(digits)} of {count} values are there")
    try:
        samples = np.array([int(digit) for digit in digits])
    except ValueError:
        raise _damaged("a value is not a number") from None
    if bitmap:
        samples = samples - ord("0")
    if samples.min() < 0 or (bitmap and samples.max() > 1):
        raise _damaged("a value is out of range")
    return samples


def _damaged(why: str) -> Refusal:
    return Refusal(f"damaged PNM: {why}", "Copy or export the file again, or leave it out")
