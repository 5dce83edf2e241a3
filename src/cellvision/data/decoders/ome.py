"""What the OME-XML of a TIFF says about its planes.

Only names and attributes of elements are read, and entities are refused, so a hostile document
cannot expand. https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from xml.parsers import expat

_MAX_PLANES = 2**24


class OmeError(ValueError):
    """The OME-XML cannot be used: the reason in one line."""


@dataclass
class OmeImage:
    """One image of an OME-XML document.

    Attributes
    ----------
    sizes : dict
        Planes along T, Z and C, slowest first in the order of `order`.
    order : str
        The axes of the planes, slowest first ("TZC").
    blocks : list of dict
        Attributes of each TiffData element; ``uuid`` is the text of its UUID, and
        ``FileName`` that of the file, if given.
    """

    sizes: dict[str, int]
    order: str
    blocks: list[dict[str, str]] = field(default_factory=list)

    def split_channels(self, samples: int) -> dict[str, int]:
        """Return the sizes with C counted in pages, of `samples` channels each."""
        channels = self.sizes["C"]
        if samples > 1:
            channels = channels // samples if channels % samples == 0 else max(1, channels)
        return {axis: channels if axis == "C" else self.sizes[axis] for axis in self.order}


@dataclass
class Ome:
    """The images of a document and the identity of the file that holds it."""

    images: list[OmeImage]
    uuid: str


def parse(text: str) -> Ome:
    """Parse OME-XML.

    Raises
    ------
    OmeError
        Malformed XML, entities, or sizes that are no numbers.
    """
    document = Ome([], "")
    path: list[str] = []

    def refuse_entities(*_: object) -> None:
        raise OmeError("it declares entities")

    def start(name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        path.append(name)
        if name == "OME" and len(path) == 1:
            document.uuid = attributes.get("UUID", "")
        elif name == "Pixels" and path[-2:-1] == ["Image"]:
            document.images.append(_image(attributes))
        elif name == "TiffData" and path[-2:-1] == ["Pixels"]:
            document.images[-1].blocks.append(dict(attributes))
        elif name == "UUID" and path[-2:-1] == ["TiffData"]:
            block = document.images[-1].blocks[-1]
            block["FileName"] = attributes.get("FileName", "")
            block["uuid"] = ""

    def text_of(data: str) -> None:
        if path[-2:] == ["TiffData", "UUID"]:
            document.images[-1].blocks[-1]["uuid"] += data.strip()

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse_entities
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: path.pop()
    parser.CharacterDataHandler = text_of
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise OmeError(f"it is not well-formed ({error})") from error
    return document


def _image(attributes: dict[str, str]) -> OmeImage:
    try:
        sizes = {axis: int(attributes[f"Size{axis}"]) for axis in "TZC"}
        order = attributes["DimensionOrder"]
    except (KeyError, ValueError) as error:
        raise OmeError("sizes or order of its planes are missing") from error
    if sorted(order) != sorted("XYZCT") or not order.startswith("XY"):
        raise OmeError(f"its dimension order {order!r} does not exist")
    if min(sizes.values()) < 1 or math.prod(sizes.values()) > _MAX_PLANES:
        raise OmeError("it declares an impossible number of planes")
    return OmeImage(sizes, order[:1:-1])


def own_blocks(document: Ome, image: OmeImage, file_name: str) -> list[dict[str, str]]:
    """Return the TiffData elements of an image that speak of this file.

    A file is known by its UUID or its name. If the document names one file only, that is this
    one, renamed.
    """
    named = [block for other in document.images for block in other.blocks if "uuid" in block]
    if len({(block["uuid"], block["FileName"]) for block in named}) == 1:
        return image.blocks
    return [
        block
        for block in image.blocks
        if "uuid" not in block
        or (document.uuid and block["uuid"] == document.uuid)
        or block["FileName"] == file_name
    ]


def names_other_files(document: Ome, file_name: str) -> bool:
    """Tell whether the planes may lie in several files, of which this is one."""
    blocks = [block for image in document.images for block in image.blocks]
    return any(block.get("FileName", file_name) != file_name for block in blocks)


def plane_numbers(
    blocks: list[dict[str, str]], sizes: dict[str, int], pages: int
) -> list[int | None]:
    """Return for each page the number of its plane, counted along the axes of `sizes`.

    Raises
    ------
    OmeError
        Elements that name absent pages or planes, or one of them twice.
    """
    axes = list(sizes)
    total = math.prod(sizes.values())
    numbers: list[int | None] = [None] * pages
    for block in blocks:
        try:
            page = int(block.get("IFD", 0))
            first = [int(block.get(f"First{axis}", 0)) for axis in axes]
            default = 1 if "IFD" in block else total
            count = int(block.get("PlaneCount", default))
        except ValueError as error:
            raise OmeError("a TiffData element holds no numbers") from error
        if any(not 0 <= number < sizes[axis] for number, axis in zip(first, axes, strict=True)):
            raise OmeError("a TiffData element names a plane that does not exist")
        start = 0
        for number, axis in zip(first, axes, strict=True):
            start = start * sizes[axis] + number
        if count < 0 or page < 0 or page + count > pages or start + count > total:
            raise OmeError(f"it names pages or planes that do not exist; the file has {pages}")
        for step in range(count):
            if numbers[page + step] is not None:
                raise OmeError(f"it names page {page + step + 1} twice")
            numbers[page + step] = start + step
    taken = [number for number in numbers if number is not None]
    if len(set(taken)) < len(taken):
        raise OmeError("it gives one plane to two pages")
    return numbers
