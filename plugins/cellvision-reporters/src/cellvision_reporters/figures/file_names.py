"""File names for splits and experiments, whatever they are called."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_LONGEST = 60


def file_names(prefix: str, names: Iterable[str], suffix: str) -> dict[str, str]:
    """Give each name a file name that is safe on every system and unlike all others.

    Letters of ASCII, digits, ``-`` and ``_`` stay; a short digest of the name is added where
    something was lost or two names would differ by case only.

    Parameters
    ----------
    prefix
        What the file is, such as ``panel``.
    names
        The names, such as those of splits.
    suffix
        With its dot.

    Examples
    --------
    >>> file_names("panel", ["test", "plate 2/b"], ".png")
    {'test': 'panel_test.png', 'plate 2/b': 'panel_plate-2-b-9c58cf.png'}
    """
    names = list(dict.fromkeys(names))
    plain = {name: re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:_LONGEST] for name in names}
    taken = Counter(slug.lower() for slug in plain.values())
    chosen = {}
    for name, slug in plain.items():
        if slug != name or taken[slug.lower()] > 1:
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
            slug = f"{slug}-{digest}" if slug else digest
        chosen[name] = f"{prefix}_{slug}{suffix}"
    return chosen
