"""Wide-field images into tiles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cellvision import errors

from .pipeline import Progress, Result, carry_out, decoded
from .sources import SourceImage, output_stems
from .warnings import warn
from .write import is_colour, suffix_for, write_image

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

Edge = Literal["drop", "pad", "shift"]


@dataclass(frozen=True)
class Tile:
    """One tile: its place in the grid, and its pixels in the image (which may end earlier)."""

    row: int
    column: int
    y: int
    x: int
    height: int
    width: int


def slice_images(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    tiles: int | None = None,
    grid: tuple[int, int] | None = None,
    size: tuple[int, int] | None = None,
    overlap: int = 0,
    edge: Edge = "drop",
    progress: Progress | None = None,
) -> pandas.DataFrame:
    """Cut images into tiles that keep dtype, channels and every value.

    Exactly one of `tiles`, `grid` and `size` is given. Results are named
    `<stem>_r<row>_c<column>`, so that the order of names is the order of reading. A TIFF stays a
    TIFF; other images become PNG where it can hold them without loss (8 bits with one or three
    channels, 16 bits with one), else TIFF. JPEG is not compressed a second time.

    Parameters
    ----------
    source
        An image, or a folder: `*`, `<class>/*` or `<split>/<class>/*` below it.
    out
        A new folder outside of `source`, or the one that this very call began before.
    tiles
        Number of equal tiles, cut in as square a grid as that number allows; the longer side of
        the image gets more of them.
    grid
        Rows and columns.
    size
        Height and width of a tile, in pixels.
    overlap
        Pixels that neighbouring tiles share; only with `size`.
    edge
        What happens where tiles do not fill the image: ``"drop"`` leaves the last pixels at the
        lower and right edge out (and issues a notice that counts them); ``"pad"`` fills the last
        tiles up with zeros, which can be told from signal, where mirrored cells could not;
        ``"shift"`` moves the last tiles inwards, so that they overlap their neighbours. With
        `tiles` and `grid`, tiles are rounded down for ``"drop"`` and up for the others.
    progress
        Called with the number of finished images and of all images.

    Returns
    -------
    pandas.DataFrame
        The manifest, which is also `out/manifest.csv`: `file`, `source`, `field`,
        `transformation`, and all provenance columns of the source's own tables.

    Raises
    ------
    cellvision.errors.InvalidInput
        Settings that contradict each other, or a tile larger than an image.
    cellvision.errors.FolderError
        `source` is missing or empty; `out` is taken.
    cellvision.errors.UnreadableImages
        Some images cannot be decoded; the others are finished.

    Examples
    --------
    >>> import tempfile, numpy, tifffile
    >>> from pathlib import Path
    >>> from cellvision import prepare
    >>> folder = Path(tempfile.mkdtemp())
    >>> tifffile.imwrite(folder / "field.tif", numpy.zeros((64, 64), "uint16"))
    >>> manifest = prepare.slice_images(folder / "field.tif", folder / "tiles", tiles=4)
    >>> list(manifest["file"])
    ['field_r00_c00.tif', 'field_r00_c01.tif', 'field_r01_c00.tif', 'field_r01_c01.tif']
    """
    _check(tiles, grid, size, overlap, edge)

    def make(image: SourceImage, target: str, folder: Path) -> Result:
        with decoded(image) as found:
            pixels = found.pixels
            try:
                places = layout(
                    pixels.shape[0],
                    pixels.shape[1],
                    tiles=tiles,
                    grid=grid,
                    size=size,
                    overlap=overlap,
                    edge=edge,
                )
            except errors.InvalidInput as fault:
                raise errors.InvalidInput(f"{image.name}: {fault.what}", fault.hint) from fault
            suffix, colour = suffix_for(pixels, image.path), is_colour(image.path)
            rows, columns = places[-1].row + 1, places[-1].column + 1
            digits = max(2, len(str(max(rows, columns) - 1)))
            made = []
            for tile in places:
                file = f"{target}_r{tile.row:0{digits}}_c{tile.column:0{digits}}{suffix}"
                write_image(folder / file, _cut(pixels, tile), colour=colour)
                step = f"slice r={tile.row} c={tile.column} y={tile.y} x={tile.x}"
                made.append((file, f"{step} h={tile.height} w={tile.width}"))
            below = pixels.shape[0] - max(tile.y + tile.height for tile in places)
            right = pixels.shape[1] - max(tile.x + tile.width for tile in places)
            notes = found.notes
            if below > 0 or right > 0:
                lost = f"{max(below, 0)} rows at the lower and {max(right, 0)} columns at the right"
                notes += (f"{lost} edge are left out (pad or shift would keep them)",)
            return Result(tuple(made), notes)

    parameters = {"tiles": tiles, "grid": grid, "size": size, "overlap": overlap, "edge": edge}
    return carry_out("slice", parameters, source, out, output_stems, make, progress)


def layout(
    height: int,
    width: int,
    *,
    tiles: int | None = None,
    grid: tuple[int, int] | None = None,
    size: tuple[int, int] | None = None,
    overlap: int = 0,
    edge: Edge = "drop",
) -> list[Tile]:
    """Place the tiles of one image of `height` × `width` pixels, in reading order."""
    if tiles is not None:
        fewer, more = nearly_square(tiles)
        grid = (more, fewer) if height > width else (fewer, more)
    if grid is not None:
        tile_height, ys = _divide(height, grid[0], edge)
        tile_width, xs = _divide(width, grid[1], edge)
    else:
        assert size is not None
        if size[0] > height or size[1] > width:
            raise errors.InvalidInput(
                f"a tile of {size[0]}x{size[1]} is larger than the image of {height}x{width}",
                "Choose a smaller --size, or leave this image out.",
            )
        tile_height, tile_width = size
        ys = _steps(height, tile_height, overlap, edge)
        xs = _steps(width, tile_width, overlap, edge)
    return [
        Tile(row, column, y, x, tile_height, tile_width)
        for row, y in enumerate(ys)
        for column, x in enumerate(xs)
    ]


def nearly_square(count: int) -> tuple[int, int]:
    """Split `count` into the two factors nearest to each other, the smaller one first."""
    fewer = next(factor for factor in range(isqrt(count), 0, -1) if count % factor == 0)
    return fewer, count // fewer


def _divide(length: int, parts: int, edge: Edge) -> tuple[int, list[int]]:
    """Cut a length into equal parts: their length and where they start."""
    part = length // parts if edge == "drop" else -(-length // parts)
    # Rounded up, a few pixels in very many parts would leave the last ones wholly outside.
    if part == 0 or (parts - 1) * part >= length:
        raise errors.InvalidInput(
            f"{length} pixels cannot be cut into {parts} with edge {edge}",
            "Ask for fewer tiles" + ("." if edge == "drop" else ", or use --edge drop."),
        )
    starts = [index * part for index in range(parts)]
    if edge == "shift":
        starts[-1] = length - part
    return part, starts


def _steps(length: int, part: int, overlap: int, edge: Edge) -> list[int]:
    """Where parts of a given length start."""
    stride = part - overlap
    starts = list(range(0, length - part + 1, stride))
    if edge != "drop" and starts[-1] + part < length:
        starts.append(starts[-1] + stride if edge == "pad" else length - part)
    return starts


def _cut(pixels: NDArray[Any], tile: Tile) -> NDArray[Any]:
    import numpy as np

    cut = pixels[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
    missing = (tile.height - cut.shape[0], tile.width - cut.shape[1])
    if any(missing):
        cut = np.pad(cut, ((0, missing[0]), (0, missing[1]), (0, 0)))
    return cut


def _check(
    tiles: int | None,
    grid: tuple[int, int] | None,
    size: tuple[int, int] | None,
    overlap: int,
    edge: Edge,
) -> None:
    if sum(given is not None for given in (tiles, grid, size)) != 1:
        raise errors.InvalidInput(
            "slice needs exactly one of tiles, grid and size",
            "For instance --tiles 16, --grid 4x4 or --size 256x256.",
        )
    for name, numbers in (("tiles", (tiles,)), ("grid", grid), ("size", size)):
        if numbers and any(number is not None and number < 1 for number in numbers):
            raise errors.InvalidInput(f"{name} must be at least 1", "Give a positive number.")
    if overlap and size is None:
        raise errors.InvalidInput("overlap goes with size only", "Give --size with --overlap.")
    if size is not None and not 0 <= overlap < min(size):
        raise errors.InvalidInput(
            f"overlap {overlap} does not fit tiles of {size[0]}x{size[1]}",
            f"Choose one from 0 to {min(size) - 1}.",
        )
    if edge not in get_args(Edge):
        raise errors.InvalidInput(f"unknown edge policy {edge!r}", "Use drop, pad or shift.")
    if tiles is not None and tiles > 3 and nearly_square(tiles)[0] == 1:
        warn(f"{tiles} is a prime number, so each image is cut into {tiles} strips")
