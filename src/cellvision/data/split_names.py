"""Which splits are for training and validation, by name; every other one is a test set."""

from __future__ import annotations

_TRAINING = frozenset({"train", "training"})
_VALIDATION = frozenset({"validation", "valid", "val"})


def is_training(split: str) -> bool:
    """Whether a split of this name is trained on."""
    return split.casefold() in _TRAINING


def is_validation(split: str) -> bool:
    """Whether a split of this name is evaluated during training."""
    return split.casefold() in _VALIDATION


def is_test(split: str) -> bool:
    """Whether a split of this name is a test set: neither training nor validation."""
    return not is_training(split) and not is_validation(split)
