"""Folders that belong to the user, not to a data set: the cache, and the state (locks and keys)."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "CELLVISION_STATE"
"""Environment variable that names another folder than the operating system's default."""


def state_folder() -> Path:
    """Return the user's state folder: ``$CELLVISION_STATE``, or the platform's own.

    Unlike the cache, it must not differ between two jobs of one user that work on the same
    data: they find each other's locks here. The folder may not exist yet.

    Examples
    --------
    >>> state_folder().is_absolute()
    True
    """
    override = os.environ.get(VARIABLE)
    if override:
        return Path(override).expanduser().absolute()
    import platformdirs

    return platformdirs.user_state_path("cellvision", appauthor=False)


def cache_folder() -> Path:
    """Return the cache folder: ``$CELLVISION_CACHE``, or the platform's own."""
    override = os.environ.get("CELLVISION_CACHE")
    if override:
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("cellvision"))
