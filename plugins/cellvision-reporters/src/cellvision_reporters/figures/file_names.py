"""Turns names of splits and experiments into file names that are valid on every system."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_LONGEST = 60


def file_names(prefix: str, names: Iterable[str], suffix: str) -> dict[str, str]:
    """Return a valid and unique file name for each name.

    ASCII letters, digits, ``-`` and ``_`` stay. A short digest of the name is added if a
    character was replaced, or if two names differ by case only.

    Parameters
    ----------
    prefix
        What the file shows, such as ``panel``.
    names
        The names, such as those of splits.
    suffix
        File suffix with its dot.

    Examples
    --------
    >>> file_names("panel", ["test", "plate 2/b"], ".png")
    {'test': 'panel_test.png', 'plate 2/b': 'panel_plate-2-b-9c58cf.png'}
    """
    names = list(dict.fromkeys(names))
    plain = {name: re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:_LONGEST] for name in names}
    counts = Counter(slug.lower() for slug in plain.values())
    unique = {}
    for name, slug in plain.items():
        if slug != name or counts[slug.lower()] > 1:
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
            slug = f"{slug}-{digest}" if slug else digest
        unique[name] = f"{prefix}_{slug}{suffix}"
    return unique
