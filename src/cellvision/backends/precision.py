"""Precision of the computation: bfloat16 if the hardware supports it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from cellvision.backends import processor

Precision = Literal["float32", "bfloat16"]


def resolve(precision: Literal["auto", "float32", "bfloat16"]) -> Precision:
    """Choose the precision; ``"auto"`` is bfloat16 only if the hardware does not emulate it."""
    if precision != "auto":
        return precision
    from cellvision.backends import devices

    if devices.accelerators():
        return "bfloat16" if devices.accelerator_has_bfloat16() else "float32"
    # On a CPU, JAX emulates bfloat16 with float32, which is slower and less accurate.
    return "bfloat16" if _backend() == "tensorflow" and processor.has_bfloat16() else "float32"


@contextmanager
def policy(precision: Precision) -> Iterator[None]:
    """Build layers under the dtype policy of a precision; weights stay float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _backend() -> str:
    import keras

    return str(keras.backend.backend())
