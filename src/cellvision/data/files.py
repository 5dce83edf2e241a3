"""Decode one image file to the pixels that were acquired.

Pixels keep their dtype and values: nothing is scaled, cast or guessed. Notes state what was
applied or left out. A file that cannot be decoded exactly is refused with a one-line reason.

Decisions
---------
- The content decides the format; a suffix that contradicts it gets a note.
- Pages of a TIFF are channels. Thumbnails, pyramid levels and masks are not pages. Planes of an
  OME-TIFF, an ImageJ stack or an array written by tifffile always come in the order T, Z, C and
  samples, slowest first, independent of their order in the file. A file whose metadata declare
  planes that it lacks, or several images, is refused.
- *White is zero* TIFFs of unsigned integers are inverted, as viewers do, so that more light is
  always a larger value.
- Palettes that are a grey ramp keep their values; other grey palettes become their grey values,
  colour palettes become RGB (8-bit, or 16-bit if a TIFF's palette contains 16-bit colours). A
  colour map of 16-bit samples is for display only and is ignored.
- Grey of 2 or 4 bits is scaled to 8 bits by an exact factor (85 or 17), as PNG prescribes.
  PGM values stay as stored, independent of the maximum in the header.
- Alpha is dropped, with a warning if it varies. A transparent colour is ignored. Colour
  profiles, gamma and ImageJ's calibration are not applied.
- No pixel is invented. A file with missing rows, strips, tiles or planes is refused, and so is
  one that the decoding library warns about: there is no second, more lenient decoder.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cellvision import errors
from cellvision.data.decoder_plugins import decode_by_plugin, plugin_suffixes
from cellvision.data.missing_path import why_missing
from cellvision.interfaces.decoded_image import DecodedImage, Note
from cellvision.known_plugins import MICROSCOPE_FORMATS, how_to_read

if TYPE_CHECKING:
    from cellvision.data.decoders.common import Decoded, Refusal

_SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp", ".dib"),
    "WebP": (".webp",),
    "PNM": (".pbm", ".pgm", ".ppm", ".pnm"),
    "TIFF": (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk"),
}
_REFUSED_SUFFIXES = (
    ".gif",
    ".ico",
    ".tga",
    ".jp2",
    ".psd",
    ".heic",
    ".avif",
    ".czi",
    ".nd2",
    ".lif",
    ".oib",
    ".oif",
    ".dcm",
)

IMAGE_SUFFIXES: frozenset[str] = plugin_suffixes().union(*_SUFFIXES.values(), _REFUSED_SUFFIXES)
"""Lower-case suffixes of files that are treated as images, including those that plugins decode.

