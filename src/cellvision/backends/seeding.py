"""Seeding of weights, independent of what other threads do."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_building = threading.RLock()
"""Held while a network is built: two threads that replace ``random.randint`` at once would leave
the replacement of one of them behind."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Keras while this thread builds a network.

    Keras draws the seeds of initializers and dropout from Python's global generator
    (``random.randint``). Other threads use it too, those of a Dask worker many times a second,
    and a number drawn in between would change the weights. In this context, this thread draws
    from its own generator, which gives the same numbers.

    Parameters
    ----------
    seed
        Argument of ``keras.utils.set_random_seed``, which is called.
    """
    import keras

    with _building:
        keras.utils.set_random_seed(seed)
        builder, generator = threading.get_ident(), random.Random(seed)  # noqa: S311
        global_randint = random.randint

        def randint(a: int, b: int) -> int:
            is_builder = threading.get_ident() == builder
            return generator.randint(a, b) if is_builder else global_randint(a, b)

        random.randint = randint
        try:
            yield
        finally:
            random.randint = global_randint


def derived_seed(seed: int, restart: int) -> int:
    """Return the seed of a restart; that of the first start (0) is the seed itself."""
    import numpy as np

    if restart == 0:
        return seed
    return int(np.random.SeedSequence([seed, restart]).generate_state(1)[0] % 2**31)
