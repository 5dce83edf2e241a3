"""Which axis runs over the planes of a TIFF, as its own metadata declare it.

OME-XML, ImageJ's description and tifffile's "shaped" description say how many planes there are
and in which order. Whatever order a file has, channels come out in one order, slowest first:
axes without a meaning here, then T, Z, C and the samples of one pixel.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import tifffile

from cellvision.data.decoders import ome
from cellvision.data.decoders.common import Refusal, damaged
from cellvision.interfaces.decoded_image import Note

_ORDER = "TZCS"
_MAX_NUMBER = 2**31
_WIDEST_CHANNELS = 16
_SQUARE = 4
_OLD_SHAPE = re.compile(r"shape=\((\d{1,9}(?:\s*,\s*\d{1,9}){0,11})\s*,?\s*\)", re.ASCII)
_AXES_HINT = "Write it again with metadata={'axes': ...} in tifffile, or one page a channel"
_IMAGEJ_ORDERS = {
    "czt": "TZC",
    "ctz": "ZTC",
    "zct": "TCZ",
    "ztc": "CTZ",
    "tcz": "ZCT",
    "tzc": "CZT",
}


@dataclass(frozen=True)
class Layout:
    """How the planes of a file make an image.

    Attributes
    ----------
    planes : tuple of (str, int)
        Axes that run over the planes, slowest first, with their sizes.
    rows : tuple of (str, int) or None
        Axes within a stored plane, if it is not an image (height, width, samples).
    numbers : tuple of int or None
        For each stored plane its number, counted along `planes`; None: as stored.
    declared : bool
        Whether metadata name the axes; otherwise pages are taken as channels.
    """

    planes: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, int], ...] | None = None
    numbers: tuple[int, ...] | None = None
    declared: bool = True

    @property
    def count(self) -> int:
        """Number of planes."""
        return math.prod(size for _, size in self.planes)


def canonical(axes: list[str]) -> list[str]:
    """Sort axes other than Y and X, slowest first."""
    return sorted(axes, key=lambda axis: _ORDER.find(axis))


def read_layout(pages: list[tifffile.TiffPage], file_name: str, notes: list[str]) -> Layout:
    """Read what a file declares about its planes.

    Parameters
    ----------
    pages
        Its full-size pages. A single page may stand for many planes that follow one another.
    file_name
        Its name, by which an OME-TIFF of several files knows it.
    notes
        Receives what is assumed or ignored.

    Raises
    ------
    common.Refusal
        The metadata declare several images, or planes that the file does not hold.
    """
    first = pages[0]
    layout = None
    if first.is_ome:
        layout = _ome_layout(pages, file_name, notes)
    elif first.is_imagej:
        layout = _imagej_layout(pages, notes)
    elif any(_shaped(page) for page in pages):
        layout = _shaped_layout(pages, notes)
    return layout or Layout((("Q", len(pages)),), declared=False)


def _missing(source: str, declared: int, present: int) -> Refusal:
    return damaged("TIFF", f"its {source} declares {declared} planes, the file holds {present}")


def _ignored(source: str, why: str, notes: list[str]) -> None:
    notes.append(Note(f"{source} ignored: {why}", "metadata_ignored", warning=True))


# --- OME-XML --------------------------------------------------------------------------------


def _ome_layout(pages: list[tifffile.TiffPage], file_name: str, notes: list[str]) -> Layout | None:
    try:
        document = ome.parse(pages[0].description)
        return _ome_planes(document, pages, file_name, notes)
    except ome.OmeError as error:
        if len(pages) > 1:
            raise Refusal(f"its OME-XML cannot be used: {error}", "Export it again") from error
        _ignored("OME-XML", str(error), notes)
        return None


def _ome_planes(
    document: ome.Ome, pages: list[tifffile.TiffPage], file_name: str, notes: list[str]
) -> Layout | None:
    if len(document.images) > 1:
        here = [
            i for i in document.images if not i.blocks or ome.own_blocks(document, i, file_name)
        ]
        if len(here) != 1:
            raise Refusal(
                f"its OME-XML declares {len(document.images)} images, not one",
                "Export each image as a separate file",
            )
        document.images[:] = here
    if not document.images:
        return None  # the metadata are in another file
    image = document.images[0]
    sizes = image.split_channels(pages[0].samplesperpixel)
    planes = tuple(sizes.items())
    total = math.prod(sizes.values())
    if not image.blocks:
        if total > len(pages):
            raise _missing("OME-XML", total, len(pages))
        if total < len(pages):
            _ignored("OME-XML", f"it declares {total} planes for {len(pages)} pages", notes)
            return None
        return Layout(planes)
    blocks = ome.own_blocks(document, image, file_name)
    numbers = ome.plane_numbers(blocks, sizes, len(pages))
    if None in numbers:
        raise ome.OmeError(f"it names {len(pages) - numbers.count(None)} of {len(pages)} pages")
    taken = tuple(number for number in numbers if number is not None)
    if len(taken) == total:
        return Layout(planes, numbers=taken)
    if not ome.names_other_files(document, file_name):
        raise _missing("OME-XML", total, len(taken))
    text = f"{len(taken)} of the {total} planes of a set of files"
    notes.append(Note(text, "part_of_a_set", warning=True))
    ranks = _canonical_ranks(taken, sizes)
    return Layout((("Q", len(taken)),), numbers=ranks, declared=False)


def _canonical_ranks(numbers: tuple[int, ...], sizes: dict[str, int]) -> tuple[int, ...]:
    """Rank some planes of a larger whole in the canonical order of its axes."""
    axes = list(sizes)

    def place(number: int) -> list[int]:
        indices: dict[str, int] = {}
        for axis in reversed(axes):
            number, indices[axis] = divmod(number, sizes[axis])
        return [indices[axis] for axis in canonical(axes)]

    order = sorted(range(len(numbers)), key=lambda k: place(numbers[k]))
    ranks = [0] * len(numbers)
    for rank, k in enumerate(order):
        ranks[k] = rank
    return tuple(ranks)


# --- ImageJ ---------------------------------------------------------------------------------


def _imagej_layout(pages: list[tifffile.TiffPage], notes: list[str]) -> Layout | None:
    first = pages[0]
    values = dict(
        line.split("=", 1) for line in first.description.splitlines() if line.count("=") == 1
    )

    def number(name: str) -> int:
        text = values.get(name, "1").strip()
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not 0 < value < _MAX_NUMBER:
            raise damaged("TIFF", f"its ImageJ description declares {name}={text[:20]}")
        return value

    if values.keys() & {"c0", "c1"}:
        text = "ImageJ's calibration of intensities not applied"
        notes.append(Note(text, "calibration_ignored", warning=True))
    sizes = {"T": number("frames"), "Z": number("slices"), "C": number("channels")}
    images = number("images") if "images" in values else math.prod(sizes.values())
    if sizes["C"] in (first.shaped[0], first.shaped[4]):  # samples declared as channels
        sizes["C"] = 1
        images = number("images") if "images" in values else math.prod(sizes.values())
        if images == math.prod(sizes.values()) * first.samplesperpixel:
            images //= first.samplesperpixel
    order = _IMAGEJ_ORDERS.get(values.get("order", "czt").strip().lower(), "TZC")
    planes = [(axis, sizes[axis]) for axis in order]
    known = math.prod(sizes.values())
    declared = max(images, known)
    present = len(pages) if len(pages) > 1 else _planes_in_one_page(first, declared)
    if declared > present:
        raise _missing("ImageJ description", declared, present)
    if declared == 1 < present or present % known:
        _ignored("ImageJ description", f"{declared} planes for {present} pages", notes)
        return None
    return Layout((("I", present // known), *planes) if present > known else tuple(planes))


def _planes_in_one_page(page: tifffile.TiffPage, declared: int) -> int:
    """Count the planes, up to `declared`, that follow one another behind a single page."""
    plain = page.predictor == 1 and page.fillorder == 1
    if not page.is_contiguous or not plain or not page.nbytes:
        return 1
    room = int(page.parent.filehandle.size - page.dataoffsets[0])
    return max(1, min(declared, room // int(page.nbytes)))


# --- tifffile -------------------------------------------------------------------------------


def _shaped(page: tifffile.TiffPage) -> dict[str, Any]:
    """Return tifffile's own description of a page: its shape, and maybe its axes."""
    for text in (page.description, page.description1):
        described = _described(text)
        shape = described.get("shape") if isinstance(described, dict) else None
        if isinstance(shape, list) and all(
            type(size) is int and 0 < size < _MAX_NUMBER for size in shape
        ):
            return dict(described)
    return {}


