"""TIFF in all its kinds (BigTIFF, OME-TIFF, ImageJ, LSM, STK), through tifffile.

tifffile gives the samples as they are stored. What the tags say about their meaning
(palette, white is zero, alpha, orientation, pages) is applied here.
"""

from __future__ import annotations

import logging
import math
import re
from typing import BinaryIO, Literal

import numpy as np
import tifffile

from cellvision.data.decoders.common import (
    Decoded,
    Pixels,
    Refusal,
    apply_palette,
    check_size,
    spread_to_8_bits,
    upright,
)

# Without a handler Python prints a library's warnings on standard error; whoever sets up
# logging still sees them.
for _name in ("tifffile", "imagecodecs"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_JPEG = (6, 7, 34892, 33007)
_REDUCED, _MASK = 1, 4
_EXPORT = "Export it as a plain grey or RGB TIFF"
_OME_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b([^>]*)>")
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*[\"']([^\"']*)[\"']")
_AGAIN = "Copy or export the file again, or leave it out"


def decode(file: BinaryIO) -> Decoded:
    """Decode an open TIFF file; several pages become channels, in the order of the file.

    Returns
    -------
    tuple
        Pixels (H, W, C) in the stored dtype and native byte order; bits per sample; notes.

    Raises
    ------
    parts.Refusal
        Unequal pages, CMYK and other colour spaces without a faithful RGB, missing strips,
        or too large.
    Exception
        Whatever tifffile raises for damaged data.
    """
    notes: list[str] = []
    with tifffile.TiffFile(file) as tiff:
        pages = _pages(tiff, notes)
        first = pages[0]
        bits = _check_page(first)
        series = _hidden_planes(tiff, first)
        if series is not None:
            stack = _from_series(series, notes)
        else:
            stack = _from_pages(tiff, pages, notes)
        pixels, bits = _interpret(stack, first, len(pages), bits, notes)
        orientation = int(first.tags.valueof(274, 1))
    if 2 <= orientation <= 8:
        notes.append(f"TIFF orientation {orientation} applied")
        pixels = upright(pixels, orientation)
    return pixels, bits, notes


def _pages(tiff: tifffile.TiffFile, notes: list[str]) -> list[tifffile.TiffPage]:
    """Return the full-size pages: thumbnails, pyramid levels and masks are none."""
    try:
        everything = [page.aspage() for page in tiff.pages]
    except (IndexError, ValueError, tifffile.TiffFileError) as error:
        raise Refusal(f"damaged TIFF: its list of pages is broken ({error})", _AGAIN) from error
    if not everything:
        raise Refusal("damaged TIFF: it has no page", _AGAIN)
    _check_chain(tiff, everything[-1], len(everything))
    if len(everything) == 1:
        return everything
    pages = [page for page in everything if not page.subfiletype & (_REDUCED | _MASK)]
    if pages and len(pages) < len(everything):
        left_out = len(everything) - len(pages)
        notes.append(f"{left_out} page(s) of reduced size or masks left out")
    return pages or everything


def _check_chain(tiff: tifffile.TiffFile, last: tifffile.TiffPage, count: int) -> None:
    """Refuse a file whose last page points to another one that is not there.

    tifffile goes on with the pages that it finds; here that would lose channels in silence.
    """
    if tiff.is_ndpi or tiff.is_scanimage:  # these keep their offsets in ways of their own
        return
    kind, handle = tiff.tiff, tiff.filehandle
    handle.seek(last.offset)
    entries = int.from_bytes(handle.read(kind.tagnosize), _order(tiff))
    handle.seek(last.offset + kind.tagnosize + entries * kind.tagsize)
    # Some writers leave the closing zero out, so nothing at all is taken for the end.
    if int.from_bytes(handle.read(kind.offsetsize), _order(tiff)):
        raise Refusal(
            f"damaged TIFF: its list of pages breaks off after page {count} (cut off?)", _AGAIN
        )


def _order(tiff: tifffile.TiffFile) -> Literal["little", "big"]:
    return "little" if tiff.byteorder == "<" else "big"


def _check_page(page: tifffile.TiffPage) -> int:
    """Refuse what has no faithful pixels; return the bits per sample."""
    if 0 in page.shaped:
        check_size(page.imagelength, page.imagewidth, page.samplesperpixel, 1)
    if page.photometric == _CMYK:
        raise Refusal("its colours are CMYK (for print)", "Convert it to RGB")
    readable = {_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE}
    if page.photometric not in readable and not (
        page.photometric == _YCBCR and page.compression in _JPEG
    ):
        name = getattr(page.photometric, "name", str(page.photometric))
        raise Refusal(f"its colour space {name} is not read", _EXPORT)
    bits = page.bitspersample
    if page.dtype is None or page.dtype.kind not in "buif" or not isinstance(bits, int):
        kind = getattr(page.sampleformat, "name", page.sampleformat)
        raise Refusal(f"its samples ({bits} bits, {kind}) are not read", _EXPORT)
    return bits


def _hidden_planes(
    tiff: tifffile.TiffFile, page: tifffile.TiffPage
) -> tifffile.TiffPageSeries | None:
    """Return the series of a file that keeps more planes than its list of pages shows.

    STK always does, LSM byte counts need tifffile's mending, and ImageJ and tifffile may
    describe a whole stack in one page.
    """
    if tiff.is_lsm:
        return tiff.series[0]
    if len(tiff.pages) == 1 and (tiff.is_stk or tiff.is_imagej or tiff.is_shaped):
        series = tiff.series[0]
        if series.size > page.size:
            return series
    return None


def _from_series(series: tifffile.TiffPageSeries, notes: list[str]) -> Pixels:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    others = [axis for axis in series.axes if axis not in "YX"]
    channels = math.prod(sizes[axis] for axis in others)
    check_size(sizes["Y"], sizes["X"], channels, series.dtype.itemsize)
    notes.append(_flattened({axis: sizes[axis] for axis in others}, channels))
    stack = np.asarray(series.asarray(maxworkers=1))
    order = [series.axes.index(axis) for axis in ["Y", "X", *others]]
    return np.ascontiguousarray(stack.transpose(order)).reshape(sizes["Y"], sizes["X"], -1)


def _from_pages(
    tiff: tifffile.TiffFile, pages: list[tifffile.TiffPage], notes: list[str]
) -> Pixels:
    first = pages[0]
    for number, page in enumerate(pages[1:], start=2):
        for what in ("shape", "dtype", "photometric", "bitspersample"):
            ours, theirs = getattr(first, what), getattr(page, what)
            if ours != theirs:
                raise Refusal(
                    f"pages 1 and {number} of {len(pages)} differ in {what} "
                    f"({_word(ours)} and {_word(theirs)}), so they are no channels of one image",
                    "Export the pages as files of their own",
                )
        if page.colormap is not None and not np.array_equal(page.colormap, first.colormap):
            raise Refusal(f"pages 1 and {number} of {len(pages)} differ in palette", _EXPORT)
    separate, depth, height, width, together = first.shaped
    each = separate * depth * together
    check_size(height, width, each * len(pages), first.dtype.itemsize)
    for page in pages:
        _check_segments(page, tiff.filehandle.size)
    if len(pages) == 1:
        return _planes_last(first)
    stack = np.empty((height, width, each * len(pages)), first.dtype)
    for number, page in enumerate(pages):
        stack[..., number * each : (number + 1) * each] = _planes_last(page)
    notes.append(_axes_note(tiff, len(pages), stack.shape[2]))
    return stack


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return str(getattr(value, "name", value))


def _planes_last(page: tifffile.TiffPage) -> Pixels:
    """Decode one page to (H, W, C), whether its samples are stored together or apart."""
    # (separate samples, depth, height, width, samples together)
    stored = np.asarray(page.asarray(squeeze=False, maxworkers=1))
    height, width = stored.shape[2:4]
    planes = stored.transpose(2, 3, 1, 0, 4).reshape(height, width, -1)
    return planes.astype(planes.dtype.newbyteorder("="), order="C", copy=False)


def _check_segments(page: tifffile.TiffPage, file_size: int) -> None:
    """Refuse a page of which a strip or tile is absent or lies beyond the end of the file.

    tifffile reads absent ones as zeros, which nobody measured.
    """
    kind = "tile" if page.is_tiled else "strip"
    if page.is_contiguous:
        offset = page.dataoffsets[0]
        if offset + page.nbytes > file_size:
            missing = min(offset + page.nbytes - file_size, page.nbytes)
            raise Refusal(
                f"damaged TIFF: {missing} of {page.nbytes} bytes of pixels are missing (cut off?)",
                _AGAIN,
            )
        return
    expected = math.prod(page.chunked)
    there = sum(1 for count in page.databytecounts[:expected] if count)
    if there < expected:
        raise Refusal(f"{expected - there} of its {expected} {kind}s hold no data", _AGAIN)
    for number, (offset, count) in enumerate(
        zip(page.dataoffsets, page.databytecounts, strict=False), start=1
    ):
        if offset + count > file_size:
            raise Refusal(
                f"damaged TIFF: {kind} {number} of {expected} lies beyond the end of the file "
                "(cut off?)",
                _AGAIN,
            )


def _interpret(
    stack: Pixels, page: tifffile.TiffPage, pages: int, bits: int, notes: list[str]
) -> tuple[Pixels, int]:
    """Apply what the tags say about the samples: white is zero, alpha, palette, few bits."""
    if page.photometric == _MIN_IS_WHITE:
        if stack.dtype.kind in "bu":
            # As a viewer shows it: more light is a larger value.
            stack = ~stack if stack.dtype == bool else stack.dtype.type(2**bits - 1) - stack
            notes.append("white-is-zero values inverted")
        else:
            notes.append("white is zero; values kept as stored")
    each = stack.shape[2] // pages
    extra = page.extrasamples[-each:]
    alpha = [each - len(extra) + i for i, meaning in enumerate(extra) if meaning in (1, 2)]
    if alpha and page.samplesperpixel == each:
        stack = np.delete(stack, [p * each + a for p in range(pages) for a in alpha], axis=2)
        notes.append("alpha channel dropped")
    if page.photometric == _PALETTE:
        if page.colormap is None:
            raise Refusal("damaged TIFF: its palette is missing", _AGAIN)
        stack = apply_palette(stack, _palette(page.colormap), notes)
        return stack, 8 * stack.dtype.itemsize
    if stack.dtype == np.uint8 and bits in (2, 4):
        return spread_to_8_bits(stack, bits, notes), 8
    return stack, bits


def _palette(colormap: Pixels) -> Pixels:
    """Turn a (3, entries) 16-bit colormap into (entries, 3), 8-bit where it holds 8-bit values.

    The standard scales 8-bit values by 257; older programs shift them by 8 bits instead, or
    write them as they are.
    """
    entries = np.asarray(colormap, np.uint16).T
    for step in (257, 256):
        if not (entries % step).any():
            return (entries // step).astype(np.uint8)
    return entries.astype(np.uint8) if entries.max() < 256 else entries


def _axes_note(tiff: tifffile.TiffFile, pages: int, channels: int) -> str:
    sizes = {axis: size for axis, size in _declared_axes(tiff).items() if size > 1}
    planes = math.prod(sizes.values())
    if set(sizes) - {"C"} and planes in (pages, channels):
        return _flattened(sizes, channels)
    note = f"{pages} pages read as {channels} channels"
    if planes > 1 and planes not in (pages, channels):
        note += f" (the metadata speak of {planes} planes)"
    return note


def _flattened(sizes: dict[str, int], channels: int) -> str:
    sizes = {axis: size for axis, size in sizes.items() if size > 1}
    axes, shape = "".join(sizes), "x".join(map(str, sizes.values()))
    return f"axes {axes} {shape} flattened to {channels} channels"


def _declared_axes(tiff: tifffile.TiffFile) -> dict[str, int]:
    """Return axis to size, the slowest first, as OME-XML or ImageJ declare it."""
    if tiff.is_ome:
        found = _OME_PIXELS.findall(tiff.ome_metadata or "")
        declared = dict(_ATTRIBUTE.findall(found[0])) if len(found) == 1 else {}
        try:
            return {a: int(declared[f"Size{a}"]) for a in declared["DimensionOrder"][:1:-1]}
        except (KeyError, ValueError):
            return {}
    if tiff.is_imagej:
        described = tiff.imagej_metadata or {}
        names = {"T": "frames", "Z": "slices", "C": "channels"}
        return {axis: int(described.get(name, 1)) for axis, name in names.items()}
    return {}
