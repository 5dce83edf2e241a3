"""What the decoders share: refusing, the limit of size, orientation and palettes."""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[Any]
Decoded: TypeAlias = tuple[Pixels, int, list[str]]

MAX_DECODED_BYTES = 4 * 2**30
"""The largest image that is decoded, in bytes of pixels (4 GiB).

It is held against the header, before memory is taken. A slide of 200 megapixels needs
0.6 GB as 8-bit RGB and passes; a decompression bomb does not.
"""


class Refusal(Exception):
    """A file that is not decoded: one line of reason, one line of way out."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason, hint)
        self.reason = reason
        self.hint = hint


def check_size(height: int, width: int, channels: int, itemsize: int) -> None:
    """Refuse, from what a header declares, an image that is empty or too large."""
    if min(height, width, channels) < 1:
        raise Refusal(
            f"its header declares an image without pixels ({width} x {height})",
            "Export the image again, or leave it out",
        )
    needed = height * width * channels * itemsize
    if needed > MAX_DECODED_BYTES:
        raise Refusal(
            f"its header declares {width} x {height} pixels with {channels} channel(s), "
            f"{needed / 2**30:.1f} GiB when decoded; the limit is "
            f"{MAX_DECODED_BYTES / 2**30:.1f} GiB",
            "Export it in smaller parts, if the file is not simply broken",
        )


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
    """Read the orientation from a raw EXIF block; 1 where it has none.

    Pillow's reader warns about the whole block when an unrelated tag is broken; one tag is
    all that is needed here.

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
    """Put the values of a palette in the place of the indices.

    Parameters
    ----------
    indices
        (H, W, C), unsigned integers or bool.
    palette
        (entries, 3), uint8 or uint16. Indices beyond its end are black.
    notes
        Gets one line: what was done.

    Returns
    -------
    numpy.ndarray
        The indices themselves where each entry is its own grey (their values *are* the
        measurement); (H, W, C) grey values where all entries are grey; else (H, W, 3C).
    """
    grey = bool((palette == palette[:, :1]).all())
    if grey and (palette[:, 0] == np.arange(len(palette))).all():
        notes.append("palette values kept (grey ramp)")
        return indices.astype(palette.dtype, copy=False)
    table = palette[:, :1] if grey else palette
    highest = int(np.iinfo(indices.dtype).max) if indices.dtype != bool else 1
    full = np.zeros((highest + 1, table.shape[1]), table.dtype)
    full[: len(table)] = table[: len(full)]
    bits = table.dtype.itemsize * 8
    kind = "its grey values" if grey else "RGB"
    notes.append(f"palette mapped to {kind} ({bits}-bit)")
    return full[indices.astype(np.intp, copy=False)].reshape(*indices.shape[:2], -1)


def spread_to_8_bits(pixels: Pixels, bits: int, notes: list[str]) -> Pixels:
    """Multiply 2- or 4-bit values to the full range of 8 bits (exact: times 85 or 17)."""
    factor = 255 // (2**bits - 1)
    notes.append(f"{bits}-bit values spread to 8 bits (times {factor})")
    return pixels.astype(np.uint8, copy=False) * np.uint8(factor)
