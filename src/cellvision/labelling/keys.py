"""Keyboard keys of the classes."""

from __future__ import annotations

from collections.abc import Sequence

from cellvision import errors

CLASS_KEYS = "123456789abcdefghijklmnopqrstvwyz"
"""Keys in class order. The page uses U (undo) and X (cannot say) itself."""

CANNOT_SAY_KEY = "x"
"""Stores an answer without a class."""


def assign_keys(class_names: Sequence[str]) -> dict[str, str]:
    """Assign a key to each class: 1 to 9, then letters.

    Raises
    ------
    errors.InvalidInput
        There are more classes than keys.

    Examples
    --------
    >>> assign_keys(["control", "treated"])
    {'control': '1', 'treated': '2'}
    """
    if len(class_names) > len(CLASS_KEYS):
        raise errors.InvalidInput(
            f"{len(class_names)} classes are too many: the page has keys for {len(CLASS_KEYS)} "
            "(1 to 9, then the letters except U and X)",
            "Label a subset of the classes: --set dataset.classes=[a,b,c]",
        )
    return dict(zip(class_names, CLASS_KEYS, strict=False))
