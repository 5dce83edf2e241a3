"""What a network computes in, and whether the hardware has arithmetic for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Precision = Literal["float32", "bfloat16"]


def resolve(asked: Literal["auto", "float32", "bfloat16"]) -> Precision:
    """Decide; ``"auto"`` takes bfloat16 only where it is arithmetic and not emulation."""
    if asked != "auto":
        return asked
    from cellvision.backends import devices

    if devices.accelerators():
        return "bfloat16" if devices.accelerator_has_bfloat16() else "float32"
    # JAX's CPU code computes bfloat16 by way of float32, which costs and gains nothing.
    return "bfloat16" if _backend() == "tensorflow" and _processor_has_bfloat16() else "float32"


@contextmanager
def policy(precision: Precision) -> Iterator[None]:
    """Build layers under the precision's dtype policy: weights stay float32."""
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


def _processor_has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
