"""Cut wide-field images into tiles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cellvision import errors

from .pipeline import Progress, Result, Verb, decoded, run_verb
from .records import Output
from .sources import SourceImage, output_stems
from .warnings import warn
from .write import cut, is_colour, suffix_for, write_image

if TYPE_CHECKING:
    import pandas
    from numpy.typing import NDArray

Edge = Literal["drop", "pad", "shift"]


@dataclass(frozen=True)
class Tile:
    """One tile: its position in the grid and in the image (which may end before the tile does)."""

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
    """Cut images into tiles; dtype, channels and every value stay as they are.

    Give exactly one of `tiles`, `grid` and `size`. Outputs are named `<stem>_r<row>_c<column>`,
    so that they sort in reading order. A TIFF stays a TIFF; other images become PNG if PNG holds
    them without loss (8 bits with one or three channels, 16 bits with one), else TIFF. JPEG is
    not compressed a second time.

    Parameters
    ----------
    source
        An image, or a folder with images in `*`, `<class>/*` or `<split>/<class>/*`.
    out
        A new folder outside of `source`, or the one that the same call began before.
    tiles
        Number of equal tiles per image, in the squarest grid possible; the longer side of the
        image gets more of them.
    grid
        Rows and columns.
    size
        Height and width of a tile, in pixels.
    overlap
        Pixels that neighbouring tiles share; only with `size`.
    edge
        What to do where tiles do not fill the image. ``"drop"`` leaves out the last pixels at
        the lower and right edge (and warns how many); ``"pad"`` fills the last tiles with zeros,
        which cannot be mistaken for signal as mirrored cells could; ``"shift"`` moves the last
        tiles inwards, so that they overlap their neighbours. With `tiles` and `grid`, the size
        of a tile is rounded down for ``"drop"`` and up for the others.
    progress
        Called with the number of finished images and of all images.

    Returns
    -------
    pandas.DataFrame
        The manifest, also written to `out/manifest.csv`: `file`, `source`, `field` (the source
        image), `transformation`, and all provenance columns of the source's own tables.

    Raises
    ------
    cellvision.errors.InvalidInput
        Contradictory settings, or a tile larger than an image.
    cellvision.errors.FolderError
        `source` is missing or empty; `out` is in use or holds anything else.
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
        with decoded(image) as content:
            height, width = content.pixels.shape[:2]
            try:
                tiling = layout(
                    height, width, tiles=tiles, grid=grid, size=size, overlap=overlap, edge=edge
                )
            except errors.InvalidInput as error:
                raise errors.InvalidInput(f"{image.name}: {error.what}", error.hint) from error
            outputs = _write_tiles(image, content.pixels, tiling, target, folder)
            return Result(outputs, (*content.notes, *_lost_pixels(height, width, tiling)))

    parameters = {"tiles": tiles, "grid": grid, "size": size, "overlap": overlap, "edge": edge}
    return run_verb(Verb("slice", parameters, output_stems, make), source, out, progress)


def _write_tiles(
    image: SourceImage, pixels: NDArray[Any], tiling: Sequence[Tile], target: str, folder: Path
) -> tuple[Output, ...]:
    suffix, colour = suffix_for(pixels, image.path), is_colour(image.path)
    digits = max(2, len(str(max(tiling[-1].row, tiling[-1].column))))
    outputs = []
    for tile in tiling:
        file = f"{target}_r{tile.row:0{digits}}_c{tile.column:0{digits}}{suffix}"
        window = cut(pixels, tile.y, tile.x, tile.height, tile.width)
        write_image(folder / file, window, colour=colour)
        position = f"slice r={tile.row} c={tile.column} y={tile.y} x={tile.x}"
        outputs.append(
            Output(file=file, transformation=f"{position} h={tile.height} w={tile.width}")
        )
    return tuple(outputs)


def _lost_pixels(height: int, width: int, tiling: Sequence[Tile]) -> tuple[str, ...]:
    """Note how many rows and columns no tile covers."""
    rows = max(0, height - max(tile.y + tile.height for tile in tiling))
    columns = max(0, width - max(tile.x + tile.width for tile in tiling))
    if not (rows or columns):
        return ()
    lost = f"{rows} rows at the lower and {columns} columns at the right edge"
    return (f"{lost} are left out (--edge pad or shift keeps them)",)


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
    """Lay out the tiles of one image of `height` × `width` pixels, in reading order."""
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
    """Cut a length into equal parts; return their length and their starts."""
    part = length // parts if edge == "drop" else -(-length // parts)
    # Rounded up, a few pixels in very many parts would leave the last ones wholly outside.
    if part == 0 or (parts - 1) * part >= length:
        raise errors.InvalidInput(
            f"{length} pixels cannot be cut into {parts} with edge {edge}",
            "Choose fewer tiles" + ("." if edge == "drop" else ", or use --edge drop."),
        )
    starts = [index * part for index in range(parts)]
    if edge == "shift":
        starts[-1] = length - part
    return part, starts


def _steps(length: int, part: int, overlap: int, edge: Edge) -> list[int]:
    """Return the starts of parts of a given length."""
    stride = part - overlap
    starts = list(range(0, length - part + 1, stride))
    if edge != "drop" and starts[-1] + part < length:
        starts.append(starts[-1] + stride if edge == "pad" else length - part)
    return starts


def _check(
    tiles: int | None,
    grid: tuple[int, int] | None,
    size: tuple[int, int] | None,
    overlap: int,
    edge: Edge,
) -> None:
    if sum(option is not None for option in (tiles, grid, size)) != 1:
        raise errors.InvalidInput(
            "slice needs exactly one of tiles, grid and size",
            "For instance --tiles 16, --grid 4x4 or --size 256x256.",
        )
    for name, numbers in (("tiles", (tiles,)), ("grid", grid), ("size", size)):
        if numbers and any(number is not None and number < 1 for number in numbers):
            raise errors.InvalidInput(f"{name} must be at least 1", "Give a positive number.")
    if overlap and size is None:
        raise errors.InvalidInput("overlap is for size only", "Use --overlap together with --size.")
    if size is not None and not 0 <= overlap < min(size):
        raise errors.InvalidInput(
            f"overlap {overlap} does not fit tiles of {size[0]}x{size[1]}",
            f"Choose one from 0 to {min(size) - 1}.",
        )
    if edge not in get_args(Edge):
        raise errors.InvalidInput(f"unknown edge policy {edge!r}", "Use drop, pad or shift.")
    if tiles is not None and tiles > 3 and nearly_square(tiles)[0] == 1:
        warn(f"{tiles} is a prime number, so each image is cut into {tiles} strips")
