"""Input checks shared by the functions of this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellvision.errors import InvalidInput


def check_confidence(confidence: float) -> float:
    """Return the confidence level; raise InvalidInput unless it lies between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise InvalidInput(
            f"confidence is {confidence}", "Give a number between 0 and 1, such as 0.95."
        )
    return float(confidence)


def check_column(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return a non-empty one-dimensional array without missing values."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise InvalidInput(
            f"{name} has shape {array.shape}", "Give one value per image (one dimension)."
        )
    if array.size == 0:
        raise InvalidInput(f"{name} is empty", "Give at least one image.")
    missing = is_missing(array)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise InvalidInput(f"{name} has no value in row {row}", "Fill it in or drop the row.")
    return array


def check_runs(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return values as (runs, n); a single column becomes one run."""
    array = np.asarray(values)
    if array.ndim != 2 or len(array) == 0:
        return check_column(array, name)[None]
    return np.stack([check_column(row, name) for row in array])


def is_missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark NaN and None."""
    if array.dtype.kind == "f":
        missing: NDArray[np.bool_] = np.isnan(array)
        return missing
    if array.dtype.kind == "O":
        return np.array([value is None or value != value for value in array], dtype=bool)
    return np.zeros(array.shape, dtype=bool)


def check_same_length(**columns: NDArray[Any]) -> None:
    """Raise InvalidInput if columns differ in length, naming them."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InvalidInput(f"lengths differ: {listed}", "Give one value per image in each.")


def check_fractions(values: ArrayLike, name: str = "correct") -> NDArray[np.float64]:
    """Return booleans or fractions as floats between 0 and 1."""
    array = check_column(values, name)
    if array.dtype.kind not in "biuf" or not ((array >= 0) & (array <= 1)).all():
        raise InvalidInput(
            f"{name} has values other than right and wrong",
            "Give booleans, 0 and 1, or the fraction of runs that are right (0 to 1).",
        )
    return array.astype(np.float64)


def check_binary(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    """Return right (1, True) or wrong (0, False) as booleans."""
    array = check_fractions(values, name)
    if not np.isin(array, (0, 1)).all():
        raise InvalidInput(f"{name} has fractions", "Give booleans, or 0 and 1.")
    return array.astype(bool)


def encode(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the sorted distinct values and, for each row, the index of its value."""
    try:
        distinct, index = np.unique(values, return_inverse=True)
    except TypeError:  # values of several types do not sort
        distinct, index = np.unique(values.astype(str), return_inverse=True)
    return distinct, index.reshape(-1)


def encode_together(
    first: NDArray[Any], second: NDArray[Any], names: tuple[str, str]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]]:
    """Encode two arrays with the values that occur in either.

    Returns
    -------
    first, second : numpy.ndarray
        Indices into `values`, in the shapes given.
    values : numpy.ndarray
        The sorted distinct values.

    Raises
    ------
    InvalidInput
        One array holds numbers and the other text.
    """
    if (first.dtype.kind in "biuf") != (second.dtype.kind in "biuf"):
        raise InvalidInput(
            f"{names[0]} are {first.dtype}, {names[1]} {second.dtype}",
            "Give names in both, or numbers in both.",
        )
    values, index = encode(np.concatenate([first.ravel(), second.ravel()]))
    split = first.size
    return index[:split].reshape(first.shape), index[split:].reshape(second.shape), values


def group_index(groups: ArrayLike | None, n: int, name: str = "images") -> NDArray[np.intp]:
    """Return the number of each image's group; without groups, every image is its own."""
    if groups is None:
        return np.arange(n, dtype=np.intp)
    array = check_column(groups, "groups")
    if len(array) != n:
        raise InvalidInput(
            f"lengths differ: {name} {n}, groups {len(array)}", "Give one group per image."
        )
    return encode(array)[1]


def class_numbers(
    labels: ArrayLike, classes: int, class_names: Sequence[str] | None
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return labels as class numbers, and the names of the classes.

    Numeric labels count as positions from 0; other labels are looked up in `class_names`.
    """
    names = tuple(map(str, range(classes) if class_names is None else class_names))
    if len(names) != classes or len(set(names)) != classes:
        raise InvalidInput(
            f"{len(names)} class_names ({len(set(names))} distinct) for {classes} columns",
            "Give one distinct name per column of probabilities.",
        )
    array = check_column(labels, "labels")
    if array.dtype.kind in "iuf":
        numbers = array.astype(np.intp)
        unknown = (numbers != array) | (numbers < 0) | (numbers >= classes)
    else:
        position = {name: number for number, name in enumerate(names)}
        numbers = np.array([position.get(str(value), -1) for value in array], dtype=np.intp)
        unknown = numbers < 0
    if unknown.any():
        value = array[int(np.flatnonzero(unknown)[0])]
        raise InvalidInput(
            f"label {value!r} is none of the classes {', '.join(names)}",
            "Give class numbers from 0, or pass class_names in the order of the columns.",
        )
    return numbers, names


def class_probabilities(
    labels: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str] | None
) -> tuple[NDArray[np.intp], NDArray[np.float64], tuple[str, ...]]:
    """Return labels as class numbers, probabilities (n, classes), and the class names."""
    table = check_probabilities(probabilities)
    check_same_length(labels=check_column(labels, "labels"), probabilities=table)
    numbers, names = class_numbers(labels, table.shape[1], class_names)
    return numbers, table, names


def check_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return (n, classes) numbers between 0 and 1, for two classes or more."""
    table = np.asarray(probabilities, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise InvalidInput(
            f"probabilities has shape {table.shape}", "Give (images, classes), 2 classes or more."
        )
    bad = ~(np.isfinite(table) & (table >= 0) & (table <= 1)).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InvalidInput(
            f"probabilities row {row} is {table[row].tolist()}", "Give numbers from 0 to 1."
        )
    return table
