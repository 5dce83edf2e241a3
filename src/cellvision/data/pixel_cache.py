"""Prepared pixels on disk: decoded once, in their native type, and memory-mapped.

One folder an experiment's images, named by what it depends on: the content of every image, in
order, and the preprocessing's geometry. It holds ``pixels.bin`` (the raw array) and ``index.json``
(its shape and dtype, the stats of every image and a checksum of each). The folder is written
under another name and renamed when it is whole; of two processes that make the same one, the
first wins and both go on with it. A folder that does not match its own checksums is made again,
and so is one that lists an image as unreadable which meanwhile can be read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from cellvision import errors
from cellvision.data.image_stats import ImageStats, Progress, decode, in_threads

if TYPE_CHECKING:
    from cellvision.data.preprocessing import Preprocessing
    from cellvision.interfaces.dataset import Dataset

_FORMAT = 3
"""Counted up whenever stored pixels or stats would come out otherwise."""

_ABANDONED = 24 * 3600.0
"""Seconds after which an unfinished folder is taken for that of a process that was killed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """The prepared pixels of those images that could be read, and the stats of all.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape (images, height, width, channels), native dtype, memory-mapped and read-only.
    images : tuple of str
        The ids, in the order of `pixels`.
    stats : tuple of ImageStats
        Of every image that was asked for, refused ones included, in order.
    """

    pixels: np.ndarray
    images: tuple[str, ...]
    stats: tuple[ImageStats, ...]


def folder() -> Path:
    """Where the cache is: ``CELLVISION_CACHE``, else the user's cache folder."""
    named = os.environ.get("CELLVISION_CACHE")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("cellvision"))


def open_pixels(
    dataset: Dataset,
    images: Sequence[str],
    preprocessing: Preprocessing,
    progress: Progress | None = None,
) -> StoredPixels:
    """Give the prepared pixels of images, decoding them only where that was not done before.

    Parameters
    ----------
    dataset
        Whose images they are.
    images
        The ids, in the order wanted.
    preprocessing
        Channels, size and whether each image is stretched by itself.
    progress
        Told how many images are decoded, of how many.

    Raises
    ------
    errors.PreprocessingError
        Images have not the channels asked for, or differ in dtype.
    errors.FolderError
        The cache cannot be written: no permission, or no room.
    """
    home = folder() / "pixels" / _key(dataset, images, preprocessing)
    stored = _open(home)
    if stored is not None and _readable_again(dataset, stored):
        stored = None
    # Again, where another process has found the same damage and put aside what was made here.
    for _ in range(3):
        if stored is not None:
            return stored
        try:
            _discard(home)
            _make(home, dataset, images, preprocessing, progress)
        except OSError as error:
            raise errors.FolderError(
                f"{folder()}: the cache of decoded images cannot be written: "
                f"{error.strerror or error}",
                "Make room there or permit writing, or name another place in CELLVISION_CACHE",
            ) from error
        stored = _open(home)
    raise errors.CellvisionError(
        f"{home}: the cache cannot be read back after it was written",
        "Is the disk failing? CELLVISION_CACHE names another place",
    )


def _readable_again(dataset: Dataset, stored: StoredPixels) -> bool:
    """Whether an image that was refused can be read: memory or a codec may have been missing."""
    refused = [stat.image for stat in stored.stats if stat.status != "read"]
    return any(in_threads(lambda image: decode(dataset, image)[1] is not None, refused))


def _key(dataset: Dataset, images: Sequence[str], preprocessing: Preprocessing) -> str:
    digest = hashlib.sha256()
    kind = f"{type(dataset).__module__}:{type(dataset).__qualname__}"
    digest.update(json.dumps([_FORMAT, kind, preprocessing.geometry()], sort_keys=True).encode())

    def fingerprint(image: str) -> str:
        try:
            return dataset.fingerprint(image)
        except Exception:  # noqa: BLE001 - why it cannot be read is found out when it is decoded
            return "unreadable"

    for image, content in zip(images, in_threads(fingerprint, images), strict=True):
        digest.update(json.dumps([image, content]).encode())
    return digest.hexdigest()[:32]


def _open(home: Path) -> StoredPixels | None:
    """Open a stored folder; None where there is none or where it is not what it was."""
    try:
        told, _, text = (home / "index.json").read_text(encoding="utf-8").partition("\n")
        if int(told) != zlib.crc32(text.encode()):
            raise ValueError("the checksum of the index does not match")
        index = json.loads(text)
        shape, dtype = tuple(index["shape"]), np.dtype(index["dtype"])
        stats = tuple(ImageStats.from_json(row) for row in index["stats"])
        images = tuple(stat.image for stat in stats if stat.status == "read")
        pixels = (
            np.memmap(home / "pixels.bin", dtype=dtype, mode="r", shape=shape)
            if images
            else np.zeros(shape, dtype)
        )
        if list(in_threads(_checksum, list(pixels))) != index["checksums"]:
            raise ValueError("a checksum does not match")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        _log.warning("%s is damaged and is made again: %s", home, error)
        return None
    with suppress(OSError):  # a cache that others filled may be read-only
        os.utime(home)
    return StoredPixels(pixels, images, stats)


