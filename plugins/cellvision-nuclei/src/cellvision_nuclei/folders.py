"""Find the nuclei of a folder of images, and write masks, outlines and a table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellvision import errors, io
from cellvision_nuclei.outlines import Tile, draw_outlines, save_sheet
from cellvision_nuclei.segmentation import Nuclei, find_nuclei

_SHOWN = 12
"""Images of the sheet."""


@dataclass(frozen=True)
class NucleiOfImage:
    """What was found in one image.

    Attributes
    ----------
    image : str
        Path relative to the source folder.
    count : int
        Number of nuclei.
    diameter : float
        Their typical diameter in pixels.
    is_doubtful : bool
        Whether nuclei hardly differ from the background.
    rows : tuple of dict
        One row per nucleus, for the table.
    """

    image: str
    count: int
    diameter: float
    is_doubtful: bool
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Settings:
    """How to look for nuclei; see `find_nuclei`."""

    channel: int | None = None
    diameter: float | None = None
    smallest: float | None = None
    border: str = "keep"
    dark: bool = False


def find_in_folder(
    source: Path,
    out: Path,
    settings: Settings,
    progress: Callable[[int, int], None] | None = None,
) -> list[NucleiOfImage]:
    """Find the nuclei of all images of a folder.

    Parameters
    ----------
    source
        A folder of images at any depth, or one image.
    out
        New or empty folder. It gets ``masks`` (label masks under the paths of their images),
        ``outlines`` (pictures), ``nuclei.png`` (some of them) and ``nuclei.csv`` (one row per
        nucleus).
    settings
        How to look for nuclei.
    progress
        Called with the number of finished images and of all images.

    Raises
    ------
    errors.FolderError
        There is no image, or the output folder is not empty, in use or in the source.
    errors.UnreadableImage
        An image cannot be decoded.
    errors.InvalidInput
        An image has several channels and none is chosen, or it lacks the channel.
    """
    root, images = _images(source)
    with io.folder_lock(out, "nuclei"):
        _check_out(root, out)
        return _find_all(root, images, out, settings, progress)


def _find_all(
    root: Path,
    images: list[str],
    out: Path,
    settings: Settings,
    progress: Callable[[int, int], None] | None,
) -> list[NucleiOfImage]:
    """Find the nuclei of images and write everything."""
    import pandas as pd

    shown = set(images[:: max(-(-len(images) // _SHOWN), 1)])
    tiles: list[Tile] = []
    results: list[NucleiOfImage] = []
    with ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool:
        jobs = [
            pool.submit(_one, root, name, out, settings, is_shown=name in shown) for name in images
        ]
        try:
            for number, job in enumerate(jobs, start=1):
                result, tile = job.result()
                results.append(result)
                tiles += [] if tile is None else [tile]
                if progress is not None:
                    progress(number, len(images))
        finally:
            pool.shutdown(cancel_futures=True)
    columns = ("image", "number", "x", "y", "left", "top", "right", "bottom", "area")
    table = pd.DataFrame([row for result in results for row in result.rows], columns=list(columns))
    with io.atomic_path(out / "nuclei.csv") as path:
        table.to_csv(path, index=False)
    save_sheet(out / "nuclei.png", tiles)
    return results


def _images(source: Path) -> tuple[Path, list[str]]:
    """Return a folder and the images below it, as paths relative to it."""
    if source.is_file():
        return source.parent, [source.name]
    if not source.is_dir():
        raise errors.FolderError(f"{source}: no such folder", "Name a folder of images.")
    names = [
        "/".join(entry.parts)
        for entry in io.walk_folder(source, enter=_is_visible)
        if entry.is_file and not entry.reason and _is_image(entry.parts[-1])
    ]
    if not names:
        raise errors.FolderError(f"{source}: contains no images", "Name a folder of images.")
    names.sort(key=io.natural_order)
    counts = Counter(map(_mask_name, names))
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        same = [name for name in names if _mask_name(name) == twice]
        raise errors.FolderError(
            f"{source}: {' and '.join(same)} would have the same mask", "Rename one of them."
        )
    return source, names


def _is_visible(entry: os.DirEntry[str]) -> bool:
    return not io.is_phantom(Path(entry.name))


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in io.IMAGE_SUFFIXES and not io.is_phantom(Path(name))


def _mask_name(image: str) -> str:
    return Path(image).with_suffix(".tif").as_posix()


def _check_out(root: Path, out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise errors.FolderError(f"{out} is not empty", "Choose a new folder: --out DIR")
    if root.resolve() in (out.resolve(), *out.resolve().parents):
        raise errors.FolderError(
            f"{out} lies in the folder of images", "Choose a folder outside of it."
        )


def _one(
    root: Path, name: str, out: Path, settings: Settings, *, is_shown: bool
) -> tuple[NucleiOfImage, Tile | None]:
    """Find the nuclei of one image and write its mask and outlines."""
    import tifffile
    from PIL import Image

    pixels = _channel(io.read_image(root / name).pixels, name, settings.channel)
    nuclei = find_nuclei(
        pixels,
        diameter=settings.diameter,
        smallest=settings.smallest,
        border="drop" if settings.border == "drop" else "keep",
        dark=settings.dark,
    )
    dtype = np.uint16 if nuclei.count < 2**16 else np.uint32
    with io.atomic_path(out / "masks" / _mask_name(name)) as path:
        tifffile.imwrite(path, nuclei.labels.astype(dtype), compression="zlib")
    picture = draw_outlines(pixels, nuclei.labels)
    with io.atomic_path((out / "outlines" / name).with_suffix(".png")) as path:
        Image.fromarray(picture).save(path, format="PNG")
    rows = tuple(_rows(name, nuclei))
    title = f"{name}: {nuclei.count} nuclei" if nuclei.count != 1 else f"{name}: 1 nucleus"
    result = NucleiOfImage(name, nuclei.count, nuclei.diameter, nuclei.is_doubtful, rows)
    return result, Tile(title, picture) if is_shown else None


def _channel(pixels: np.ndarray, name: str, channel: int | None) -> np.ndarray:
    channels = pixels.shape[2]
    if channel is None and channels > 1:
        raise errors.InvalidInput(
            f"{name} has {channels} channels, and that of the nuclei is not known",
            "Choose it: --channel 2 is blue, the usual colour of DNA"
            if channels == 3
            else "Choose it: --channel 0",
        )
    if not 0 <= (channel or 0) < channels:
        raise errors.InvalidInput(
            f"{name} has {channels} channel{'s' if channels != 1 else ''}, and none is number "
            f"{channel}",
            "Channels are numbered from 0.",
        )
    return np.asarray(pixels[..., channel or 0])


def _rows(image: str, nuclei: Nuclei) -> Iterator[dict[str, Any]]:
    from skimage.measure import regionprops

    for region in regionprops(nuclei.labels):
        top, left, bottom, right = region.bbox
        y, x = region.centroid
        yield {
            "image": image,
            "number": region.label,
            "x": round(float(x), 2),
            "y": round(float(y), 2),
            "left": left,
            "top": top,
            "right": right,
            "bottom": bottom,
            "area": int(region.area),
        }


def crop_side(results: Sequence[NucleiOfImage]) -> int:
    """Return a side for crops that hold a nucleus and its surroundings: two diameters, even."""
    diameters = [result.diameter for result in results if result.count]
    return 2 * max(round(float(np.median(diameters))), 4) if diameters else 64
