"""Things worth knowing that do not stop the work."""

from __future__ import annotations

import warnings


class PrepareNotice(UserWarning):
    """Something about the images that the work went on with, and that a person should know."""


def tell(message: str) -> None:
    """Issue `message` as a `PrepareNotice`; only ever called on the caller's thread."""
    warnings.warn(message, PrepareNotice, stacklevel=3)
