"""The index of stored pixels: one line per image, so that it is never in memory as a whole.

The first line is a checksum of all others, the last line tells what belongs to the pixels as a
whole, and each line between them has the statistics of one image.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

from cellvision.data.image_stats import ImageStats

_DIGITS = 10


class IndexWriter:
    """Writes an index line by line.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(bytes(_DIGITS) + b"\n")  # the checksum's place
        self._checksum = 0

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, stats: ImageStats) -> None:
        """Append the statistics of one image."""
        self._append(stats.to_json())

    def finish(self, whole: dict[str, Any]) -> None:
        """Append what belongs to all images, and write the checksum."""
        self._append(whole)
        self._file.seek(0)
        self._file.write(f"{self._checksum:0{_DIGITS}d}".encode())

    def _append(self, content: dict[str, Any]) -> None:
        line = json.dumps(content).encode() + b"\n"
        self._checksum = zlib.crc32(line, self._checksum)
        self._file.write(line)


def read_index(path: Path) -> tuple[tuple[ImageStats, ...], dict[str, Any]]:
    """Read an index.

    Returns
    -------
    tuple of tuple of ImageStats, and dict
        The statistics of every image, in order, and what belongs to all images.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError, KeyError, TypeError
        It is damaged.
    """
    stats: list[ImageStats] = []
    checksum, last = 0, b""
    with path.open("rb") as file:
        declared = int(file.readline())
        for line in file:
            checksum = zlib.crc32(line, checksum)
            if last:
                stats.append(ImageStats.from_json(json.loads(last)))
            last = line
    if checksum != declared:
        raise ValueError("the checksum of the index does not match")
    return tuple(stats), json.loads(last)
