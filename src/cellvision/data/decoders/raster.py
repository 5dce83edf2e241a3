"""PNG, JPEG, BMP and WebP, through Pillow; pixels of PNG through imagecodecs.

Of a PNG, Pillow reads the header and imagecodecs the pixels: it is quicker, and has 16-bit
colour. What it does not read, Pillow does; palettes and few bits are left to Pillow.

The classes of Pillow's plugins are used directly. `PIL.Image.open` would hold every file
against the process-wide ``MAX_IMAGE_PIXELS`` and warn about honest slides; here the limit
is `parts.MAX_DECODED_BYTES`, and no global state is touched, so threads may decode at once.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from cellvision.data.decoders.common import (
    Decoded,
    Pixels,
    Refusal,
    apply_palette,
    check_size,
    exif_orientation,
    upright,
)


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG that leaves its EXIF block alone.

    Pillow looks into it for the resolution while opening, and warns where it is broken.
    """

    def getexif(self) -> Image.Exif:
        return Image.Exif()


_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": _Jpeg,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
_READ_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"})


def decode(file: BinaryIO, kind: str) -> Decoded:
    """Decode an open file whose magic bytes say that it is `kind`.

    Returns
    -------
    tuple
        Pixels (H, W, C): bool, uint8 or uint16; bits per sample; notes.

    Raises
    ------
    parts.Refusal
        CMYK, an unusual pixel mode, or too large.
    Exception
        Whatever Pillow raises for damaged data.
    """
    notes: list[str] = []
    depth, colour = _png_header(file) if kind == "PNG" else (8, -1)
    with _READERS[kind](file) as image:
        if image.mode == "CMYK":
            raise Refusal("its colours are CMYK (for print)", "Convert it to RGB")
        if image.mode not in _READ_MODES:
            raise Refusal(f"pixels of mode {image.mode} are not read", "Convert it to PNG or TIFF")
        wide = depth == 16
        check_size(image.height, image.width, len(image.getbands()), 2 if wide else 1)
        if wide and colour != 0:
            # Pillow would cut these to 8 bits without a word.
            file.seek(0)
            data = file.read()
            pixels = imagecodecs.png_decode(data)
            exif = _png_chunk(data, b"eXIf")
            channels = 1 if colour == 4 else 3
        else:
            exact = depth in (8, 16) and colour in (0, 2, 4, 6)
            quick = _bare_samples(file) if exact and getattr(image, "n_frames", 1) == 1 else None
            if quick is None:
                image.load()
                pixels = np.asarray(image)
            else:
                pixels = quick
            exif = image.info.get("exif", b"")
            channels = 3 if image.mode in ("RGB", "RGBA") else 1
        if pixels.ndim == 2:
            pixels = pixels[..., np.newaxis]
        if colour == 0 and depth in (2, 4):
            notes.append(f"{depth}-bit values spread to 8 bits (times {255 // (2**depth - 1)})")
        if image.mode in ("LA", "PA", "RGBA") or pixels.shape[2] > channels:
            pixels = np.ascontiguousarray(pixels[..., :channels])
            notes.append("alpha channel dropped")
        elif "transparency" in image.info:
            notes.append("transparent colour ignored")
        if image.mode in ("P", "PA"):
            pixels = apply_palette(pixels, _palette(image), notes)
        frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"animation: only the first of {frames} frames is read")
    pixels = _turn(pixels, exif, notes)
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native, 1 if native.dtype == bool else 8 * native.dtype.itemsize, notes


def _turn(pixels: Pixels, exif: bytes, notes: list[str]) -> Pixels:
    if not exif:
        return pixels
    try:
        orientation = exif_orientation(exif)
    except ValueError as error:
        notes.append(f"damaged EXIF left out ({error})")
        return pixels
    if orientation == 1:
        return pixels
    notes.append(f"EXIF orientation {orientation} applied")
    return upright(pixels, orientation)


def _palette(image: Image.Image) -> Pixels:
    return np.array(image.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)


def _png_header(file: BinaryIO) -> tuple[int, int]:
    """Bit depth and colour type (0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGB + alpha)."""
    head = file.read(26)
    file.seek(0)
    if len(head) < 26 or head[12:16] != b"IHDR":
        raise Refusal("damaged PNG: it ends within its header", "Copy or export the file again")
    return head[24], head[25]


def _bare_samples(file: BinaryIO) -> Pixels | None:
    """Decode a PNG of whole bytes a sample, in about 60 % of Pillow's time.

    imagecodecs is given nothing but header and pixels, so that it can apply nothing to them, and
    print no warning on colour profiles. None where it refuses them, or where anything stands
    between pixels and end: then it is for Pillow to say what is wrong, or to read on.
    """
    before = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(before)
    parts = [data[:33]]  # signature and IHDR
    position, name = 33, b""
    while name != b"IEND":
        if position + 12 > len(data):
            return None
        length, name = struct.unpack_from(">I4s", data, position)
        following = position + 12 + length
        if name in (b"IDAT", b"IEND"):
            parts.append(data[position:following])
        elif len(parts) > 1:
            return None
        position = following
    try:
        return np.asarray(imagecodecs.png_decode(b"".join(parts)))
    except imagecodecs.PngError:
        return None


def _png_chunk(data: bytes, name: bytes) -> bytes:
    """Return the content of the first chunk of this name, or nothing."""
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        if data[position + 4 : position + 8] == name:
            return data[position + 8 : position + 8 + length]
        position += 12 + length
    return b""
