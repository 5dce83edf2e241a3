"""Prepared pixels on disk: decoded once, in their native dtype, and memory-mapped.

Each set of images has one folder, named by what it depends on: the images, in order, with the
geometry settings of the preprocessing, and then the content of every image. The folder contains
``pixels.bin`` (the raw array) and ``index.json`` (its shape and dtype, statistics and a checksum of
every image; see `cellvision.data.pixel_index`). It is written under another name and renamed when
complete; if two processes make the same one, the first wins and both use it. A folder that does not
match its checksums is made again, and so is one that lists an image as unreadable that can be read
now.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import imagecodecs
import numpy as np

from cellvision import atomic_io, errors
from cellvision.data.batch_reads import (
    decode_each,
    fingerprints,
    fingerprints_of_read,
    reads_for_fingerprints,
)
from cellvision.data.cache_space import raise_if_full, raise_if_too_large, remove_abandoned
from cellvision.data.image_stats import ImageStats, decode
from cellvision.data.intensity import STANDARD_BIT_DEPTHS, counts_above
from cellvision.data.paired_masks import remedy_for_different_images
from cellvision.data.pixel_index import IndexWriter, read_index
from cellvision.data.pixel_reader import reader_digest, reads_alike
from cellvision.data.threaded_map import Progress, in_threads
from cellvision.user_folders import cache_folder

if TYPE_CHECKING:
    from cellvision.data.preprocessing import Preprocessing
    from cellvision.interfaces.dataset import Dataset

_FORMAT = 7
"""Incremented whenever stored pixels or statistics would change."""

_PIXELS, _INDEX = "pixels.bin", "index.json"

_BLOCK_BYTES = 2**22
"""Bytes of pixels that a thread checks at a time."""

_DEPTHS = len(STANDARD_BIT_DEPTHS) - 1
"""Bit depths whose samples are counted."""

_log = logging.getLogger(__name__)


class MixedDtypesError(errors.PreprocessingError):
    """Images differ in pixel type, so that no single factor can scale them."""


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """The prepared pixels of all readable images, and the statistics of all images.

    Attributes
    ----------
    pixels : numpy.ndarray
        Shape (images, height, width, channels), native dtype, memory-mapped and read-only.
    images : tuple of str
        The ids, in the order of `pixels`.
    stats : tuple of ImageStats
        Statistics of every requested image, in order, including unreadable ones.
    counts_above : tuple of tuple of int
        For each of `images`, its native samples above 8, 10, 12 and 14 bits.
    reader : str
        What read them; see `cellvision.data.pixel_reader`.
    """

    pixels: np.ndarray
    images: tuple[str, ...]
    stats: tuple[ImageStats, ...]
    counts_above: tuple[tuple[int, ...], ...]
    reader: str = ""


def open_pixels(
    dataset: Dataset,
    images: Sequence[str],
    preprocessing: Preprocessing,
    progress: Progress | None = None,
) -> StoredPixels:
    """Return the prepared pixels of images, decoding them only if the cache lacks them.

    Parameters
    ----------
    dataset
        The data set that reads the images.
    images
        The ids, in the requested order.
    preprocessing
        Channels, size, fit and whether each image is stretched separately.
    progress
        Called with the number of decoded images and the number of all.

    Raises
    ------
    errors.PreprocessingError
        Images lack a requested channel, do not fit, differ in dtype, or become too large.
    errors.FolderError
        The cache cannot be written: no permission, or no space.
    """
    job = _Job(dataset, images, preprocessing, progress, reader_digest(dataset, images))
    shelf = cache_folder() / "pixels"
    name = _name(job)
    if reads_for_fingerprints(dataset) and not any(shelf.glob(f"{name}-*")):
        # Nothing can match, so do not read every image to find that out.
        with _writing():
            home = _make(shelf, name, job, None)
    else:
        home = shelf / f"{name}-{_content(job, fingerprints(dataset, images))}"
    stored = _open(home, images, preprocessing)
    if stored and stored.reader != job.reader and not reads_alike(dataset, stored.stats):
        home = home.with_name(f"{home.name}-{job.reader}")
        stored = _open(home, images, preprocessing)
    if stored is not None and _readable_again(dataset, stored):
        stored = None
    # Retry if another process found the same damage and moved away what was made here.
    for _ in range(3):
        if stored is not None:
            return stored
        with _writing():
            _discard(home)
            _make(shelf, name, job, home)
        stored = _open(home, images, preprocessing)
    raise errors.CellvisionError(
        f"{home}: the cache cannot be read back after it was written",
        "Check the disk, or set CELLVISION_CACHE to another folder",
    )


class _Job(NamedTuple):
    """The images to prepare; the arguments of `open_pixels`."""

    dataset: Dataset
    images: Sequence[str]
    preprocessing: Preprocessing
    progress: Progress | None
    reader: str


@contextmanager
def _writing() -> Iterator[None]:
    """Say what to do if the cache cannot be written."""
    try:
        yield
    except errors.CellvisionError:
        raise
    except OSError as error:
        raise errors.FolderError(
            f"{cache_folder()}: the cache of decoded images cannot be written: "
            f"{error.strerror or error}",
            "Free space or permit writing there, or set CELLVISION_CACHE to another folder",
        ) from error


def _readable_again(dataset: Dataset, stored: StoredPixels) -> bool:
    """Whether a refused image can be read now: memory or a codec may have been missing."""
    refused = [stat.image for stat in stored.stats if stat.status != "read"]
    return any(in_threads(lambda image: decode(dataset, image)[1] is not None, refused))


def _name(job: _Job) -> str:
    """Return how the names of folders with these images begin, whatever their content is."""
    kind = f"{type(job.dataset).__module__}:{type(job.dataset).__qualname__}"
    settings = [_FORMAT, kind, job.preprocessing.geometry(), list(job.images)]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _content(job: _Job, prints: Iterable[str]) -> str:
    """Return how they end: a digest of what is in the images."""
    digest = hashlib.sha256()
    for image, content in zip(job.images, prints, strict=True):
        digest.update(json.dumps([image, content]).encode())
    return digest.hexdigest()[:32]


def _open(home: Path, images: Sequence[str], preprocessing: Preprocessing) -> StoredPixels | None:
    """Open a stored folder; None if it does not exist or is damaged."""
    try:
        stored, checksums = _load(home)
        _validate(stored, images, preprocessing)
        if _checksums_of_file(home / _PIXELS, stored.pixels) != checksums:
            raise ValueError("a checksum does not match")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # noqa: BLE001 - an index may hold anything
        _log.warning("%s is damaged and is made again: %s", home, errors.summarize(error))
        return None
    return stored


def _load(home: Path) -> tuple[StoredPixels, list[int]]:
    stats, index = read_index(home / _INDEX)
    shape, dtype = tuple(index["shape"]), np.dtype(index["dtype"])
    readable = tuple(stat.image for stat in stats if stat.status == "read")
    pixels = (
        np.memmap(home / _PIXELS, dtype=dtype, mode="r", shape=shape)
        if readable
        else np.zeros(shape, dtype)
    )
    counts = tuple(tuple(row) for row in index["counts_above"])
    stored = StoredPixels(pixels, readable, stats, counts, index.get("reader", ""))
    return stored, index["checksums"]


def _validate(stored: StoredPixels, images: Sequence[str], preprocessing: Preprocessing) -> None:
    """Refuse an index whose parts do not belong together."""
    count, *size, depth = stored.pixels.shape
    if [stat.image for stat in stored.stats] != list(images):
        raise ValueError("the index lists other images")
    if count != len(stored.images) or count != len(stored.counts_above):
        raise ValueError("the index lists another number of images than it has pixels")
    if tuple(size) != preprocessing.size or depth not in (1, preprocessing.depth):
        raise ValueError("the pixels have another shape")
    if any(len(row) != _DEPTHS or set(map(type, row)) != {int} for row in stored.counts_above):
        raise ValueError("the index does not count the samples of each image")
    for stat in stored.stats:
        if stat.status == "read" and not stat.is_complete:
            raise ValueError(f"the index lacks statistics of {stat.image}")


def _checksum(samples: np.ndarray | bytes) -> int:
    # libdeflate's CRC-32 takes a tenth of the time of zlib's.
    return int(imagecodecs.deflate_crc32(samples))  # type: ignore[arg-type] # takes arrays, too


def _checksums_of_file(path: Path, pixels: np.ndarray) -> list[int]:
    """Compute the checksum of each stored image from the file.

    Mapped pixels would stay in memory once they are looked at.
    """
    if not len(pixels):
        return []
    size = pixels.nbytes // len(pixels)
    at_once = max(1, _BLOCK_BYTES // size)

    def checksums(start: int) -> list[int]:
        with path.open("rb") as file:
            file.seek(start * size)
            count = min(at_once, len(pixels) - start)
            return [_checksum(file.read(size)) for _ in range(count)]

    blocks = in_threads(checksums, range(0, len(pixels), at_once))
    return [checksum for block in blocks for checksum in block]


def _discard(home: Path) -> None:
    """Remove a damaged folder."""
    aside = atomic_io.temporary_path(home)
    with suppress(FileNotFoundError):  # nothing to discard, or another process was faster
        home.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _make(shelf: Path, name: str, job: _Job, home: Path | None) -> Path:
    """Prepare images, and return their folder; None: the one that their content turns out to have.

    If another process made the same folder first, that one stays.
    """
    remove_abandoned(shelf)
    raise_if_too_large(job.preprocessing, len(job.images), shelf)
    with atomic_io.workspace(shelf / name) as partial:
        with (partial / _PIXELS).open("w+b") as file, IndexWriter(partial / _INDEX) as index:
            whole = _write(file, index, _prepared(job), job)
            index.finish({**whole, "reader": job.reader})
        if home is None:
            stats, _ = read_index(partial / _INDEX)
            home = shelf / f"{name}-{_content(job, fingerprints_of_read(job.dataset, stats))}"
        try:
            partial.rename(home)
        except OSError:
            if not home.is_dir():
                raise
    return home


class _Prepared(NamedTuple):
    """One image, decoded; `pixels` are None if it cannot be read."""

    stats: ImageStats
    pixels: np.ndarray | None
    counts: tuple[int, ...]
    checksum: int = 0


def _prepared(job: _Job) -> Iterator[_Prepared]:
    preprocessing = job.preprocessing

    def prepare(stats: ImageStats, pixels: np.ndarray | None) -> _Prepared:
        if pixels is None:
            return _Prepared(stats, None, ())
        try:
            fitted = preprocessing.resize(preprocessing.select_channels(pixels))
        except errors.PreprocessingError as error:
            raise errors.PreprocessingError(f"{stats.image}: {error.what}", error.hint) from None
        fitted = np.ascontiguousarray(fitted)
        return _Prepared(stats, fitted, counts_above(pixels), _checksum(fitted))

    return decode_each(job.dataset, job.images, prepare, job.progress)


def _write(
    file: BinaryIO,
    index: IndexWriter,
    prepared: Iterator[_Prepared],
    job: _Job,
) -> dict[str, Any]:
    """Append every image to the file and to the index; return what belongs to all of them."""
    preprocessing = job.preprocessing
    counts: list[tuple[int, ...]] = []
    checksums: list[int] = []
    dtypes: Counter[str] = Counter()
    depth = 0
    for stat, pixels, above, checksum in prepared:
        index.add(stat)
        if pixels is None:
            continue
        counts.append(above)
        dtypes[str(pixels.dtype)] += 1
        if len(dtypes) > 1:
            continue  # refused below, when all dtypes are counted
        if depth == 0:
            depth = pixels.shape[-1]
            if preprocessing.on_unreadable == "error":  # otherwise, some may need no space
                raise_if_full(cache_folder() / "pixels", pixels.nbytes * len(job.images))
        elif depth != pixels.shape[-1]:
            # Grey images among colour ones: those written so far get all channels too.
            if depth < preprocessing.depth:
                checksums = _expand_stored(file, len(checksums), pixels.dtype, preprocessing)
            depth = preprocessing.depth
            pixels = np.ascontiguousarray(preprocessing.expand_channels(pixels))
            checksum = _checksum(pixels)
        file.write(pixels.data)
        checksums.append(checksum)
    if len(dtypes) > 1:
        raise _mixed_dtypes(dtypes, job.images)
    return {
        "shape": (len(checksums), *preprocessing.size, depth or preprocessing.depth),
        "dtype": next(iter(dtypes), "uint8"),
        "checksums": checksums,
        "counts_above": counts,
    }


def _mixed_dtypes(dtypes: Counter[str], images: Sequence[str]) -> MixedDtypesError:
    listed = ", ".join(f"{count} are {dtype}" for dtype, count in dtypes.most_common())
    return MixedDtypesError(
        f"the images differ in pixel type: {listed}, so no single factor can scale them",
        remedy_for_different_images(
            images,
            "Convert them to one bit depth, or use them as separate data sets "
            "(cellvision audit lists the dtype of every file)",
        ),
    )


def _expand_stored(
    file: BinaryIO, count: int, dtype: np.dtype[Any], preprocessing: Preprocessing
) -> list[int]:
    """Rewrite the grey images in the file with all channels, last image first; return checksums."""
    grey_bytes = int(np.prod(preprocessing.size)) * dtype.itemsize
    checksums = []
    for position in reversed(range(count)):
        file.seek(position * grey_bytes)
        grey = np.frombuffer(file.read(grey_bytes), dtype).reshape(*preprocessing.size, 1)
        full = np.ascontiguousarray(preprocessing.expand_channels(grey))
        file.seek(position * grey_bytes * preprocessing.depth)
        file.write(full.data)
        checksums.append(_checksum(full))
    file.seek(0, os.SEEK_END)
    return checksums[::-1]
