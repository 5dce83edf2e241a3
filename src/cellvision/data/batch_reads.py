"""Decode many images in threads, several at a time if the data set reads in batches."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cellvision import errors
from cellvision.data.image_stats import ImageStats, decode, decoded_or_fault, measure
from cellvision.data.threaded_map import Progress, in_threads
from cellvision.digests import native_digest
from cellvision.integers import as_int
from cellvision.interfaces.dataset import Dataset
from cellvision.interfaces.decoded_image import DecodedImage

if TYPE_CHECKING:
    from typing import Any

B = TypeVar("B")

_log = logging.getLogger(__name__)

UNREADABLE = "unreadable"
"""Begins the fingerprint of an image that cannot be read; decoding it finds the reason."""


def reads_in_batches(dataset: Dataset) -> bool:
    """Whether a data set defines `Dataset.read_many`."""
    return type(dataset).read_many is not Dataset.read_many


def decode_each(
    dataset: Dataset,
    images: Sequence[str],
    work: Callable[[ImageStats, np.ndarray | None], B],
    progress: Progress | None = None,
) -> Iterator[B]:
    """Decode images in threads and pass each on, in order.

    Parameters
    ----------
    dataset
        The data set.
    images
        Ids of the images.
    work
        Called in a thread with the statistics and the pixels of an image; the pixels are None if
        it cannot be decoded.
    progress
        Called with the number of finished images and the total number.

    Raises
    ------
    errors.PluginContractError
        `Dataset.read_many` returned another number of images than it was given.
    """

    def work_on(chunk: Sequence[str]) -> list[B]:
        return [work(*decoded) for decoded in _decode_together(dataset, chunk)]

    if reads_in_batches(dataset):
        results = _in_chunks(dataset, images, work_on)
        for count, result in enumerate(results, start=1):
            yield result
            if progress is not None:
                progress(count, len(images))
    else:
        yield from in_threads(lambda image: work(*decode(dataset, image)), images, progress)


def read_together(
    dataset: Dataset, images: Sequence[str]
) -> Iterator[DecodedImage | errors.UnreadableImage]:
    """Read images, several at a time if the data set can; a fault of an image is returned.

    Parameters
    ----------
    dataset
        The data set.
    images
        Ids of the images. At most `Dataset.images_per_read` are in memory at once.

    Raises
    ------
    errors.PluginContractError
        `Dataset.read_many` returned another number of images than it was given.
    """
    size = _images_per_read(dataset) if reads_in_batches(dataset) else 1
    for start in range(0, len(images), size):
        part = images[start : start + size]
        contents = _read_part(dataset, part)
        decoded = contents if isinstance(contents, list) else None
        for number, image in enumerate(part):
            item = None if decoded is None else decoded[number]
            yield decoded_or_fault(image, functools.partial(_one, dataset, image, item))
            if decoded is not None:
                decoded[number] = None  # so that the pixels can leave memory


def _one(dataset: Dataset, image: str, item: Any) -> DecodedImage:
    """Return one image of a batch; read it by itself if there is no batch."""
    return dataset.decode(image) if item is None else _decoded(item)


def _read_part(dataset: Dataset, images: Sequence[str]) -> list[Any] | BaseException | None:
    """Read images in one go; if they are to be read one by one, None or the fault."""
    if not reads_in_batches(dataset):
        return None
    try:
        return _read_many(dataset, images)
    except errors.PluginContractError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the faulty image is found by itself
        return error


def scan(
    dataset: Dataset, images: Sequence[str], progress: Progress | None = None
) -> list[ImageStats]:
    """Compute the statistics of images, in order, with one thread per processor."""
    return list(decode_each(dataset, images, lambda stats, _: stats, progress))


def reads_for_fingerprints(dataset: Dataset) -> bool:
    """Whether a data set uses the default fingerprint, for which every image is read."""
    return type(dataset).fingerprint is Dataset.fingerprint


def fingerprints(dataset: Dataset, images: Sequence[str]) -> Iterator[str]:
    """Return the fingerprint of each image, reading in batches if that is the cheaper way."""

    def digests(chunk: Sequence[str]) -> list[str]:
        try:
            return [native_digest(_pixels(item)) for item in _read_many(dataset, chunk)]
        except errors.PluginContractError:
            raise
        except (Exception, SystemExit):  # noqa: BLE001 - the faulty one is found by itself
            return [_fingerprint(dataset, image) for image in chunk]

    if reads_in_batches(dataset) and reads_for_fingerprints(dataset):
        yield from _in_chunks(dataset, images, digests)
    else:
        yield from in_threads(lambda image: _fingerprint(dataset, image), images)


def fingerprints_of_read(dataset: Dataset, stats: Sequence[ImageStats]) -> Iterator[str]:
    """Return what `fingerprints` would, if images are read for it and have been read already."""
    for stat in stats:
        yield stat.digest or _fingerprint(dataset, stat.image)


def _fingerprint(dataset: Dataset, image: str) -> str:
    try:
        fingerprint = dataset.fingerprint(image)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - decoding finds the reason
        return f"{UNREADABLE}: {errors.summarize(error)}"
    if not isinstance(fingerprint, str) or not fingerprint:
        raise errors.PluginContractError(
            f"{dataset.registry.origin_of(type(dataset))}: fingerprint() returned "
            f"{fingerprint!r:.80}, not text",
            "Return text that changes with the image. Its author can test it: cellvision check.",
        )
    return fingerprint


def _images_per_read(dataset: Dataset) -> int:
    size = as_int(dataset.images_per_read)
    if size is None or size < 1:
        raise errors.PluginContractError(
            f"{dataset.registry.origin_of(type(dataset))}: images_per_read is "
            f"{dataset.images_per_read!r}",
            "Set it to a number of images, 1 or more.",
        )
    return size


def _in_chunks(
    dataset: Dataset, images: Sequence[str], work: Callable[[Sequence[str]], list[B]]
) -> Iterator[B]:
    size = _images_per_read(dataset)
    chunks = [images[start : start + size] for start in range(0, len(images), size)]
    return chain.from_iterable(in_threads(work, chunks))


def _decode_together(
    dataset: Dataset, images: Sequence[str]
) -> Iterator[tuple[ImageStats, np.ndarray | None]]:
    items = _read_part(dataset, images)
    if not isinstance(items, list):
        singly = [decode(dataset, image) for image in images]
        if items is not None and all(pixels is not None for _, pixels in singly):
            _warn_of_slow_reads(dataset.registry.origin_of(type(dataset)), errors.summarize(items))
        yield from singly
        return
    for image, item in zip(images, items, strict=True):
        yield measure(image, lambda item=item: _decoded(item))  # type: ignore[misc]


@functools.cache  # once for each fault
def _warn_of_slow_reads(plugin: str, fault: str) -> None:
    _log.warning(
        "%s: read_many() failed (%s), but each image can be read by itself, which takes longer. "
        "Its author can test it: cellvision check.",
        plugin,
        fault,
    )


def _read_many(dataset: Dataset, images: Sequence[str]) -> list[Any]:
    items = list(dataset.read_many(images))
    if len(items) != len(images):
        raise errors.PluginContractError(
            f"{dataset.registry.origin_of(type(dataset))}: read_many() returned {len(items)} "
            f"images for {len(images)}",
            "Return one for each id, in the given order. Its author can test it: cellvision check.",
        )
    return items


def _pixels(item: DecodedImage | np.ndarray) -> np.ndarray:
    return np.asarray(item.pixels if isinstance(item, DecodedImage) else item)


def _decoded(item: DecodedImage | np.ndarray) -> DecodedImage:
    if isinstance(item, DecodedImage):
        return item
    return DecodedImage.of_pixels(np.asarray(item))
