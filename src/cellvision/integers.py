"""Integers of any library, such as those of NumPy."""

from __future__ import annotations

from operator import index


def as_int(value: object) -> int | None:
    """Return an integer as an int; None for other values, and for a truth value.

    Examples
    --------
    >>> import numpy as np
    >>> as_int(np.int64(3)), as_int(3.0), as_int(True), as_int("3")
    (3, None, None, None)
    """
    if isinstance(value, bool):
        return None
    try:
        return index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
