"""Batches for the network: gathered from memory-mapped pixels while the last one is computed."""

from __future__ import annotations

import itertools
import time
from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from cellvision.backends import distributed
from cellvision.training.buffers import BufferPool

if TYPE_CHECKING:
    from cellvision.data.prepared import PreparedData

_AHEAD = 8
"""How many groups of batches are made before they are asked for."""

Batch = tuple[np.ndarray, np.ndarray]


class BatchLoader:
    """An endless series of shuffled training batches, made in a thread of its own.

    Images go out in their native integer type: they are converted on the device. Where several
    processes train together, each gets its part of every batch.

    Parameters
    ----------
    prepared
        The images.
    rows
        Which of them, as places in ``prepared.pixels``.
    batch_size
        Images a batch; an epoch's last batch has what is left.
    seed
        Seed of the order; each epoch has another one.
    multiple_of
        Batches hold a multiple of so many images, so that devices get equal shares; up to
        one less than that are left out of an epoch, other ones in each. `batch_size` is one.
    together
        Batches that are gathered at once, so that small ones cost little in Python.

    Attributes
    ----------
    usable : int
        Images an epoch.
    steps : int
        Batches an epoch.
    ready : array of float
        When each batch was there to be taken (``time.perf_counter``), in order.
    """

    def __init__(
        self,
        prepared: PreparedData,
        rows: np.ndarray,
        batch_size: int,
        seed: int,
        multiple_of: int = 1,
        together: int = 1,
    ) -> None:
        self.prepared = prepared
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.usable = len(rows) // multiple_of * multiple_of
        self.steps = -(-self.usable // self.batch_size)
        self.together = together
        self.ready = array("d")
        self._memory = BufferPool()
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="cellvision-loader")
        self._closed = False

    def __enter__(self) -> BatchLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._ahead.shutdown(cancel_futures=True)

    def batches(self) -> Iterator[Batch]:
        """Give the batches, from the first epoch on, until the loader is closed."""
        for pixels, labels in self.groups():
            yield from zip(pixels, labels, strict=True)

    def groups(self) -> Iterator[Batch]:
        """Give the same batches in groups: pixels (batches, n, height, width, channels)."""
        self.ready = ready = array("d")
        chosen = self._chosen()
        coming: deque[Future[Batch]] = deque()
        try:
            while True:
                while len(coming) < _AHEAD:
                    coming.append(self._ahead.submit(self._gather, next(chosen)))
                group = coming.popleft().result()
                ready.extend([time.perf_counter()] * len(group[0]))
                yield group
        except (CancelledError, RuntimeError):
            # Keras reads ahead, and may still do so when the loader is closed.
            if not self._closed:
                raise

    def _chosen(self) -> Iterator[np.ndarray]:
        """The rows of each group, shape (batches, n); an epoch's short last batch is its own."""
        whole = self.usable // self.batch_size
        for epoch in itertools.count():
            order = epoch_order(self.rows, self.seed, epoch)[: self.usable]
            full = order[: whole * self.batch_size].reshape(whole, self.batch_size)
            for start in range(0, whole, self.together):
                yield _shares(full[start : start + self.together])
            if self.usable > whole * self.batch_size:
                yield _shares(order[None, whole * self.batch_size :])

    def _gather(self, rows: np.ndarray) -> Batch:
        pixels, labels = gather(self.prepared, rows.ravel(), self._memory)
        return (
            pixels.reshape(*rows.shape, *pixels.shape[1:]),
            labels.reshape(*rows.shape, *labels.shape[1:]),
        )


def _shares(rows: np.ndarray) -> np.ndarray:
    """What this process takes of each batch, in the order of the file."""
    return np.stack([distributed.shard(batch) for batch in np.sort(rows, axis=1)])


def epoch_order(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Shuffle the images of an epoch (the first is 0)."""
    order: np.ndarray = np.random.default_rng([seed, epoch]).permutation(rows)
    return order


def gather(prepared: PreparedData, rows: np.ndarray, memory: BufferPool | None = None) -> Batch:
    """Put images together: native pixels (n, height, width, channels) and one-hot labels.

    Rows that go up let the disk be read forwards.

    Parameters
    ----------
    prepared
        The images.
    rows
        Which, as places in ``prepared.pixels``.
    memory
        Where the pixels go; None: into memory of their own.
    """
    preprocessing, stored = prepared.experiment.preprocessing, prepared.pixels
    labels = one_hot(prepared.labels[rows], len(prepared.catalog.class_names))
    if memory is None:
        return preprocessing.expand_channels(stored[rows]), labels
    pixels = memory.array((len(rows), *preprocessing.input_shape), stored.dtype)
    if stored.shape[-1] == preprocessing.depth:
        np.take(stored, rows, axis=0, out=pixels, mode="clip")  # any other mode copies once more
    else:
        pixels[...] = preprocessing.expand_channels(stored[rows])
    return pixels, labels


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels as rows with a single 1, float32."""
    rows: np.ndarray = np.eye(classes, dtype=np.float32)[labels]
    return rows
