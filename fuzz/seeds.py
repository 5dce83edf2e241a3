"""Valid small files of every kind that the decoders read."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image


def seeds() -> dict[str, bytes]:
    """Return name and content of each file; the same every time."""
    return {**_png(), **_jpeg(), **_netpbm(), **_pillow(), **_tiff()}


def _noise(shape: tuple[int, ...], high: int = 256, dtype: Any = np.uint8) -> Any:
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _exif() -> bytes:
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags.tobytes()


def _png() -> dict[str, bytes]:
    grey, rgb = _noise((13, 11)), _noise((13, 11, 3))
    palette = Image.fromarray(grey % 16).convert("P")
    palette.putpalette(_noise((16, 3)).ravel().tolist())
    frames = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    more = {"save_all": True, "append_images": frames[1:]}
    return {
        "grey.png": _saved(Image.fromarray(grey), "PNG", exif=_exif()),
        "rgb.png": _saved(Image.fromarray(rgb), "PNG", transparency=(1, 2, 3)),
        "rgba.png": _saved(Image.fromarray(_noise((13, 11, 4))), "PNG"),
        "grey16.png": bytes(imagecodecs.png_encode(_noise((13, 11), 65536, np.uint16))),
        "rgb16.png": bytes(imagecodecs.png_encode(_noise((9, 7, 3), 65536, np.uint16))),
        "bits.png": _saved(Image.fromarray(grey > 99), "PNG"),
        "palette.png": _saved(palette, "PNG", bits=4),
        "animation.png": _saved(frames[0], "PNG", **more),
        "interlaced.png": interlaced(grey, 8),
        "interlaced_bits.png": interlaced(grey % 4, 2),
    }


def interlaced(values: Any, depth: int) -> bytes:
    """Write a grey PNG in seven passes, which Pillow cannot."""
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    rows = b""
    for row, column, down, across in (*starts, (1, 0, 2, 1)):
        for line in values[row::down, column::across]:
            bits = np.unpackbits(line[:, np.newaxis], axis=1)[:, 8 - depth :]
            rows += b"\0" + np.packbits(bits).tobytes() if line.size else b""
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, 0, 0, 0, 1)
    content: bytes = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        checksum = zlib.crc32(name + body)
        content += struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)
    return content


def _jpeg() -> dict[str, bytes]:
    smooth = (np.add.outer(np.arange(40), np.arange(33)) * 3).astype(np.uint8)
    rgb = Image.fromarray(np.stack([smooth, smooth.max() - smooth, smooth // 2], -1))
    grey = Image.fromarray(_noise((24, 24)))
    return {
        "grey.jpg": _saved(grey, "JPEG", exif=_exif()),
        "rgb.jpg": _saved(rgb, "JPEG"),
        "progressive.jpg": _saved(rgb, "JPEG", progressive=True, subsampling=0),
        "restart.jpg": _saved(rgb, "JPEG", restart_marker_rows=1),
    }


def _netpbm() -> dict[str, bytes]:
    wide = _noise((5, 6), 4096, np.dtype(">u2"))
    return {
        "grey.pgm": b"P5 # comment\n11 13\n255\n" + _noise((13, 11)).tobytes(),
        "wide.pgm": b"P5 6 5 4095\n" + wide.tobytes(),
        "rgb.ppm": b"P6 11 13 255\n" + _noise((13, 11, 3)).tobytes(),
        "bits.pbm": b"P4 11 13\n" + _noise((13, 2)).tobytes(),
        "plain.pgm": b"P2 6 5 4095 # c\n" + b" ".join(b"%d" % v for v in wide.ravel()),
        "plain.pbm": b"P1 8 4\n" + b"10110010\n" * 4,
    }


def _pillow() -> dict[str, bytes]:
    grey, rgb = Image.fromarray(_noise((13, 11))), Image.fromarray(_noise((13, 11, 3)))
    rgba = Image.fromarray(_noise((13, 11, 4)))
    return {
        "grey.bmp": _saved(grey, "BMP"),
        "rgb.bmp": _saved(rgb, "BMP"),
        "bits.bmp": _saved(grey.convert("1"), "BMP"),
        "lossy.webp": _saved(rgb, "WEBP", exif=_exif()),
        "lossless.webp": _saved(rgba, "WEBP", lossless=True),
    }


def _written(data: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, data, **options)
    return file.getvalue()


def _tiff() -> dict[str, bytes]:
    grey, wide = _noise((24, 20)), _noise((24, 20), 4096, np.uint16)
    rgb, tiles = _noise((24, 20, 3)), _noise((40, 36, 3))
    planes = _noise((2, 3, 12, 10), 4096, np.uint16)
    stack: Any = {"photometric": "minisblack"}
    smooth = (np.add.outer(np.arange(32), np.arange(32)) * 4).astype(np.uint8)
    colours = _noise((3, 256), 65536, np.uint16)
    files = {
        "grey": _written(grey),
        "big_endian": _written(wide, byteorder=">"),
        "bigtiff": _written(wide, bigtiff=True),
        "lzw": _written(rgb, photometric="rgb", compression="lzw", predictor=True, rowsperstrip=5),
        "deflate": _written(wide, compression="deflate", rowsperstrip=5),
        "packbits": _written(grey // 64, compression="packbits"),
        "lzma": _written(grey, compression="lzma"),
        "zstd": _written(grey, compression="zstd"),
        "tiles": _written(tiles, photometric="rgb", tile=(16, 16), compression="deflate"),
        "separate": _written(rgb.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        "jpeg": _written(np.stack([smooth] * 3, -1), photometric="rgb", compression="jpeg"),
        "jpeg2000": _written(smooth, compression="jpeg2000"),
        "palette": _written(grey, photometric="palette", colormap=colours),
        "white": _written(grey, photometric="miniswhite"),
        "alpha": _written(_noise((9, 8, 4)), photometric="rgb", extrasamples=["unassalpha"]),
        "packed": _written(wide, bitspersample=12),
        "bits": _written(grey > 99),
        "float": _written(wide.astype(np.float32), compression="deflate", predictor=3),
        "pages": _written(planes[0], metadata=None, **stack),
        "shaped": _written(planes, **stack),
        "truncated": _written(planes[0], truncate=True, **stack),
        "channels_last": _written(_noise((16, 12, 2)), metadata={"axes": "YXC"}, **stack),
        "imagej": _written(planes[:, :, None], imagej=True),
        "ome": _written(planes, ome=True, metadata={"axes": "ZCYX"}, **stack),
        "turned": _written(grey, extratags=[(274, "H", 1, 6, True)]),
        "sub_images": _sub_images(),
        "stk": _stk(),
    }
    return {f"{name}.tif": content for name, content in files.items()}


def _sub_images() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(_noise((24, 20)), metadata=None, subifds=1)
        writer.write(_noise((12, 10)), metadata=None, subfiletype=1)
    return file.getvalue()


def _stk() -> bytes:
    """Write a MetaMorph stack by hand: one page, two tags that count its three planes."""
    planes = _noise((3, 7, 5))
    start = 8 + 2 + 12 * 11 + 4
    tags = {256: (3, 1, 5), 257: (3, 1, 7), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    tags |= {273: (4, 1, start), 277: (3, 1, 1), 278: (3, 1, 7), 279: (4, 1, 35)}
    tags |= {33628: (4, 2, start + 105 + 72), 33629: (5, 3, start + 105)}
    entries = b"".join(
        struct.pack("<HHII", tag, kind, count, value)
        for tag, (kind, count, value) in sorted(tags.items())
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    pixels: bytes = planes.tobytes()
    return head + pixels + struct.pack("<22I", *[1] * 18, 0, 1, 1, 0)
