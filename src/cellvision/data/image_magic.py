"""Recognise image files by their first bytes, for files whose suffix says nothing."""

from __future__ import annotations

import re
from pathlib import Path

_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|8BPS|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|BM.{12}[\x0c\x28\x6c\x7c]\0\0\0|P[1-6]\s+(?:#.*\s+)?\d+\s+\d+\s|\0\0\0\x0cjP  "
    rb"|....ftyp(?:avif|hei)|ZISRAWFILE|\xda\xce\xbe\x0a",
    re.DOTALL,
)


def begins_like_an_image(path: Path) -> bool:
    """Return whether a file begins like one of the common image formats.

    They include formats that cellvision does not read, so that such a file is refused with a
    reason instead of skipped.

    Parameters
    ----------
    path
        The file. One that cannot be opened does not begin like an image.
    """
    try:
        with path.open("rb") as file:
            return _MAGIC.match(file.read(64)) is not None
    except OSError:
        return False
