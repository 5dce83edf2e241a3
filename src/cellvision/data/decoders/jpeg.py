"""Decode JPEG with libjpeg-turbo, treating every warning of the library as damage.

libjpeg fills missing rows with grey and only warns; simplejpeg can turn its warnings into
errors, and gives the same pixels as Pillow (islow DCT, smooth upsampling) in a third of the
time. https://www.w3.org/Graphics/JPEG/itu-t81.pdf
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import simplejpeg

from cellvision.data.decoders.common import (
    Decoded,
    Refusal,
    apply_exif,
    check_size,
    damaged,
    read_whole,
)

_CONVERT = "Convert it to PNG or TIFF"
_READ = (0xC0, 0xC1, 0xC2)
"""Frames that are read: baseline, extended sequential and progressive, Huffman-coded."""
_UNREAD = {
    0xC3: "lossless JPEG",
    0xC5: "hierarchical JPEG",
    0xC6: "hierarchical JPEG",
    0xC7: "hierarchical lossless JPEG",
    0xC9: "arithmetic-coded JPEG",
    0xCA: "arithmetic-coded JPEG",
    0xCB: "arithmetic-coded lossless JPEG",
    0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG",
    0xCF: "hierarchical lossless JPEG",
    0xF7: "JPEG-LS",
}
_PROGRESSIVE = 0xC2
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_STANDALONE = (0x01, *range(0xD0, 0xD8))
_SCAN, _END, _APP1 = 0xDA, 0xD9, 0xE1
_FILL = re.compile(rb"\xff+")
_ALL_COEFFICIENTS = (1 << 64) - 1
_MAX_SEGMENTS = 100_000
"""Files have tens of them; millions of empty ones only cost time."""
_MAX_SCANS = 64
"""Progressive files have about ten scans; a hundred of them take seconds for a small file."""


@dataclass(frozen=True)
class Frame:
    """What the header of a JPEG declares.

    `components` maps the name of each colour component to its sampling factors; `end` is the
    position behind the header.
    """

    coding: int
    precision: int
    height: int
    width: int
    components: dict[int, int]
    exif: bytes
    end: int

    @property
    def channels(self) -> int:
        """Number of colour components."""
        return len(self.components)

    @property
    def samplings(self) -> tuple[int, ...]:
        """Horizontal and vertical sampling of each component, four bits each."""
        return tuple(self.components.values())

    @property
    def bytes_per_sample(self) -> int:
        """Memory that decoding takes: libjpeg holds the coefficients of several scans, too."""
        return 3 if self.coding == _PROGRESSIVE else 1

    @property
    def fewest_bytes(self) -> int:
        """Bytes that the blocks of 8 x 8 pixels take at least: a bit for each unit of blocks."""
        across = 8 * max(sampling >> 4 for sampling in self.samplings)
        down = 8 * max(sampling & 15 for sampling in self.samplings)
        return -(-self.width // across) * -(-self.height // down) // 8


def decode(file: BinaryIO) -> Decoded:
    """Decode an open JPEG file.

    Returns
    -------
    tuple
        Pixels (H, W, 1 or 3) of uint8; 8 bits; notes.

    Raises
    ------
    common.Refusal
        Damaged, cut off, too large, CMYK, or of a kind other than 8-bit lossy JPEG.
    """
    data = read_whole(file)
    frame = read_frame(data)
    check_frame(frame)
    check_size(frame.height, frame.width, frame.channels, frame.bytes_per_sample)
    notes: list[str] = []
    pixels = decode_strictly(data, frame)
    return apply_exif(pixels, frame.exif, notes), 8, notes


def decode_strictly(data: bytes, frame: Frame) -> np.ndarray:
    """Decode to (H, W, 1 or 3); refuse where libjpeg would make pixels up."""
    if frame.fewest_bytes > len(data):
        raise damaged(
            "JPEG", f"its {len(data)} bytes cannot hold {frame.width} x {frame.height} pixels"
        )
    _check_scans(data, frame)
    colours = "GRAY" if frame.channels == 1 else "RGB"
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, colours, strict=True)
    except ValueError as error:
        raise damaged("JPEG", str(error)) from error
    return pixels


def check_frame(frame: Frame) -> None:
    """Refuse unsupported kinds of JPEG."""
    if frame.coding in _UNREAD:
        raise Refusal(f"it is {_UNREAD[frame.coding]}, which is not supported", _CONVERT)
    if frame.precision != 8:
        raise Refusal(f"its samples have {frame.precision} bits, not 8", _CONVERT)
    if frame.channels == 4:
        raise Refusal("its colours are CMYK (for print)", "Convert it to RGB")
    if frame.coding not in _READ or frame.channels not in (1, 3):
        raise Refusal(f"it has {frame.channels} colour components, not 1 or 3", _CONVERT)
    if not all(sampling >> 4 and sampling & 15 for sampling in frame.samplings):
        raise damaged("JPEG", "its header declares components without pixels")


def read_frame(data: bytes) -> Frame:
    """Read the header: the first frame marker, and the EXIF block in front of it.

    Raises
    ------
    common.Refusal
        No complete frame header precedes the first scan.
    """
    position, exif, segments = 2, b"", 0
    while position + 4 <= len(data) and data[position] == 0xFF and segments < _MAX_SEGMENTS:
        segments += 1
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes
            fill = _FILL.match(data, position)
            position = len(data) if fill is None else fill.end() - 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if marker in (_SCAN, _END):
            break
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if length < 2 or len(body) != length - 2:
            break
        if marker == _APP1 and body.startswith(b"Exif\0\0"):
            exif = exif or body
        if marker in _READ or marker in _UNREAD:
            return _frame(marker, body, exif, position + 2 + length)
        position += 2 + length
    raise damaged("JPEG", "it is cut off, or its header is broken")


def _frame(marker: int, body: bytes, exif: bytes, end: int) -> Frame:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise damaged("JPEG", "its header is incomplete")
    precision, height, width, count = struct.unpack_from(">BHHB", body)
    components = {body[6 + 3 * k]: body[7 + 3 * k] for k in range(count)}
    return Frame(marker, precision, height, width, components, exif, end)


def _check_scans(data: bytes, frame: Frame) -> None:
    """Refuse a file whose scans leave components or coefficients unknown or imprecise.

    libjpeg takes them for zero, without a warning if the file was cut between two scans. Files
    that are not progressive have one scan, or one for each component.
    """
    missing = dict.fromkeys(frame.components, _ALL_COEFFICIENTS)  # a bit for each coefficient
    position, scans, progressive = frame.end, 0, frame.coding == _PROGRESSIVE
    for _ in range(_MAX_SEGMENTS):
        if not progressive and not any(missing.values()):
            break
        marker = _MARKER.search(data, position)
        if marker is None:
            break
        position = marker.start() + 2
        if data[position - 1] == _END:
            break
        length = int.from_bytes(data[position : position + 2], "big")
        body = data[position + 2 : position + length]
        if data[position - 1] == _SCAN and body and len(body) == 2 * body[0] + 4:
            scans += 1
            first, last, precision = body[-3:] if progressive else (0, 63, 0)
            covered = _ALL_COEFFICIENTS & ((2 << last) - (1 << first)) if first <= last else 0
            for name in body[1:-3:2]:
                if name in missing and precision & 15:
                    missing[name] |= covered
                elif name in missing:
                    missing[name] &= ~covered
        position += length
    if scans > _MAX_SCANS:
        raise damaged("JPEG", f"it has more than {_MAX_SCANS} scans")
    if any(missing.values()):
        raise damaged("JPEG", "scans are missing (cut off?)")
