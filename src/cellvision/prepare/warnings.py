"""Things worth knowing that do not stop the work."""

from __future__ import annotations

import warnings


class PrepareWarning(UserWarning):
    """Something about the images that the work went on with, and that a person should know."""


def warn(message: str) -> None:
    """Issue `message` as a `PrepareWarning`; only ever called on the caller's thread."""
    warnings.warn(message, PrepareWarning, stacklevel=3)