def _described(text: str) -> Any:
    """Parse a description of tifffile: JSON, or ``shape=(32, 32, 2)`` of versions before 2016."""
    if (numbers := _OLD_SHAPE.fullmatch(text)) is not None:
        return {"shape": [int(number) for number in numbers[1].split(",")]}
    if not text.startswith("{") or '"shape"' not in text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shaped_layout(pages: list[tifffile.TiffPage], notes: list[str]) -> Layout | None:
    first = pages[0]
    described = [_shaped(page) for page in pages]
    several = sum(map(bool, described))
    size = math.prod(first.shape)
    if several > 1:
        if all(math.prod(one["shape"]) == size for one in described if one):
            return None  # written page by page
        raise Refusal(
            f"it holds {several} series of images, not one", "Export each as a separate file"
        )
    shape = tuple(described[0].get("shape", ()))
    declared, remainder = divmod(math.prod(shape), size)
    if not shape or remainder or not declared:
        _ignored("tifffile's description", "it does not fit the pages", notes)
        return None
    present = len(pages) if len(pages) > 1 else _planes_in_one_page(first, declared)
    if declared > present:
        raise _missing("tifffile description", declared, present)
    if declared < present:
        _ignored("tifffile's description", f"{declared} planes for {present} pages", notes)
        return None
    axes = described[0].get("axes")
    if isinstance(axes, str) and len(axes) == len(shape):
        return _named_axes(first, shape, axes.upper())
    return _unnamed_axes(first, shape, notes)


