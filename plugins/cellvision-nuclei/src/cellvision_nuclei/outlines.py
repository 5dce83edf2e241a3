"""Draw nuclei: outlines on the image, and a sheet of several images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision import io

_OUTLINE = (255, 140, 0)
_LOWEST, _HIGHEST = 1.0, 99.8
"""Percentiles that are drawn black and white."""

_TILE = 420
_NARROWEST = 200
"""Least width of a tile, for its title."""

_HEADER = 22
_GAP = 8
_COLUMNS = 3


def draw_outlines(image: ArrayLike, labels: ArrayLike) -> NDArray[np.uint8]:
    """Draw the outline of every nucleus on the image.

    Parameters
    ----------
    image
        One channel, shape (height, width). Its display range spans percentiles 1 to 99.8.
    labels
        Label mask of the same shape.

    Returns
    -------
    numpy.ndarray
        Shape (height, width, 3), uint8.
    """
    from skimage.segmentation import find_boundaries

    values = np.asarray(image, np.float32)
    low, high = np.percentile(values, [_LOWEST, _HIGHEST])
    scaled = np.clip((values - low) / max(float(high - low), 1e-9), 0, 1)
    picture = np.repeat((255 * scaled).astype(np.uint8)[..., None], 3, axis=-1)
    picture[find_boundaries(np.asarray(labels), mode="inner")] = _OUTLINE
    return picture


@dataclass(frozen=True, eq=False)
class Tile:
    """One image of a sheet.

    Attributes
    ----------
    title : str
        Text above it.
    picture : numpy.ndarray
        Shape (height, width, 3), uint8.
    """

    title: str
    picture: NDArray[Any]


def save_sheet(path: Path, tiles: Sequence[Tile]) -> Path:
    """Write images with their titles as one PNG file.

    Parameters
    ----------
    path
        The file.
    tiles
        The images, at least one.
    """
    from PIL import Image, ImageDraw

    pictures = [_filling(Image.fromarray(tile.picture)) for tile in tiles]
    columns = min(_COLUMNS, len(tiles))
    tallest = max(picture.height for picture in pictures)
    widest = max(_NARROWEST, *(picture.width for picture in pictures))
    rows = -(-len(tiles) // columns)
    size = (
        _GAP + columns * (widest + _GAP),
        _GAP + rows * (_HEADER + tallest + _GAP),
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for number, (tile, picture) in enumerate(zip(tiles, pictures, strict=True)):
        row, column = divmod(number, columns)
        left = _GAP + column * (widest + _GAP)
        top = _GAP + row * (_HEADER + tallest + _GAP)
        draw.text((left, top + 4), _fitted(tile.title, draw, widest), fill="black")
        sheet.paste(picture, (left, top + _HEADER))
    with io.atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def _filling(picture: Any) -> Any:
    """Return a picture as large as a tile: small ones enlarged in whole steps, without blur."""
    from PIL import Image

    longest = max(picture.size)
    if longest > _TILE:
        picture.thumbnail((_TILE, _TILE))
        return picture
    factor = _TILE // longest
    width, height = picture.size
    return picture.resize((factor * width, factor * height), Image.Resampling.NEAREST)


def _fitted(title: str, draw: Any, width: int) -> str:
    """Return a title that fits above its image: the end of a long path says most."""
    text = title.encode("ascii", "replace").decode()
    while draw.textlength(text) > width and len(text) > 8:
        text = f"...{text[8:]}"
    return text