def _checksum(image: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(image).data)


def _discard(home: Path) -> None:
    """Put a damaged folder out of the way, and what killed processes left beside it."""
    aside = home.with_name(f".{home.name}.{uuid.uuid4().hex[:12]}")
    with suppress(FileNotFoundError):  # none is there, or another process was quicker
        home.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    for other in home.parent.glob(".*"):
        with suppress(OSError):
            written = max(path.stat().st_mtime for path in (other, *other.iterdir()))
            if time.time() - written > _ABANDONED:
                shutil.rmtree(other, ignore_errors=True)


def _make(
    home: Path,
    dataset: Dataset,
    images: Sequence[str],
    preprocessing: Preprocessing,
    progress: Progress | None,
) -> None:
    partial = home.with_name(f".{home.name}.{uuid.uuid4().hex[:12]}")
    partial.mkdir(parents=True)
    try:
        with (partial / "pixels.bin").open("w+b") as file:
            index = _write(file, _prepared(dataset, images, preprocessing, progress), preprocessing)
        text = json.dumps(index)
        (partial / "index.json").write_text(f"{zlib.crc32(text.encode())}\n{text}", "utf-8")
        try:
            partial.rename(home)
        except OSError:
            if not home.exists():
                raise
            # Another process made the same folder meanwhile.
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _prepared(
    dataset: Dataset, images: Sequence[str], preprocessing: Preprocessing, progress: Progress | None
) -> Iterator[tuple[ImageStats, np.ndarray | None]]:
    def prepare(image: str) -> tuple[ImageStats, np.ndarray | None]:
        stats, pixels = decode(dataset, image)
        if pixels is None:
            return stats, None
        try:
            return stats, preprocessing.resize(preprocessing.select_channels(pixels))
        except errors.PreprocessingError as error:
            raise errors.PreprocessingError(f"{image}: {error.what}", error.hint) from None

    return in_threads(prepare, images, progress)


def _write(
    file: BinaryIO,
    prepared: Iterator[tuple[ImageStats, np.ndarray | None]],
    preprocessing: Preprocessing,
) -> dict[str, Any]:
    """Append every image to the file and return the index."""
    stats: list[ImageStats] = []
    checksums: list[int] = []
    dtypes: Counter[str] = Counter()
    depth = 0
    for stat, pixels in prepared:
        stats.append(stat)
        if pixels is None:
            continue
        dtypes[str(pixels.dtype)] += 1
        if len(dtypes) > 1:
            continue  # it is refused below, when all dtypes are counted
        if depth == 0:
            depth = pixels.shape[-1]
        elif depth != pixels.shape[-1]:
            # Grey images among colour ones: those written so far get all channels as well.
            if depth < preprocessing.depth:
                checksums = _completed(file, len(checksums), pixels.dtype, preprocessing)
            depth = preprocessing.depth
            pixels = preprocessing.expand_channels(pixels)
        file.write(np.ascontiguousarray(pixels).data)
        checksums.append(_checksum(pixels))
    if len(dtypes) > 1:
        told = ", ".join(f"{count} are {dtype}" for dtype, count in dtypes.most_common())
        raise errors.PreprocessingError(
            f"the images differ in pixel type: {told}, so one intensity factor cannot serve them",
            "Convert them to one bit depth, or read them as separate data sets "
            "(cellvision audit lists the dtype of every file)",
        )
    dtype = next(iter(dtypes), "uint8")
    shape = (len(checksums), *preprocessing.size, depth or preprocessing.depth)
    return {
        "shape": shape,
        "dtype": dtype,
        "checksums": checksums,
        "stats": [stat.to_json() for stat in stats],
    }


def _completed(
    file: BinaryIO, count: int, dtype: np.dtype[Any], preprocessing: Preprocessing
) -> list[int]:
    """Rewrite what is in the file with all channels; the last image first, to have room."""
    one = int(np.prod(preprocessing.size)) * dtype.itemsize
    checksums = []
    for position in reversed(range(count)):
        file.seek(position * one)
        grey = np.frombuffer(file.read(one), dtype).reshape(*preprocessing.size, 1)
        full = np.ascontiguousarray(preprocessing.expand_channels(grey))
        file.seek(position * one * preprocessing.depth)
        file.write(full.data)
        checksums.append(_checksum(full))
    file.seek(0, os.SEEK_END)
    return checksums[::-1]