They include unsupported image formats (GIF, TGA, CZI, ...), so that such a file is refused with
a reason and a hint instead of skipped.
"""

_PHANTOMS = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        # folders of macOS, Windows, Linux and of network storage: copies, thumbnails, deleted files
        "__macosx",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "@eadir",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
    }
)

_MICROSCOPE = "Export it as OME-TIFF in the microscope's program or in Fiji"
_CONVERT = "Convert it to PNG or TIFF"
_UNREAD = (  # magic bytes, their position, reason, hint
    (b"GIF8", 0, "GIF images are not supported", _CONVERT),
    (b"\0\0\1\0", 0, "ICO icons are not supported", _CONVERT),
    (b"8BPS", 0, "Photoshop files are not supported", _CONVERT),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000 images are not supported", _CONVERT),
    (b"ftypavif", 4, "AVIF images are not supported", _CONVERT),
    (b"ftyphei", 4, "HEIC images are not supported", _CONVERT),
    (b"P7\n", 0, "PAM images are not supported", _CONVERT),
    (b"%PDF", 0, "it is a PDF", _CONVERT),
    (b"DICM", 128, "DICOM files are not supported", _CONVERT),
    (b"ZISRAWFILE", 0, "Zeiss CZI files are not supported", _MICROSCOPE),
    (b"\xda\xce\xbe\x0a", 0, "Nikon ND2 files are not supported", _MICROSCOPE),
    (
        b"\xd0\xcf\x11\xe0",
        0,
        "OLE containers (Olympus OIB, old ZVI) are not supported",
        _MICROSCOPE,
    ),
    (b"\x89HDF", 0, "HDF5 files are not supported", _MICROSCOPE),
)
_PNM_MAGIC = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124))
_HEAD_BYTES = 132


def is_phantom(path: Path) -> bool:
    """Return whether a file or folder is one that operating systems leave in folders.

    ``.DS_Store``, ``._*`` and other hidden files, ``Thumbs.db``, and folders such as ``@eaDir``
    and ``$RECYCLE.BIN`` are skipped and counted, not refused.

    Examples
    --------
    >>> is_phantom(Path("plate1/._B02.tif")), is_phantom(Path("plate1/B02.tif"))
    (True, False)
    """
    return path.name.startswith(".") or path.name.lower() in _PHANTOMS


def read_image(path: str | os.PathLike[str]) -> DecodedImage:
    """Decode one image file: PNG, JPEG, BMP, WebP, PBM/PGM/PPM or TIFF.

    Pixels keep their dtype and values; nothing is scaled. The module's docstring lists the
    decisions (palettes, white is zero, planes). The function is thread-safe: together, threads
    hold at most 2 GiB of pixels while they decode, and wait for each other beyond that.

    Parameters
    ----------
    path
        Path of the file. Its content decides the format, not its suffix.

    Returns
    -------
    DecodedImage
        ``pixels`` (H, W, C): bool, uint8, uint16, or for TIFF any integer or float dtype;
        ``bit_depth``; ``notes``.

    Raises
    ------
    cellvision.errors.UnreadableImage
        The file is missing, damaged or truncated, its format or colour space is not supported,
        or it is too large: for memory, or above 4 GiB of pixels, which is checked in the header
        before memory is allocated.

    Examples
    --------
    >>> import numpy as np, tempfile, tifffile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tifffile.imwrite(f"{folder}/cell.tif", np.full((4, 5), 4095, np.uint16))
    ...     image = read_image(f"{folder}/cell.tif")
    >>> image.pixels.shape, image.pixels.dtype, image.bit_depth
    ((4, 5, 1), dtype('uint16'), 16)
    """
    from cellvision.data.decoders import memory

    with memory.holding():
        return _read(os.fspath(path))


def _read(name: str) -> DecodedImage:
    from cellvision.data.decoders.common import COPY_AGAIN, Refusal
    from cellvision.data.decoders.compression import compression_of

    kind = ""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - as below
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116 - as below
        if stat.S_ISDIR(mode):
            raise Refusal("it is a folder", "Name the files in it")
        if not stat.S_ISREG(mode):  # opening a pipe would block
            raise Refusal("it is not a regular file", "Name a file on disk")
        with open(name, "rb") as file:  # noqa: PTH123 - Path.open takes twice as long
            head = file.read(_HEAD_BYTES)
            file.seek(0)
            kind = _kind(head)
            if not kind:
                decoded = decode_by_plugin(Path(name))
                if decoded is not None:
                    return decoded
                raise _unknown(head, suffix)
            compression = compression_of(file, kind)
            file.seek(0)
            pixels, bit_depth, notes = _decode(file, kind)
    except errors.CellvisionError:  # of the decoder of a plugin
        raise
    except Refusal as refusal:
        raise errors.UnreadableImage(name, refusal.reason, refusal.hint) from refusal.__cause__
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(name) from error
    except PermissionError as error:
        raise errors.UnreadableImage(
            name, "no permission to read it", "Change its permissions, or leave it out"
        ) from error
    except MemoryError as error:
        raise errors.UnreadableImage(
            name, "not enough memory to decode it", "Export it in smaller parts"
        ) from error
    except Exception as error:  # decoders raise many kinds of exceptions for damaged data
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            raise _missing(name) from error
        reason = f"damaged {kind}: {_one_line(error)}" if kind else _one_line(error)
        raise errors.UnreadableImage(name, reason, COPY_AGAIN) from error
    if suffix in IMAGE_SUFFIXES and suffix not in _SUFFIXES[kind]:
        notes.append(Note(f"named {suffix}, but contains {kind}", "suffix_differs"))
    return DecodedImage(pixels, bit_depth, tuple(notes), compression)


def _missing(name: str) -> errors.UnreadableImage:
    reason = why_missing(name, "no such file")
    is_link = "link" in reason
    hint = "Restore what it leads to, or remove the link" if is_link else "Check the path"
    return errors.UnreadableImage(name, reason, hint)


def _decode(file: BinaryIO, kind: str) -> Decoded:
    if kind == "TIFF":
        from cellvision.data.decoders import tiff

        return tiff.decode(file)
    if kind == "PNM":
        from cellvision.data.decoders import netpbm

        return netpbm.decode(file)
    if kind == "PNG":
        from cellvision.data.decoders import png

        return png.decode(file)
    if kind == "JPEG":
        from cellvision.data.decoders import jpeg

        return jpeg.decode(file)
    from cellvision.data.decoders import raster

    return raster.decode(file, kind)


def _kind(head: bytes) -> str:
    """Return the format that the first bytes identify; empty if unknown."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(_PNM_MAGIC) and (head[2:3].isspace() or head[2:3] == b"#"):
        return "PNM"
    # A text could start with "BM" too, so also check the size of the info header.
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADERS:
        return "BMP"
    return ""


def _unknown(head: bytes, suffix: str) -> Refusal:
    from cellvision.data.decoders.common import Refusal

    if not head:
        return Refusal("the file is empty", "Copy or export it again, or leave it out")
    for magic, start, reason, hint in _UNREAD:
        if head[start:].startswith(magic):
            readable = suffix in MICROSCOPE_FORMATS and hint == _MICROSCOPE
            return Refusal(reason, how_to_read(suffix) if readable else hint)
    if suffix in MICROSCOPE_FORMATS:
        return Refusal(f"{suffix} files are read by a plugin only", how_to_read(suffix))
    if suffix == ".tga":
        return Refusal("TGA images are not supported", _CONVERT)
    if suffix in IMAGE_SUFFIXES and suffix not in _REFUSED_SUFFIXES:
        return Refusal(
            f"its content is not an image, although it is named {suffix}",
            "Copy or export it again, or leave it out",
        )
    return Refusal("its content is not in a supported image format", _CONVERT)


def _one_line(error: BaseException) -> str:
    """Return a decoder's message as one line of moderate length."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (struct.error, LookupError)):  # a decoder read past the end
        return "it is cut off, or its header is broken"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
