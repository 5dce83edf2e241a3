"""Warnings about images that do not stop the work."""

from __future__ import annotations

import warnings


class PrepareWarning(UserWarning):
    """Something about the images that did not stop the work but that the user should know."""


def warn(message: str) -> None:
    """Issue `message` as a `PrepareWarning`; call it on the caller's thread only."""
    warnings.warn(message, PrepareWarning, stacklevel=3)
