"""Tables of objects: coordinates or boxes from CellProfiler, QuPath, ImageJ, scikit-image or us.

Positions are converted to pixel indices: (0, 0) is the centre of the first pixel. CellProfiler and
scikit-image count in this way already; QuPath and ImageJ put (0, 0) at the corner of the first
pixel, so that the first pixel's centre is (0.5, 0.5). Boxes are half-open everywhere: from the
first pixel of the object to the one after its last.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cellvision import errors
from cellvision.csv_cells import compose_name

from .decimal_commas import has_decimal_commas, with_decimal_point
from .provenance import read_rows


@dataclass(frozen=True)
class Box:
    """A rectangle in pixel indices: first row and column, and the ones after the last."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of the centre, in pixel indices."""
        return (self.top + self.bottom - 1) / 2, (self.left + self.right - 1) / 2


@dataclass(frozen=True)
class ObjectRow:
    """One object of a table.

    Attributes
    ----------
    line
        Its line in the file, for messages.
    images
        The image's names as the table has them, one per channel; empty if it names none.
    number
        The object's number in its image if the table has one, else its place among the image's
        rows, from 1.
    centre
        Row and column in pixel indices, if the table has a point.
    box
        The bounding box, if the table has one.
    values
        All columns of the table.
    """

    line: int
    images: tuple[str, ...]
    number: int
    centre: tuple[float, float] | None
    box: Box | None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dialect:
    """Where one program writes what. Names are compared in lower case; µm becomes um.

    Attributes
    ----------
    name
        The program.
    image
        Pattern of the columns with the image's name; CellProfiler has one per channel.
    centres
        Pairs of columns (x, y), best first.
    boxes
        Quadruples of columns, best first: left, top, right, bottom; with `is_extent`, left, top,
        width, height.
    number
        Column of the object's number.
    corner_origin
        Whether points are measured from the corner of the first pixel, not from its centre.
    has_calibrated_units
        Whether positions may be in micrometres without the columns saying so.
    signature
        Pattern of a column that only this program writes.
    """

    name: str
    image: str
    centres: tuple[tuple[str, str], ...]
    boxes: tuple[tuple[str, str, str, str], ...]
    signature: str
    number: str = ""
    is_extent: bool = False
    corner_origin: bool = False
    has_calibrated_units: bool = False

    @property
    def positions(self) -> set[str]:
        """All columns with positions."""
        return {column for group in (*self.centres, *self.boxes) for column in group}


DIALECTS = (
    Dialect(
        name="CellProfiler",
        signature=r"location_center_x|areashape_.*|objectnumber",
        image=r"(?:image_)?filename_.*",
        number="objectnumber",
        centres=(
            ("location_center_x", "location_center_y"),
            ("areashape_center_x", "areashape_center_y"),
        ),
        boxes=(
            (
                "areashape_boundingboxminimum_x",
                "areashape_boundingboxminimum_y",
                "areashape_boundingboxmaximum_x",
                "areashape_boundingboxmaximum_y",
            ),
        ),
    ),
    Dialect(
        name="QuPath",
        signature=r"centroid x (?:px|um)",
        image=r"image",
        centres=(("centroid x px", "centroid y px"), ("centroid x um", "centroid y um")),
        boxes=(),
        corner_origin=True,
    ),
    Dialect(
        name="ImageJ",
        signature=r"xm|bx|mean|intden|rawintden",
        image=r"label",
        centres=(("x", "y"), ("xm", "ym")),
        boxes=(("bx", "by", "width", "height"),),
        is_extent=True,
        corner_origin=True,
        has_calibrated_units=True,
    ),
    Dialect(
        name="scikit-image",
        signature=r"centroid-0|bbox-0",
        image=r"image|file|filename",
        number="label",
        centres=(("centroid-1", "centroid-0"),),
        boxes=(("bbox-1", "bbox-0", "bbox-3", "bbox-2"),),
    ),
    Dialect(
        name="plain",
        signature=r"x|left|x_?min",
        image=r"image|file|filename|source",
        number="object",
        centres=(("x", "y"),),
        boxes=(
            ("left", "top", "right", "bottom"),
            ("xmin", "ymin", "xmax", "ymax"),
            ("x_min", "y_min", "x_max", "y_max"),
        ),
        has_calibrated_units=True,
    ),
)

_EXPECTED = (
    "Expected columns: image with x, y or with left, top, right, bottom; or an export of "
    "CellProfiler, QuPath, ImageJ or scikit-image."
)


