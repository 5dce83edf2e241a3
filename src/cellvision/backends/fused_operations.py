"""Fuse the many small operations of an augmenter into one, where Keras would not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def fuse_operations(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors into one operation.

    JAX compiles the whole training step, and so does TensorFlow on a GPU; the function is then
    returned as it is. On a CPU TensorFlow runs each operation by itself, and an augmenter takes
    four to eight times as long. TensorFlow for macOS ships without the compiler.

    Parameters
    ----------
    function
        Pure function of tensors, in operations of ``keras.ops``.
    """
    import keras

    if keras.backend.backend() != "tensorflow" or sys.platform == "darwin":
        return function
    from cellvision.backends import tensorflow

    return tensorflow.compiled(function)
