"""The size of a pixel in micrometres, as the metadata of a TIFF state it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from xml.parsers import expat

_MICROMETRES = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
}
_SQUARE = 0.01
"""Pixels whose sides differ by a larger fraction are not square, and have no one size."""


def read_pixel_size(path: str | os.PathLike[str]) -> float | None:
    """Read the size of a pixel from an OME-TIFF or an ImageJ TIFF.

    The resolution of other files says how large they were to be printed, and is ignored.

    Parameters
    ----------
    path
        Path of the file.

    Returns
    -------
    float or None
        Micrometres per pixel; None if the file does not state it, cannot be read, or has pixels
        that are not square.
    """
    import tifffile

    from cellvision.data.decoders.tiff_directory import check_directories

    try:
        with Path(path).open("rb") as file:
            if file.read(2) not in (b"II", b"MM"):
                return None
            check_directories(file, os.fstat(file.fileno()).st_size)
            file.seek(0)
            with tifffile.TiffFile(file) as tiff:
                sides = _from_ome(tiff) if tiff.is_ome else _from_imagej(tiff)
    except Exception:  # noqa: BLE001 - reading the image says what is wrong with the file
        return None
    if sides is None or not all(math.isfinite(side) and side > 0 for side in sides):
        return None
    across, down = sides
    return across if abs(across - down) <= _SQUARE * across else None


def _from_imagej(tiff: object) -> tuple[float, float] | None:
    metadata = getattr(tiff, "imagej_metadata", None) or {}
    unit = _MICROMETRES.get(_unescaped(str(metadata.get("unit", ""))).strip().casefold())
    tags = tiff.pages[0].tags  # type: ignore[attr-defined]
    resolutions = [tags.valueof(tag) for tag in (282, 283)]
    if unit is None or None in resolutions:
        return None
    across, down = (unit * below / above for above, below in resolutions)
    return across, down


def _unescaped(unit: str) -> str:
    """Return a unit as text: ImageJ writes the letter µ as an escape."""
    return unit.replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\\u03BC", "μ")


def _from_ome(tiff: object) -> tuple[float, float] | None:
    found: list[dict[str, str]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "Pixels" and not found:
            found.append(attributes)

    def refuse_entities(*_: object) -> None:
        raise ValueError("it declares entities")

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse_entities
    parser.StartElementHandler = start
    parser.Parse(str(getattr(tiff, "ome_metadata", "")).encode("utf-8", "replace"), True)
    if not found:
        return None
    sides = []
    for axis in "XY":
        unit = _MICROMETRES.get(found[0].get(f"PhysicalSize{axis}Unit", "µm").casefold())
        if unit is None:
            return None
        sides.append(unit * float(found[0][f"PhysicalSize{axis}"]))
    return sides[0], sides[1]
