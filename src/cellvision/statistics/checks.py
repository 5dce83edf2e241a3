"""What every function of this package checks before it computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput


def confidence_level(confidence: float) -> float:
    """Return the level of an interval, if it is one."""
    if not 0.0 < confidence < 1.0:
        raise InvalidInput(
            f"confidence is {confidence}", "Give a number between 0 and 1, such as 0.95."
        )
    return float(confidence)


def column(values: ArrayLike, name: str) -> NDArray[Any]:
    """One value an image: one-dimensional, not empty, nothing missing."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise InvalidInput(
            f"{name} has shape {array.shape}", "Give one value an image (one dimension)."
        )
    if array.size == 0:
        raise InvalidInput(f"{name} is empty", "Give at least one image.")
    if missing(array).any():
        row = int(np.flatnonzero(missing(array))[0])
        raise InvalidInput(f"{name} has no value in row {row}", "Fill it in or drop the row.")
    return array


def missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark NaN and None."""
    if array.dtype.kind == "f":
        empty: NDArray[np.bool_] = np.isnan(array)
        return empty
    if array.dtype.kind == "O":
        return np.array([value is None or value != value for value in array], dtype=bool)
    return np.zeros(array.shape, dtype=bool)


def same_length(**columns: NDArray[Any]) -> None:
    """Refuse columns of different lengths, naming them."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InvalidInput(f"lengths differ: {listed}", "Give one value an image in each.")


def correct_column(values: ArrayLike, name: str = "correct") -> NDArray[np.float64]:
    """Right (1, True) or wrong (0, False), as floats."""
    array = column(values, name)
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise InvalidInput(
            f"{name} holds something else than right and wrong", "Give booleans, or 0 and 1."
        )
    return array.astype(np.float64)


def codes(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The sorted distinct values, and for each row which of them it has."""
    try:
        distinct, index = np.unique(values, return_inverse=True)
    except TypeError:  # values of several types do not sort
        distinct, index = np.unique(values.astype(str), return_inverse=True)
    return distinct, index.reshape(-1)


def group_index(groups: ArrayLike | None, n: int, name: str = "images") -> NDArray[np.intp]:
    """The number of each image's group; every image its own group where there are none."""
    if groups is None:
        return np.arange(n, dtype=np.intp)
    array = column(groups, "groups")
    if len(array) != n:
        raise InvalidInput(
            f"lengths differ: {name} {n}, groups {len(array)}", "Give one group an image."
        )
    return codes(array)[1]


def class_probabilities(
    labels: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str] | None
) -> tuple[NDArray[np.intp], NDArray[np.float64], tuple[str, ...]]:
    """Labels as class numbers, probabilities (n, classes), and the names of the classes."""
    table = np.asarray(probabilities, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise InvalidInput(
            f"probabilities has shape {table.shape}", "Give (images, classes), 2 classes or more."
        )
    given = column(labels, "labels")
    same_length(labels=given, probabilities=table)
    bad = ~(np.isfinite(table) & (table >= 0) & (table <= 1)).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InvalidInput(
            f"probabilities row {row} is {table[row].tolist()}", "Give numbers from 0 to 1."
        )
    classes = table.shape[1]
    names = tuple(map(str, range(classes) if class_names is None else class_names))
    if len(names) != classes or len(set(names)) != classes:
        raise InvalidInput(
            f"{len(names)} class_names ({len(set(names))} distinct) for {classes} columns",
            "Give one distinct name a column of probabilities.",
        )
    position = {name: number for number, name in enumerate(names)}
    # Numbers are positions; names are looked up. 2.0 out of a table is the number 2.
    if given.dtype.kind in "iuf":
        numbers = given.astype(np.intp)
        unknown = (numbers != given) | (numbers < 0) | (numbers >= classes)
    else:
        numbers = np.array([position.get(str(value), -1) for value in given], dtype=np.intp)
        unknown = numbers < 0
    if unknown.any():
        value = given[int(np.flatnonzero(unknown)[0])]
        raise InvalidInput(
            f"label {value!r} is none of the classes {', '.join(names)}",
            "Give class numbers from 0, or pass class_names in the order of the columns.",
        )
    return numbers, table, names
