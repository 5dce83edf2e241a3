"""Copy predicted images into a folder for each class, and draw a contact sheet of them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cellvision import atomic_io, errors
from cellvision.plurals import counted
from cellvision.results.claimed_folder import naming_folder, raise_if_unwritable

_TILE = 96
"""Pixels of a thumbnail's side."""

_MARK = ("Software", "cellvision contact sheet")
"""Text in a sheet's file, by which the next call knows that it may replace it."""

_LONGEST_NAME = 255
"""Bytes that file systems allow in a name."""

_LONGEST_STEM = 60
"""Letters that are kept of the name of an image that gets a number; each takes up to four bytes."""

_TILES = 12
"""Thumbnails per class."""


class ClassFolders:
    """Copies images into ``folder/<class>/``; the originals stay where they are.

    Parameters
    ----------
    folder
        A new or empty folder.
    class_names
        The classes.

    Raises
    ------
    errors.FolderError
        The folder is not empty, or a class name cannot be a folder's name.
    """

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise errors.FolderError(f"{folder}: is not empty", "Name a new or an empty folder.")
        for name in class_names:
            if (
                Path(name).name != name
                or name in (".", "..")
                or "\0" in name
                or len(name.encode(errors="replace")) > _LONGEST_NAME
            ):
                raise errors.FolderError(
                    f"the class {name[:80]!r} cannot be the name of a folder", "Omit --sort-into."
                )
        raise_if_unwritable(folder)
        self.folder = folder

    def add(self, path: Path, class_name: str) -> None:
        """Copy an image; a second one of the same name gets a number."""
        target_folder = self.folder / class_name
        target, number = target_folder / path.name, 2
        while target.exists():
            target = target_folder / f"{path.stem[:_LONGEST_STEM]}_{number}{path.suffix}"
            number += 1
        with naming_folder(target_folder), atomic_io.path(target) as temporary:
            shutil.copy2(path, temporary)


class ContactSheet:
    """Draws thumbnails of predicted images, one row per class, most probable first.

    The display range of each channel spans percentiles 0.5 to 99.5 of all thumbnails, so that
    brightness can be compared between images.

    Parameters
    ----------
    class_names
        The classes.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._class_names = class_names
        self._tiles: dict[int, list[tuple[float, np.ndarray]]] = {}
        self._counts = [0] * len(class_names)

    def add(self, tile: np.ndarray, probabilities: np.ndarray) -> None:
        """Add an image as `thumbnail` returns it; only the most probable ones are kept."""
        number = int(probabilities.argmax())
        self._counts[number] += 1
        tiles = self._tiles.setdefault(number, [])
        probability = float(probabilities[number])
        if len(tiles) < _TILES or probability > tiles[-1][0]:
            tiles.append((probability, tile))
            tiles.sort(key=lambda tile: -tile[0])
            del tiles[_TILES:]

    def save(self, path: Path) -> Path:
        """Write the sheet as a PNG file."""
        from PIL import Image, ImageDraw
        from PIL.PngImagePlugin import PngInfo

        low, high = self._display_range()
        rows = [number for number in range(len(self._class_names)) if number in self._tiles]
        header, gap = 18, 4
        width = _TILES * (_TILE + gap) + gap
        sheet = Image.new("RGB", (width, len(rows) * (_TILE + header + gap) + gap), "white")
        draw = ImageDraw.Draw(sheet)
        for row, number in enumerate(rows):
            top = gap + row * (_TILE + header + gap)
            title = f"{self._class_names[number]}: {counted(self._counts[number], 'image')}"
            draw.text((gap, top), title.encode("ascii", "replace").decode(), fill="black")
            for column, (_, pixels) in enumerate(self._tiles[number]):
                tile = Image.fromarray(_displayed(pixels, low, high))
                scale = _TILE / max(tile.size)
                if scale > 1:  # small images fill their place, so that the sheet has no holes
                    across, down = (max(round(side * scale), 1) for side in tile.size)
                    tile = tile.resize((across, down), Image.Resampling.BICUBIC)
                sheet.paste(tile, (gap + column * (_TILE + gap), top + header))
        mark = PngInfo()
        mark.add_text(*_MARK)
        with naming_folder(path.parent), atomic_io.path(path) as temporary:
            sheet.save(temporary, format="PNG", pnginfo=mark)
        return path

    def _display_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the limits of each channel, shape (channels,)."""
        tiles = [pixels for tiles in self._tiles.values() for _, pixels in tiles]
        values = np.concatenate([tile.reshape(-1, tile.shape[-1]) for tile in tiles])
        low, high = np.percentile(values.astype(np.float64), [0.5, 99.5], axis=0)
        return low, np.where(high > low, high, low + 1)


def raise_if_no_sheet(path: Path) -> None:
    """Refuse a file that a contact sheet would overwrite, unless it is an earlier sheet.

    Raises
    ------
    errors.FolderError
        The file exists and is not a contact sheet, such as the first of ``images/*.png``, or
        cannot be written.
    """
    from PIL import Image

    raise_if_unwritable(path)
    if not path.exists():
        return
    try:
        with Image.open(path) as image:
            is_sheet = dict(image.info).get(_MARK[0]) == _MARK[1]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        is_sheet = False
    if not is_sheet:
        raise errors.FolderError(
            f"{path}: this is not a contact sheet, and would be overwritten",
            "Name a new file with --contact-sheet.",
        )


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return a copy of an image (height, width, channels) that is small enough for the sheet."""
    step = max(1, -(-max(pixels.shape[:2]) // _TILE))
    return np.array(pixels[::step, ::step])


def _displayed(pixels: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return an RGB thumbnail: one channel as grey, the first three of several as colours."""
    scaled = np.clip((pixels.astype(np.float64) - low) / (high - low), 0, 1)
    channels = scaled.shape[-1]
    if channels == 1:
        scaled = np.repeat(scaled, 3, axis=-1)
    elif channels == 2:
        scaled = np.concatenate([scaled, np.zeros_like(scaled[..., :1])], axis=-1)
    return np.ascontiguousarray(np.rint(scaled[..., :3] * 255).astype(np.uint8))
