"""Decode TIFF, including BigTIFF, OME-TIFF, ImageJ, LSM and STK, with tifffile.

tifffile decodes the samples as stored. This module applies what the tags say about their
meaning: palette, white is zero, alpha, orientation and planes.
"""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from cellvision.data.decoders.common import (
    COPY_AGAIN,
    Decoded,
    Pixels,
    Refusal,
    apply_palette,
    check_size,
    damaged,
    drop_alpha,
    spread_to_8_bits,
    upright,
)
from cellvision.data.decoders.tiff_axes import Layout, canonical, read_layout
from cellvision.data.decoders.tiff_directory import check_directories
from cellvision.data.decoders.tiff_segments import check_segments
from cellvision.interfaces.decoded_image import Note
from cellvision.plurals import counted

# Without a handler, Python prints these warnings to standard error. An application that
# configures logging still receives them.
for _name in ("tifffile", "imagecodecs"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_JPEG = (6, 7)
_REDUCED, _MASK = 1, 4
_EXPORT = "Export it as a plain grey or RGB TIFF"


def decode(file: BinaryIO) -> Decoded:
    """Decode an open TIFF file; planes become channels in canonical order.

    Returns
    -------
    tuple
        Pixels (H, W, C) in the stored dtype and native byte order; bits per sample; notes.

    Raises
    ------
    common.Refusal
        Pages differ, the colour space (such as CMYK) has no exact RGB, strips or planes are
        missing, or the file contains several images or is too large.
    Exception
        Any exception that tifffile raises for damaged data.
    """
    check_directories(file, os.fstat(file.fileno()).st_size)
    file.seek(0)
    notes: list[str] = []
    with tifffile.TiffFile(file) as tiff:
        pages = _pages(tiff, notes)
        first = pages[0]
        bits = _check_page(first)
        if tiff.is_lsm or first.is_stk:
            stack = _from_series(tiff, notes)
        else:
            layout = read_layout(pages, Path(file.name).name, notes)
            stack = _from_pages(pages, layout, notes)
        pixels, bits = _interpret(stack, first, bits, notes)
        orientation = first.tags.valueof(274, 1)
    if isinstance(orientation, int) and 2 <= orientation <= 8:
        notes.append(Note(f"TIFF orientation {orientation} applied", "orientation_applied"))
        pixels = upright(pixels, orientation)
    return pixels, bits, notes


def _pages(tiff: tifffile.TiffFile, notes: list[str]) -> list[tifffile.TiffPage]:
    """Return the full-size pages, without thumbnails, pyramid levels and masks."""
    try:
        all_pages = [page.aspage() for page in tiff.pages]
    except (IndexError, ValueError, tifffile.TiffFileError) as error:
        raise damaged("TIFF", f"its list of pages is broken ({error})") from error
    if not all_pages:
        raise damaged("TIFF", "it has no page")
    if len(all_pages) == 1:
        return all_pages
    pages = [page for page in all_pages if not page.subfiletype & (_REDUCED | _MASK)]
    if pages and len(pages) < len(all_pages):
        text = f"{counted(len(all_pages) - len(pages), 'page')} of reduced size or masks left out"
        notes.append(Note(text, "reduced_pages_left_out"))
    return pages or all_pages


def _check_page(page: tifffile.TiffPage) -> int:
    """Refuse a page whose pixels cannot be decoded exactly; return the bits per sample."""
    if 0 in page.shaped:
        check_size(page.imagelength, page.imagewidth, page.samplesperpixel, 1)
    if page.photometric == _CMYK:
        raise Refusal("its colours are CMYK (for print)", "Convert it to RGB")
    readable = {_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE}
    if page.photometric not in readable and not (
        page.photometric == _YCBCR and page.compression in _JPEG
    ):
        name = getattr(page.photometric, "name", str(page.photometric))
        raise Refusal(f"its colour space {name} is not supported", _EXPORT)
    bits = page.bitspersample
    if page.dtype is None or page.dtype.kind not in "buif" or not isinstance(bits, int):
        kind = getattr(page.sampleformat, "name", page.sampleformat)
        raise Refusal(f"its samples ({bits} bits, {kind}) are not supported", _EXPORT)
    return bits


def _from_series(tiff: tifffile.TiffFile, notes: list[str]) -> Pixels:
    """Read the planes of an LSM or STK file through tifffile's series."""
    series = tiff.series[0]
    sizes = dict(zip(series.axes, series.shape, strict=True))
    if len(sizes) < series.ndim or not {"Y", "X"} <= sizes.keys():
        raise Refusal(f"its axes {series.axes} are not supported", _EXPORT)
    others = canonical([axis for axis in series.axes if axis not in "YX"])
    channels = math.prod(sizes[axis] for axis in others)
    check_size(sizes["Y"], sizes["X"], channels, series.dtype.itemsize)
    if tiff.is_lsm:
        for page in series.pages:
            check_segments(page.aspage(), tiff.filehandle)
    elif series.size * series.dtype.itemsize > tiff.filehandle.size:
        raise damaged("TIFF", "planes are missing (cut off?)")
    _note_planes({axis: sizes[axis] for axis in series.axes if axis in others}, channels, notes)
    stack = np.asarray(series.asarray(maxworkers=1))
    order = [series.axes.index(axis) for axis in ["Y", "X", *others]]
    return np.ascontiguousarray(stack.transpose(order)).reshape(sizes["Y"], sizes["X"], -1)


def _from_pages(pages: list[tifffile.TiffPage], layout: Layout, notes: list[str]) -> Pixels:
    """Read all planes as (H, W, C), in canonical order."""
    first = pages[0]
    _check_equal(pages)
    samples = math.prod(first.shaped) // (first.imagelength * first.imagewidth)
    within = layout.rows or (
        ("Y", first.imagelength),
        ("X", first.imagewidth),
        ("S", samples),
    )
    stored = (*layout.planes, *within)
    sizes = dict(stored)
    others = canonical([axis for axis, _ in stored if axis not in "YX"])
    channels = math.prod(sizes[axis] for axis in others)
    check_size(sizes["Y"], sizes["X"], channels, first.dtype.itemsize)
    for page in pages:
        check_segments(page, first.parent.filehandle)
    if layout.count > 1:
        if layout.declared:
            planes = {axis: size for axis, size in stored if axis in others}
            if layout.rows is None or planes.keys() - {"C"}:
                _note_planes(planes, channels, notes)
        else:
            text = f"{layout.count} pages read as {channels} channels"
            notes.append(Note(text, "pages_as_channels"))
    elif layout.rows is None:
        return _plane(first, 0)
    image = np.empty([sizes[axis] for axis in ("Y", "X", *others)], first.dtype)
    order = [("Y", "X", *others).index(axis) for axis, _ in stored]
    target = image.transpose(order)
    shape = tuple(size for _, size in layout.planes)
    numbers = layout.numbers or range(layout.count)
    for stored_number, number in enumerate(numbers):
        page = pages[stored_number] if len(pages) > 1 else first
        plane = _plane(page, stored_number if len(pages) == 1 else 0)
        target[np.unravel_index(number, shape)] = plane.reshape([size for _, size in within])
    return image.reshape(sizes["Y"], sizes["X"], -1)


def _check_equal(pages: list[tifffile.TiffPage]) -> None:
    first = pages[0]
    for number, page in enumerate(pages[1:], start=2):
        for attribute in ("shape", "dtype", "photometric", "bitspersample"):
            expected, actual = getattr(first, attribute), getattr(page, attribute)
            if expected != actual:
                raise Refusal(
                    f"pages 1 and {number} of {len(pages)} differ in {attribute} "
                    f"({_format(expected)} and {_format(actual)}), so they are not channels of "
                    "one image",
                    "Export each page as a separate file",
                )
        same = np.array_equal(_colours(page), _colours(first))
        if first.photometric == _PALETTE and first.bitspersample <= 8 and not same:
            raise Refusal(f"pages 1 and {number} of {len(pages)} differ in palette", _EXPORT)


def _colours(page: tifffile.TiffPage) -> Pixels:
    return np.asarray(page.colormap if page.colormap is not None else [])


def _format(value: object) -> str:
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return str(getattr(value, "name", value))


def _plane(page: tifffile.TiffPage, number: int) -> Pixels:
    """Decode one page, or the plane stored `number` planes after it, to (H, W, C)."""
    # (separate samples, depth, height, width, samples together)
    if number:
        handle = page.parent.filehandle
        handle.seek(page.dataoffsets[0] + number * page.nbytes)
        dtype = page.dtype.newbyteorder(page.parent.byteorder)
        stored = handle.read_array(dtype, math.prod(page.shaped)).reshape(page.shaped)
    else:
        stored = np.asarray(page.asarray(squeeze=False, maxworkers=1))
    height, width = stored.shape[2:4]
    planes = stored.transpose(2, 3, 1, 0, 4).reshape(height, width, -1)
    native: Pixels = planes.astype(planes.dtype.newbyteorder("="), order="C", copy=False)
    return native


def _interpret(
    stack: Pixels, page: tifffile.TiffPage, bits: int, notes: list[str]
) -> tuple[Pixels, int]:
    """Apply what the tags say about the samples: white is zero, alpha, palette, 2 or 4 bits."""
    if page.photometric == _MIN_IS_WHITE:
        if stack.dtype.kind in "bu":
            # As viewers do, so that more light is a larger value.
            stack = ~stack if stack.dtype == bool else stack.dtype.type(2**bits - 1) - stack
            notes.append(Note("white-is-zero values inverted", "inverted"))
        else:
            notes.append(Note("white is zero; values kept as stored", "white_is_zero"))
    alpha = _alpha_channels(page, notes)
    if alpha and stack.shape[2] % page.samplesperpixel == 0:
        starts = range(0, stack.shape[2], page.samplesperpixel)
        stack = drop_alpha(stack, [start + channel for start in starts for channel in alpha], notes)
    if page.photometric == _PALETTE:
        if bits > 8:
            notes.append(Note("colour map ignored; values kept as stored", "colour_map_ignored"))
            return stack, bits
        if page.colormap is None:
            raise damaged("TIFF", "its palette is missing")
        stack = apply_palette(stack, _palette(page.colormap), notes)
        return stack, 8 * stack.dtype.itemsize
    if stack.dtype == np.uint8 and bits in (2, 4):
        return spread_to_8_bits(stack, bits, notes), 8
    return stack, bits


def _alpha_channels(page: tifffile.TiffPage, notes: list[str]) -> list[int]:
    """Return which samples of a pixel are alpha; the grey or colour samples never are."""
    extra = page.extrasamples
    first = page.samplesperpixel - len(extra)
    alpha = [first + i for i, meaning in enumerate(extra) if meaning in (1, 2)]
    colours = 3 if page.photometric in (_RGB, _YCBCR) else 1
    colour_samples = [channel for channel in alpha if channel < min(colours, page.samplesperpixel)]
    if colour_samples:
        text = "sample declared as alpha read as a channel: the image has no other"
        notes.append(Note(text, "alpha_kept", warning=True))
    return [channel for channel in alpha if channel not in colour_samples]


def _palette(colormap: Pixels) -> Pixels:
    """Convert a (3, entries) 16-bit colour map to (entries, 3), 8-bit if its values are.

    The standard multiplies 8-bit values by 257; older programs multiply by 256, or write them
    unscaled.
    """
    entries = np.asarray(colormap, np.uint16)
    if entries.ndim != 2 or len(entries) != 3:
        raise Refusal("damaged TIFF: its palette is incomplete", COPY_AGAIN)
    entries = entries.T
    for step in (257, 256):
        if not (entries % step).any():
            return (entries // step).astype(np.uint8)
    return entries.astype(np.uint8) if entries.max() < 256 else entries


def _note_planes(stored: dict[str, int], channels: int, notes: list[str]) -> None:
    """Note how planes became channels, and whether their order changed."""
    sizes = {axis: size for axis, size in stored.items() if size > 1}
    if not sizes:
        return
    order = canonical(list(sizes))
    axes, shape = "".join(order), "x".join(str(sizes[axis]) for axis in order)
    text = f"axes {axes} {shape} flattened to {counted(channels, 'channel')}"
    if set(sizes) <= {"C", "S"}:
        text = f"{counted(sizes.get('C', 1), 'page')} read as {channels} channels"
    notes.append(Note(text, "pages_as_channels"))
    if order != list(sizes):
        text = f"planes stored in the order {''.join(sizes)} put in the order {axes}"
        notes.append(Note(text, "planes_reordered"))