def read_objects(path: Path, pixel_size: float | None = None) -> list[ObjectRow]:
    """Read a table of objects; the columns tell which program wrote it.

    Parameters
    ----------
    path
        CSV, or separated by semicolons or tabs, in UTF-8. Decimal commas are read if the columns
        are not separated by commas and no position has a decimal point.
    pixel_size
        Micrometres per pixel, for tables in micrometres.

    Raises
    ------
    cellvision.errors.InvalidInput
        No known columns, a position that is not a number, or micrometres without `pixel_size`.
    """
    header, lines, separator = _read(path)
    keys = [_key(name) for name in header]
    dialect = _recognise(path, keys)
    where = [n for n, key in enumerate(keys) if key in dialect.positions]
    commas = has_decimal_commas(separator, (row[n] for _, row in lines for n in where))
    names_of = _image_names(path, dialect, keys)
    position_of = _positions(path, dialect, keys, pixel_size)
    rows: list[ObjectRow] = []
    counts: dict[tuple[str, ...], int] = {}
    for line, row in lines:
        by_key = dict(zip(keys, row, strict=True))
        if commas:
            by_key |= {keys[n]: with_decimal_point(row[n]) for n in where}
        images, metadata = names_of(by_key)
        counts[images] = counts.get(images, 0) + 1
        centre, box = position_of(line, by_key)
        index = by_key.get(dialect.number, "")
        number = int(float(index)) if _is_whole(index) else counts[images]
        values = metadata | dict(zip(header, row, strict=True))
        rows.append(ObjectRow(line, images, number, centre, box, values))
    return rows


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], str]:
    """Return the header, the numbered lines and what separates the columns."""
    if not path.is_file():
        raise errors.InvalidInput(f"{path} does not exist", "Name the table of objects.")
    lines, separator = read_rows(path), ","
    if lines and len(lines[0]) == 1:  # not separated by commas
        separator = "\t" if "\t" in lines[0][0] else ";"
        lines = read_rows(path, separator)
    if len(lines) < 2:
        raise errors.InvalidInput(f"{path} has no rows", _EXPECTED)
    header = [compose_name(name) for name in lines[0]]
    numbered = [(number, line) for number, line in enumerate(lines[1:], start=2) if line]
    for number, line in numbered:
        if len(line) != len(header):
            raise errors.InvalidInput(
                f"{path}, line {number}: {len(line)} values for {len(header)} columns",
                "Export the table again; every line needs one value per column.",
            )
    return header, numbered, separator


def _key(name: str) -> str:
    """Compare column names regardless of case, spaces at the ends and how µ is written."""
    return re.sub("[µμ]m", "um", name.strip()).casefold()


def _recognise(path: Path, keys: Sequence[str]) -> Dialect:
    for dialect in DIALECTS:
        signed = any(re.fullmatch(dialect.signature, key) for key in keys)
        if signed and dialect.positions & set(keys):
            return dialect
    raise errors.InvalidInput(
        f"{path} has no columns with positions; it has {', '.join(keys[:12])}", _EXPECTED
    )


ImageNames = tuple[tuple[str, ...], dict[str, str]]
"""The names of a row's image, and what the table of images says about it."""


def _image_names(
    path: Path, dialect: Dialect, keys: Sequence[str]
) -> Callable[[Mapping[str, str]], ImageNames]:
    """Return a function from a row to the names of its image."""
    columns = [key for key in keys if re.fullmatch(dialect.image, key)]
    if columns:
        return lambda row: (tuple(_image_name(row, column, dialect) for column in columns), {})
    if dialect.name == "CellProfiler" and "imagenumber" in keys:
        images = _cellprofiler_images(path, dialect)
        return lambda row: images.get(row["imagenumber"], ((row["imagenumber"],), {}))
    return lambda _: ((), {})


def _image_name(row: Mapping[str, str], column: str, dialect: Dialect) -> str:
    name = row[column]
    if dialect.name == "CellProfiler":  # FileName_DNA lies in PathName_DNA
        folder = row.get(column.replace("filename_", "pathname_"), "")
        return f"{folder}/{name}" if folder else name
    if dialect.name == "ImageJ":  # the slice or ROI follows: a.tif:0001-0102
        match = re.match(r"(.+?\.[A-Za-z0-9]{2,5})(?::.*)?$", name, flags=re.DOTALL)
        return match[1] if match else name.split(":")[0]
    return name


