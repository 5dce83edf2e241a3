"""The backend of Keras that is not in use here, in a process of its own."""

from __future__ import annotations

import importlib.util
import unittest

from cellvision.testing.process import Process, shared


def other_backend() -> tuple[str, Process]:
    """Its name, and a process that uses it.

    Raises
    ------
    unittest.SkipTest
        It is not installed.
    """
    import keras

    other = "tensorflow" if keras.backend.backend() == "jax" else "jax"
    if importlib.util.find_spec(other) is None:
        raise unittest.SkipTest(f"{other} is not installed: python -m pip install {other}")
    return other, shared("the other backend", other)
