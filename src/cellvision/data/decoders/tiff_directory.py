"""The directories (pages) of a TIFF, walked before tifffile sees the file.

tifffile follows the offsets of a damaged file for ever if they form a ring, and reads whatever
size a tag declares. Here every directory is visited once, and all of them together cannot
declare more bytes than the file has.
https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from cellvision.data.decoders.common import Refusal, damaged

_TYPE_BYTES = np.zeros(65536, np.int64)
_TYPE_BYTES[1:19] = (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
_SUB_DIRECTORIES, _NDPI = 330, 65420
_MAX_TAGS = 4096
_MAX_PAGES = 16384
_SLACK_BYTES = 2**16


@dataclass(frozen=True)
class _Form:
    """Byte order and field sizes: classic TIFF or BigTIFF."""

    order: str
    big: bool

    @property
    def offset(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry(self) -> np.dtype[np.void]:
        """One tag: code, type, number of values, and the value or its offset."""
        number = "u8" if self.big else "u4"
        fields = [("tag", "u2"), ("type", "u2"), ("count", number), ("value", number)]
        return np.dtype([(name, self.order + kind) for name, kind in fields])


def check_directories(file: BinaryIO, size: int) -> None:
    """Refuse a TIFF whose directories form a ring, break off, or exceed the file.

    Parameters
    ----------
    file
        Open TIFF, at any position; its position is changed.
    size
        Length of the file in bytes.

    Raises
    ------
    common.Refusal
        The first fault that is met.
    """
    file.seek(0)
    head = file.read(16)
    form = _Form("<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+"))
    start = 8 if form.big else 4
    if len(head) < start + form.offset.size:
        raise damaged("TIFF", "it is cut off in its header")
    (first,) = form.offset.unpack_from(head, start)
    _Walk(file, size, form).follow(first)


class _Walk:
    """Visits every directory of one file once."""

    def __init__(self, file: BinaryIO, size: int, form: _Form) -> None:
        self._file, self._size, self._form = file, size, form
        self._visited: set[int] = set()
        self._declared = 0  # bytes of directories and tag values

    def follow(self, first: int) -> None:
        """Visit a chain of directories and those below them."""
        chains = [(first, "list of pages", True)]
        while chains:
            offset, name, chained = chains.pop()
            page = 0
            while offset:
                page += 1
                if offset in self._visited:
                    raise damaged("TIFF", f"its {name} forms a ring at page {page}")
                if len(self._visited) >= _MAX_PAGES:
                    raise Refusal(
                        f"it has more than {_MAX_PAGES} pages", "Export it as several files"
                    )
                self._visited.add(offset)
                offset, below = self._directory(offset, page, name)
                chains += [(sub, "list of sub-images", False) for sub in below]
                if not chained:
                    break

    def _directory(self, offset: int, page: int, name: str) -> tuple[int, list[int]]:
        """Check one directory; return the offset of the next one and of those below."""
        form = self._form
        broken = damaged("TIFF", f"its {name} breaks off at page {page} (cut off?)")
        if offset + form.count.size > self._size:
            raise broken
        self._file.seek(offset)
        (tags,) = form.count.unpack(self._file.read(form.count.size))
        length = tags * form.entry.itemsize
        if not 0 < tags <= _MAX_TAGS or offset + form.count.size + length > self._size:
            raise broken
        body = self._file.read(length + form.offset.size)
        entries = np.frombuffer(body, form.entry, tags)
        self._check_values(entries, length)
        if _NDPI in entries["tag"]:
            raise Refusal("Hamamatsu NDPI slides are not supported", "Export it as OME-TIFF")
        below = np.flatnonzero(entries["tag"] == _SUB_DIRECTORIES)
        # Some writers leave the closing zero out, so nothing at all counts as the end.
        rest = body[length:]
        following = form.offset.unpack(rest)[0] if len(rest) == form.offset.size else 0
        if following >= self._size:
            raise damaged("TIFF", f"its {name} breaks off after page {page} (cut off?)")
        return following, [sub for k in below for sub in self._offsets(entries[k : k + 1])]

    def _check_values(self, entries: np.ndarray, length: int) -> None:
        """Refuse tags that lie beyond the end, or declare more bytes than the file has."""
        counts = np.minimum(entries["count"].astype(np.uint64), 2**48).astype(np.int64)
        sizes = _TYPE_BYTES[entries["type"]] * counts
        outside = sizes > self._form.offset.size
        ends = np.minimum(entries["value"].astype(np.uint64), 2**48).astype(np.int64) + sizes
        beyond = outside & (ends > self._size)
        if beyond.any():
            tag = entries["tag"][beyond][0]
            raise damaged("TIFF", f"its tag {tag} lies beyond the end of the file (cut off?)")
        self._declared += length + int(sizes[outside].sum())
        if self._declared > 2 * self._size + _SLACK_BYTES:
            raise damaged("TIFF", "its tags declare more bytes than the file has")

    def _offsets(self, entry: np.ndarray) -> list[int]:
        """Read the values of one tag of offsets."""
        count, size = int(entry["count"][0]), int(_TYPE_BYTES[entry["type"][0]])
        if not count or size not in (4, 8):
            return []
        if count * size <= self._form.offset.size:
            data = entry["value"].tobytes()
        else:
            self._file.seek(int(entry["value"][0]))
            data = self._file.read(count * size)
        dtype = np.dtype(f"{self._form.order}u{size}")
        return [int(offset) for offset in np.frombuffer(data, dtype, count)]
