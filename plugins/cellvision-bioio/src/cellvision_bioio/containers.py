"""An open microscope file: its scenes and their planes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors

from .formats import format_of

if TYPE_CHECKING:
    import numpy as np

_KEPT_OPEN = 2
"""Number of files that a thread keeps open: images of one file are read in sequence."""

_DEPTHS = (1, 8, 10, 12, 14, 16, 32, 64)

_local = threading.local()


@dataclass(frozen=True)
class Scene:
    """Content of a scene.

    Attributes
    ----------
    name
        As the microscope's program calls it.
    times, planes
        How many time points, and how many planes in Z.
    channels
        Their names; colours of an RGB image are no channels of the microscope.
    significant_bits
        Of a pixel, where the file tells.
    """

    name: str
    times: int
    planes: int
    channels: tuple[str, ...]
    significant_bits: int | None


class Container:
    """A microscope file, open in one thread.

    Parameters
    ----------
    reader
        One of bioio's readers.
    """

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._known: dict[int, Scene] = {}

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of the scenes, in the order of the file."""
        return tuple(str(name) for name in self._reader.scenes)

    def scene(self, number: int) -> Scene:
        """Describe a scene without reading its pixels."""
        if number not in self._known:
            data = self._data(number)
            sizes = data.sizes
            names = data.coords["C"].values if "C" in data.coords else ()
            self._known[number] = Scene(
                self.scenes[number],
                sizes.get("T", 1),
                sizes.get("Z", 1),
                tuple(str(name) for name in names),
                _significant_bits(self._reader, number),
            )
        return self._known[number]

    def plane(self, number: int, time: int, z: int) -> np.ndarray:
        """Read one plane only: shape (height, width, channels), native dtype."""
        from dask.utils import key_split

        data = self._data(number)
        data = data.isel({name: k for name, k in (("T", time), ("Z", z)) if name in data.dims})
        last = [name for name in ("C", "S") if name in data.dims]
        odd = [name for name in data.dims if name not in ("Y", "X", *last)]
        wide = [f"{name} ({data.sizes[name]})" for name in odd if data.sizes[name] != 1]
        if wide:
            raise ValueError(f"it has a dimension that no setting selects from: {wide[0]}")
        pixels = data.isel(dict.fromkeys(odd, 0)).transpose("Y", "X", *last).data
        # Read in this thread: the caller already has several.
        pixels = pixels.compute(scheduler="synchronous")
        # Dask caches the names of 100,000 tasks, and every read adds new ones.
        key_split.cache_clear()
        return pixels.reshape(*pixels.shape[:2], -1)  # type: ignore[no-any-return]

    def _data(self, number: int) -> Any:
        """Return the scene as a lazy xarray."""
        self._reader.set_scene(number)
        data = self._reader.xarray_dask_data
        # Tiles of a mosaic are stitched if the reader can.
        return self._reader.mosaic_xarray_dask_data if data.sizes.get("M", 1) > 1 else data


def open_container(path: Path, name: str) -> Container:
    """Open a microscope file, or return the one that this thread has open.

    Parameters
    ----------
    path
        The file, or the folder of an OME-Zarr.
    name
        What the caller calls it, for the message.

    Raises
    ------
    errors.UnreadableImage
        It cannot be opened.
    errors.InvalidInput
        Its reader is not installed.
    """
    try:
        status = path.stat()
    except OSError as fault:
        raise errors.UnreadableImage(name, fault.strerror or str(fault)) from fault
    known = format_of(path)
    if known is None:
        raise errors.UnreadableImage(name, "its suffix is not one of a microscope file")
    if not hasattr(_local, "containers"):
        _local.containers = OrderedDict()
    containers: OrderedDict[tuple[Any, ...], Container] = _local.containers
    # The file may have been replaced.
    key = (path.absolute(), status.st_mtime_ns, status.st_size)
    if key in containers:
        containers.move_to_end(key)
        return containers[key]
    reader = known.reader()
    try:
        container = Container(reader(path, **known.options))
        if not container.scenes:
            raise ValueError("it holds no image")
    except Exception as fault:  # a damaged file can raise anything
        raise errors.UnreadableImage(
            name, f"not a readable {known.title}: {one_line(fault, path)}", _hint(known.title)
        ) from fault
    containers[key] = container
    while len(containers) > _KEPT_OPEN:
        containers.popitem(last=False)
    return container


def depth_of(pixels: np.ndarray, significant_bits: int | None) -> int:
    """Return the bit depth that the file declares, if no pixel exceeds it."""
    if pixels.dtype.kind == "b":
        return 1
    dtype_bits = pixels.dtype.itemsize * 8
    if pixels.dtype.kind not in "iu" or not significant_bits or significant_bits > dtype_bits:
        return dtype_bits
    declared = next(depth for depth in _DEPTHS if depth >= significant_bits)
    return declared if int(pixels.max(initial=0)) < 2**declared else dtype_bits


def one_line(fault: BaseException, path: Path) -> str:
    """Return a reader's message in one short line, without the path."""
    text = " ".join(str(fault).split()).replace(str(path), path.name) or type(fault).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def _hint(title: str) -> str:
    if title == "OME-TIFF":
        return "The data set 'folder' reads TIFFs that are no OME-TIFF"
    return "Copy or export the file again, or leave it out"


def _significant_bits(reader: Any, number: int) -> int | None:
    try:
        bits = reader.ome_metadata.images[number].pixels.significant_bits
    except Exception:  # noqa: BLE001 - readers without it raise different errors
        return None
    return int(bits) if bits else None
