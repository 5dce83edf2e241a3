"""Batches of images for training, prepared in a thread while the previous one is computed."""

from __future__ import annotations

import itertools
import math
import time
from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision.backends import distributed
from cellvision.training.buffers import BufferPool

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData

_PREFETCHED_GROUPS = 8
"""Most groups of batches that are prepared ahead."""

_PREFETCHED_VALUES = 2**27
"""Most pixel values in more than two groups that are prepared ahead."""

Batch = tuple[np.ndarray, np.ndarray]

_GROUP_VALUES = 2**21
"""Batches with fewer values than this are grouped, so that Python is not the bottleneck."""

_MOST_STEPS = 50
"""Most batches in a group."""


def group_size(batch_size: int, input_shape: tuple[int, ...]) -> int:
    """Return how many batches to pass to Keras at once."""
    values = batch_size * math.prod(input_shape)
    return int(np.clip(_GROUP_VALUES // values, 1, _MOST_STEPS))


class BatchLoader:
    """An endless series of shuffled training batches, prepared in a thread.

    Images keep their native integer type; the device converts them. If several processes train
    together, each loads its part of every batch.

    Parameters
    ----------
    prepared
        The images.
    rows
        Rows of the images to load, in ``prepared.pixels``.
    batch_size
        Images per batch; the last batch of an epoch has the rest.
    seed
        Seed of the order; every epoch has a different order.
    multiple_of
        Make the size of every batch a multiple of this, so that devices get equal shares. Up to
        ``multiple_of - 1`` images are left out of an epoch, different ones each time.
        `batch_size` must be a multiple.
    group_size
        Batches that are gathered at once, which saves Python overhead for small ones.
    first_epoch
        Epoch to start with; the first is 0.

    Attributes
    ----------
    usable : int
        Images per epoch.
    steps : int
        Batches per epoch.
    ready : array of float
        Time at which each batch became available (``time.perf_counter``), in order.
    """

    def __init__(
        self,
        prepared: PreparedData,
        rows: np.ndarray,
        batch_size: int,
        seed: int,
        multiple_of: int = 1,
        group_size: int = 1,
        first_epoch: int = 0,
    ) -> None:
        self.prepared = prepared
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.multiple_of = multiple_of
        self.usable = len(rows) // multiple_of * multiple_of
        self.steps = -(-self.usable // self.batch_size)
        self.group_size = group_size
        self.first_epoch = first_epoch
        self.ready = array("d")
        self._buffers = BufferPool()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="cellvision-loader")
        self._closed = False

    def __enter__(self) -> BatchLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._executor.shutdown(cancel_futures=True)

    def batches(self) -> Iterator[Batch]:
        """Yield batches until the loader is closed."""
        for pixels, labels in self.groups():
            yield from zip(pixels, labels, strict=True)

    def groups(self) -> Iterator[Batch]:
        """Yield the same batches in groups: pixels (batches, n, height, width, channels)."""
        self.ready = ready = array("d")
        row_groups = self._row_groups()
        ahead = self._groups_ahead()
        pending: deque[Future[Batch]] = deque()
        try:
            while True:
                while len(pending) < ahead:
                    pending.append(self._executor.submit(self._gather, next(row_groups)))
                group = pending.popleft().result()
                ready.extend([time.perf_counter()] * len(group[0]))
                yield group
        except (CancelledError, RuntimeError):
            # Keras reads ahead, and may still do so when the loader is closed.
            if not self._closed:
                raise

    def _groups_ahead(self) -> int:
        shape = self.prepared.experiment.preprocessing.input_shape
        values = self.group_size * self.batch_size * math.prod(shape)
        return int(np.clip(_PREFETCHED_VALUES // values, 2, _PREFETCHED_GROUPS))

    def row_batches(self) -> Iterator[Batch]:
        """Yield the same batches with positions in `rows`, int32, in place of pixels."""
        self.ready = ready = array("d")
        names = self.prepared.catalog.class_names
        for group in self._row_groups():
            for rows in group:
                ready.append(time.perf_counter())
                labels = one_hot(self.prepared.labels[rows], len(names))
                yield np.searchsorted(self.rows, rows).astype(np.int32), labels

    def _row_groups(self) -> Iterator[np.ndarray]:
        """Yield the rows of each group, shape (batches, n); a short last batch is a group."""
        full_batches = self.usable // self.batch_size
        for epoch in itertools.count(self.first_epoch):
            order = epoch_order(self.rows, self.seed, epoch)[: self.usable]
            full = order[: full_batches * self.batch_size].reshape(full_batches, self.batch_size)
            for start in range(0, full_batches, self.group_size):
                yield _local_rows(full[start : start + self.group_size])
            if self.usable > full_batches * self.batch_size:
                yield _local_rows(order[None, full_batches * self.batch_size :])

    def _gather(self, rows: np.ndarray) -> Batch:
        pixels, labels = gather(self.prepared, rows.ravel(), self._buffers)
        return (
            pixels.reshape(*rows.shape, *pixels.shape[1:]),
            labels.reshape(*rows.shape, *labels.shape[1:]),
        )


def _local_rows(rows: np.ndarray) -> np.ndarray:
    """Return this process's part of each batch, in the order of the file."""
    return np.stack([distributed.shard(batch) for batch in np.sort(rows, axis=1)])


def epoch_order(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Shuffle the rows of an epoch; the first epoch is 0."""
    order: np.ndarray = np.random.default_rng([seed, epoch]).permutation(rows)
    return order


def gather(prepared: PreparedData, rows: np.ndarray, buffers: BufferPool | None = None) -> Batch:
    """Collect images: native pixels (n, height, width, channels) and one-hot labels.

    Ascending rows let the disk be read sequentially.

    Parameters
    ----------
    prepared
        The images.
    rows
        Rows in ``prepared.pixels``.
    buffers
        Pool that provides the memory; None allocates it.
    """
    preprocessing, stored = prepared.experiment.preprocessing, prepared.pixels
    labels = one_hot(prepared.labels[rows], len(prepared.catalog.class_names))
    if buffers is None:
        return preprocessing.expand_channels(stored[rows]), labels
    pixels = buffers.array((len(rows), *preprocessing.input_shape), stored.dtype)
    if stored.shape[-1] == preprocessing.depth:
        np.take(stored, rows, axis=0, out=pixels, mode="clip")  # other modes make a further copy
    else:
        pixels[...] = preprocessing.expand_channels(stored[rows])
    return pixels, labels


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return labels as rows with a single 1, float32."""
    rows: np.ndarray = np.eye(classes, dtype=np.float32)[labels]
    return rows


def validation_batches(
    prepared: PreparedData, rows: np.ndarray, *, size: int, multiple_of: int, mixes_labels: bool
) -> Any:
    """Return the validation images in order, as a ``keras.utils.PyDataset``.

    Parameters
    ----------
    prepared
        The images.
    rows
        Rows of the validation images.
    size
        Images per batch.
    multiple_of
        Number of devices; the size of every batch is a multiple of it.
    mixes_labels
        Whether the network takes labels in addition to the pixels.
    """
    import keras

    usable = len(rows) // multiple_of * multiple_of

    class ValidationBatches(keras.utils.PyDataset):  # type: ignore[misc]
        """The validation images, in order."""

        def __len__(self) -> int:
            return -(-usable // size)

        def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
            batch = rows[:usable][index * size : (index + 1) * size]
            pixels, labels = gather(prepared, distributed.shard(batch))
            return ((pixels, labels) if mixes_labels else pixels), labels

    return ValidationBatches()
