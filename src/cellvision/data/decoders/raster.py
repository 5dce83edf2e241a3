"""BMP and WebP, through Pillow.

The classes of Pillow's plugins are used directly. `PIL.Image.open` would check every file
against the process-wide ``MAX_IMAGE_PIXELS`` and warn about honest slides; here the limit
is `common.MAX_DECODED_BYTES`, and no global state is touched, so threads may decode at once.
"""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
from PIL import BmpImagePlugin, Image, ImageFile, WebPImagePlugin

from cellvision.data.decoders.common import (
    Decoded,
    Pixels,
    Refusal,
    apply_exif,
    apply_palette,
    check_size,
    damaged,
    drop_alpha,
)
from cellvision.interfaces.decoded_image import Note

_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
_READ_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
_RUN_LENGTHS = (1, 2)


def decode(file: BinaryIO, kind: str) -> Decoded:
    """Decode an open file whose magic bytes say that it is `kind`.

    Returns
    -------
    tuple
        Pixels (H, W, C) of bool or uint8; bits per sample; notes.

    Raises
    ------
    common.Refusal
        An unusual pixel mode, run-length coding, or too large.
    Exception
        Whatever Pillow raises for damaged data.
    """
    notes: list[str] = []
    bits = _check_bmp(file) if kind == "BMP" else 0
    with _READERS[kind](file) as image:
        if image.mode not in _READ_MODES:
            raise Refusal(
                f"pixels of mode {image.mode} are not supported", "Convert it to PNG or TIFF"
            )
        check_size(image.height, image.width, len(image.getbands()), 1)
        # Pillow fills memory before it looks for the pixels
        row_bytes = -(-image.width * bits // 32) * 4
        if row_bytes * image.height > os.fstat(file.fileno()).st_size:
            raise damaged(kind, "it is cut off, or its header is broken")
        frames = getattr(image, "n_frames", 1)
        image.load()
        pixels = np.asarray(image)
        if pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
        if image.mode in ("LA", "PA", "RGBA"):
            pixels = drop_alpha(pixels, [pixels.shape[2] - 1], notes)
        if image.mode in ("P", "PA"):
            pixels = apply_palette(pixels, _palette(image), notes)
        exif = image.info.get("exif", b"")
    if frames > 1:
        text = f"animation: only the first of {frames} frames is read"
        notes.append(Note(text, "frames_left_out", warning=True))
    pixels = apply_exif(pixels, exif, notes)
    return pixels, 1 if pixels.dtype == bool else 8, notes


def _check_bmp(file: BinaryIO) -> int:
    """Return the bits per pixel of a BMP; refuse one in which runs may skip pixels.

    Pillow would fill the skipped pixels with zeros.
    """
    head = file.read(34)
    file.seek(0)
    if head[14:18] == b"\x0c\0\0\0":  # the oldest header, without compression
        return int.from_bytes(head[24:26], "little")
    if int.from_bytes(head[30:34], "little") in _RUN_LENGTHS:
        raise Refusal("run-length coded BMP images are not supported", "Convert it to PNG or TIFF")
    return int.from_bytes(head[28:30], "little")


def _palette(image: Image.Image) -> Pixels:
    return np.array(image.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)
