"""Weights that depend on the seed and on nothing that other threads do."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Keras while this thread builds a network, whatever other threads draw meanwhile.

    Keras takes the seeds of initialisers and of dropout from Python's one generator
    (``random.randint``). Other threads use that too, those of a Dask worker many times a
    second: a number that one of them takes in between would give other weights. Here this
    thread draws from a generator of its own, which gives the numbers that Python's would.

    Parameters
    ----------
    seed
        As for ``keras.utils.set_random_seed``, which is called with it.
    """
    import keras

    keras.utils.set_random_seed(seed)
    builder, own, shared = threading.get_ident(), random.Random(seed), random.randint  # noqa: S311

    def randint(a: int, b: int) -> int:
        return own.randint(a, b) if threading.get_ident() == builder else shared(a, b)

    random.randint = randint
    try:
        yield
    finally:
        random.randint = shared