def _page_axes(shape: tuple[int, ...], page: tifffile.TiffPage) -> int:
    """Count the last axes of a shape that lie within a page."""
    size, count = 1, 0
    while count < len(shape) and (size < math.prod(page.shape) or count < page.ndim):
        count += 1
        size *= shape[-count]
        if size == math.prod(page.shape) and shape[-count:] == page.shape:
            break
    if size != math.prod(page.shape):
        raise Refusal("its description divides pages", _AXES_HINT)
    return count


def _named_axes(page: tifffile.TiffPage, shape: tuple[int, ...], axes: str) -> Layout:
    names = [axis if axes.count(axis) == 1 else f"{axis}{i}" for i, axis in enumerate(axes)]
    sizes = list(zip(names, shape, strict=True))
    within = _page_axes(shape, page)
    planes, rows = sizes[: len(sizes) - within], sizes[len(sizes) - within :]
    if not {"Y", "X"} <= set(names):
        raise Refusal(f"its axes {axes[:20]} have no height and width", _AXES_HINT)
    if [name for name, size in rows if size > 1 or name in "YX"][:2] == ["Y", "X"] and (
        dict(rows)["Y"],
        dict(rows)["X"],
    ) == (page.imagelength, page.imagewidth):
        return Layout(tuple(planes))
    if shape[-within:] == page.shape and page.axes == "SYX" and names[-2:] == ["Y", "X"]:
        return Layout(tuple(planes))
    if page.samplesperpixel > 1:
        raise Refusal(f"its axes {axes[:20]} do not fit its pages ({page.axes})", _AXES_HINT)
    return Layout(tuple(planes), tuple(rows))


def _unnamed_axes(
    page: tifffile.TiffPage, shape: tuple[int, ...], notes: list[str]
) -> Layout | None:
    """Guess the axes of a shape: a short last one, of pages that are no images, is channels."""
    sizes = [size for size in shape if size > 1]
    pages = math.prod(shape) // math.prod(page.shape)
    pages_as_channels = Layout((("Q", pages),), declared=False)
    if page.samplesperpixel > 1 or len(sizes) < 3 or not _channels_last(*sizes[-3:]):
        return pages_as_channels
    height, width, channels = sizes[-3:]
    leading = math.prod(sizes[:-3])
    axes = [("Y", height), ("X", width), ("C", channels)]
    if pages == leading * height:
        planes, rows = axes[:1], axes[1:]
    elif pages == leading * height * width:  # written with an axis of length 1, a pixel a page
        planes, rows = axes[:2], axes[2:]
    else:
        return pages_as_channels
    text = f"shape {' x '.join(map(str, shape))} read as height, width and channels"
    notes.append(Note(text, "axes_assumed", warning=True))
    first = [("Q", leading)] if leading > 1 else []
    return Layout((*first, *planes), tuple(rows))


def _channels_last(height: int, width: int, channels: int) -> bool:
    """Tell whether (a, b, c) is height, width, channels rather than c columns in b rows."""
    if channels >= min(height, width):
        return False
    if channels <= _WIDEST_CHANNELS:
        return True
    if height == width:
        return 2 * channels <= width
    square = max(height, width) <= _SQUARE * min(height, width)
    return square and width > _SQUARE * channels
