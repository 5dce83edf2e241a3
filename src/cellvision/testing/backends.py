"""The other Keras backend, in a separate process."""

from __future__ import annotations

import importlib.util
import unittest

from cellvision.testing.process import Process, shared


def other_backend() -> tuple[str, Process]:
    """Return the name of the backend that this process does not use, and a process that does.

    Raises
    ------
    unittest.SkipTest
        The other backend is not installed.
    """
    import keras

    other = "tensorflow" if keras.backend.backend() == "jax" else "jax"
    if importlib.util.find_spec(other) is None:
        raise unittest.SkipTest(f"{other} is not installed: python -m pip install {other}")
    return other, shared("the other backend", other)