def _cellprofiler_images(path: Path, dialect: Dialect) -> dict[str, ImageNames]:
    """Read the `Image.csv` that CellProfiler writes beside the tables of objects."""
    tables = [
        table
        for table in path.parent.glob("*Image.csv")
        if path.name.startswith(table.name.removesuffix("Image.csv"))
    ]
    if not tables:
        raise errors.InvalidInput(
            f"{path} has ImageNumber but no column FileName_*, and no Image.csv lies beside it",
            "Export Image.csv into the same folder, or add image file names to the object table.",
        )
    # The longest prefix: MyExpt_Nuclei.csv belongs to MyExpt_Image.csv, not to Image.csv.
    table = max(tables, key=lambda table: len(table.name))
    header, lines, _ = _read(table)
    keys = [_key(name) for name in header]
    columns = [key for key in keys if re.fullmatch(dialect.image, key)]
    if "imagenumber" not in keys or not columns:
        raise errors.InvalidInput(
            f"{table} lacks ImageNumber or FileName_*", "Export it again from CellProfiler."
        )
    images = {}
    for _, line in lines:
        row = dict(zip(keys, line, strict=True))
        names = tuple(_image_name(row, column, dialect) for column in columns)
        metadata = {
            name: value
            for name, value in zip(header, line, strict=True)
            if _key(name).startswith("metadata_")
        }
        images[row["imagenumber"]] = (names, metadata)
    return images


Position = tuple[tuple[float, float] | None, Box | None]


def _positions(
    path: Path, dialect: Dialect, keys: Sequence[str], pixel_size: float | None
) -> Callable[[int, Mapping[str, str]], Position]:
    """Return a function from a line and its row to the object's centre and box."""
    centre = next((pair for pair in dialect.centres if set(pair) <= set(keys)), None)
    edges = next((columns for columns in dialect.boxes if set(columns) <= set(keys)), None)
    if centre is None and edges is None:
        raise errors.InvalidInput(f"{path}: the columns of positions are incomplete", _EXPECTED)
    scale = _scale(path, dialect, centre, pixel_size)
    shift = 0.5 if dialect.corner_origin else 0.0

    def position_of(line: int, row: Mapping[str, str]) -> Position:
        point = None
        if centre is not None:
            x, y = (_number(path, line, column, row) / scale - shift for column in centre)
            point = (y, x)
        if edges is None:
            return point, None
        left, top, right, bottom = (_number(path, line, column, row) / scale for column in edges)
        if dialect.is_extent:
            right, bottom = left + right, top + bottom
        box = Box(round(top), round(left), round(bottom), round(right))
        if box.right <= box.left or box.bottom <= box.top:
            raise errors.InvalidInput(
                f"{path}, line {line}: the box {left:g}, {top:g}, {right:g}, {bottom:g} is empty",
                "Correct or remove the line; right and bottom are the first pixels outside.",
            )
        return point, box

    return position_of


def _scale(
    path: Path, dialect: Dialect, centre: tuple[str, str] | None, pixel_size: float | None
) -> float:
    """Return how many of the table's units one pixel has."""
    if pixel_size is not None and not 0 < pixel_size < math.inf:
        raise errors.InvalidInput("the pixel size must be above 0", "Give micrometres per pixel.")
    in_micrometres = centre is not None and centre[0].endswith(" um")
    if in_micrometres and pixel_size is None:
        raise errors.InvalidInput(
            f"{path} is in micrometres", "Give the micrometres per pixel with --pixel-size."
        )
    if pixel_size is None:
        return 1.0
    if not (in_micrometres or dialect.has_calibrated_units):
        raise errors.InvalidInput(
            f"{path} is in pixels, as {dialect.name} writes it", "Leave --pixel-size out."
        )
    return pixel_size


def _number(path: Path, line: int, column: str, row: Mapping[str, str]) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    # No image is wider; it keeps positions exact and sizes finite.
    if not abs(value) < 2**31:
        raise errors.InvalidInput(
            f"{path}, line {line}: {column} is {row[column]!r}, not a position",
            "Write all positions with a decimal point; or all with a decimal comma, and semicolons "
            "between columns."
            if re.fullmatch(r"\s*-?[0-9]+,[0-9]+\s*", row[column])
            else "Correct or remove the line.",
        )
    return value


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}(?:\.0+)?", text.strip()) is not None
