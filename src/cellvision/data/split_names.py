"""Which splits are for training and validation, by name; every other one is a test set.

An image without a split (None, NaN) belongs to none of them.
"""

from __future__ import annotations

_TRAINING = frozenset({"train", "training"})
_VALIDATION = frozenset({"validation", "valid", "val"})


def is_training(split: object) -> bool:
    """Whether a split of this name is trained on."""
    return isinstance(split, str) and split.casefold() in _TRAINING


def is_validation(split: object) -> bool:
    """Whether a split of this name is evaluated during training."""
    return isinstance(split, str) and split.casefold() in _VALIDATION


def is_test(split: object) -> bool:
    """Whether a split of this name is a test set: neither training nor validation."""
    return isinstance(split, str) and not is_training(split) and not is_validation(split)
