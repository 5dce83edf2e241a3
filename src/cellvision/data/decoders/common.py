"""What the decoders share: refusals, the size limit, alpha, orientation and palettes."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cellvision.data.decoders import memory
from cellvision.interfaces.decoded_image import Note
from cellvision.plurals import counted

Pixels: TypeAlias = NDArray[Any]
Decoded: TypeAlias = tuple[Pixels, int, list[str]]

MAX_DECODED_BYTES = 4 * 2**30
"""The largest image that is decoded, in bytes of pixels (4 GiB).

The header is checked against it before memory is allocated. A slide of 200 megapixels needs
0.6 GB as 8-bit RGB and passes; a decompression bomb does not.
"""

COPY_AGAIN = "Copy or export the file again, or leave it out"
"""Hint for damaged files."""


class Refusal(Exception):
    """A file that is not decoded: one line of reason, one line of hint."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason, hint)
        self.reason = reason
        self.hint = hint


def damaged(kind: str, why: str) -> Refusal:
    """Return the refusal of a damaged file of this format."""
    return Refusal(f"damaged {kind}: {why}", COPY_AGAIN)


def check_size(height: int, width: int, channels: int, itemsize: int) -> None:
    """Refuse an image that its header declares empty or too large; reserve its memory."""
    if min(height, width, channels) < 1:
        raise Refusal(
            f"its header declares an image without pixels ({width} x {height})",
            "Export the image again, or leave it out",
        )
    size = height * width * channels * itemsize
    if size > MAX_DECODED_BYTES:
        raise Refusal(
            f"its header declares {width} x {height} pixels with {counted(channels, 'channel')}, "
            f"{size / 2**30:.1f} GiB when decoded; the limit is "
            f"{MAX_DECODED_BYTES / 2**30:.1f} GiB",
            "Export it in smaller parts, unless the file is simply damaged",
        )
    memory.reserve(size)


def read_whole(file: BinaryIO) -> bytes:
    """Read a compressed file, unless it is larger than any image that is decoded."""
    size = os.fstat(file.fileno()).st_size
    if size > MAX_DECODED_BYTES:
        raise Refusal(
            f"it has {size / 2**30:.1f} GiB; the limit is {MAX_DECODED_BYTES / 2**30:.1f} GiB",
            "Export it in smaller parts, unless the file is simply damaged",
        )
    return file.read()


def drop_alpha(pixels: Pixels, alpha: Sequence[int], notes: list[str]) -> Pixels:
    """Remove the alpha channels; a warning says so where they vary, for they may hold a signal."""
    values = [pixels[..., channel] for channel in alpha]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    if all(v.min() == v.max() for v in values):
        notes.append(Note("alpha channel dropped", "alpha_dropped"))
    else:
        text = f"alpha channel dropped, although it varies ({low} to {high})"
        notes.append(Note(text, "varying_alpha_dropped", warning=True))
    return np.ascontiguousarray(np.delete(pixels, list(alpha), axis=2))


def apply_exif(pixels: Pixels, exif: bytes, notes: list[str]) -> Pixels:
    """Turn pixels upright as a raw EXIF block says."""
    if not exif:
        return pixels
    try:
        orientation = exif_orientation(exif)
    except ValueError as error:
        notes.append(Note(f"damaged EXIF ignored ({error})", "exif_ignored"))
        return pixels
    if orientation == 1:
        return pixels
    notes.append(Note(f"EXIF orientation {orientation} applied", "orientation_applied"))
    return upright(pixels, orientation)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn (H, W, C) pixels as the EXIF or TIFF orientation tag says (2 to 8; 1 is upright)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def exif_orientation(exif: bytes) -> int:
    """Read the orientation from a raw EXIF block; 1 if it has none.

    Pillow's reader warns about the whole block if an unrelated tag is broken; only one tag
    matters here.

    Raises
    ------
    ValueError
        The block is damaged before the tag is reached.
    """
    body = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(body[:4])
    if order is None:
        raise ValueError("no TIFF header")
    try:
        (offset,) = struct.unpack_from(order + "I", body, 4)
        (entries,) = struct.unpack_from(order + "H", body, offset)
        for start in range(offset + 2, offset + 2 + 12 * entries, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", body, start)
            if tag == 0x0112:
                return int(value) if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        raise ValueError("its list of tags is cut off") from None
    return 1


def apply_palette(indices: Pixels, palette: Pixels, notes: list[str]) -> Pixels:
    """Replace indices by the values of a palette.

    Parameters
    ----------
    indices
        (H, W, C), unsigned integers or bool.
    palette
        (entries, 3), uint8 or uint16.
    notes
        Receives one line: what was done.

    Returns
    -------
    numpy.ndarray
        The indices themselves if each entry is its own grey (their values *are* the
        measurement); (H, W, C) grey values if all entries are grey; else (H, W, 3C).

    Raises
    ------
    Refusal
        An index has no entry in the palette.
    """
    highest = int(indices.max())
    if highest >= len(palette):
        raise Refusal(
            f"damaged palette: it has {len(palette)} colours, and a pixel has number {highest}",
            COPY_AGAIN,
        )
    grey = bool((palette == palette[:, :1]).all())
    if grey and (palette[:, 0] == np.arange(len(palette))).all():
        notes.append(Note("palette values kept (grey ramp)", "palette_kept"))
        return indices.astype(palette.dtype, copy=False)
    table = palette[:, :1] if grey else palette
    bits = table.dtype.itemsize * 8
    target = "its grey values" if grey else "RGB"
    notes.append(Note(f"palette mapped to {target} ({bits}-bit)", "palette_mapped"))
    numbers = indices.view(np.uint8) if indices.dtype == bool else indices
    mapped: Pixels = table[numbers].reshape(*indices.shape[:2], -1)
    return mapped


def spread_to_8_bits(pixels: Pixels, bits: int, notes: list[str]) -> Pixels:
    """Multiply 2- or 4-bit values to the full range of 8 bits (exact: times 85 or 17)."""
    factor = 255 // (2**bits - 1)
    text = f"{bits}-bit values spread to 8 bits (times {factor})"
    notes.append(Note(text, "few_bits_spread"))
    return pixels.astype(np.uint8, copy=False) * np.uint8(factor)
