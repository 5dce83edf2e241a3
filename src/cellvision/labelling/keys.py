"""Which key of the keyboard stands for which class."""

from __future__ import annotations

from collections.abc import Sequence

from cellvision import errors

KEYS = "123456789abcdefghijklmnopqrstvwxyz"
"""In the order of the classes. U is left out: it takes an answer back."""


def keys_of(class_names: Sequence[str]) -> dict[str, str]:
    """Give each class its key: 1 to 9, then the letters.

    Raises
    ------
    errors.InvalidInput
        There are more classes than keys.

    Examples
    --------
    >>> keys_of(["control", "treated"])
    {'control': '1', 'treated': '2'}
    """
    if len(class_names) > len(KEYS):
        raise errors.InvalidInput(
            f"there are {len(class_names)} classes, and keys for {len(KEYS)} "
            "(1 to 9, then the letters without U)",
            "Label some of them at a time: --set dataset.classes=[a,b,c]",
        )
    return dict(zip(class_names, KEYS, strict=False))
