"""Damage a valid file at random, knowing enough of its format to get past its checksums."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_INTERESTING = (0, 1, 2, 3, 7, 8, 255, 256, 4096, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)

_TAGS = (
    *(255, 256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 284, 317, 320, 322),
    *(323, 324, 325, 330, 338, 339, 347, 34412, 34665, 33628, 33629, 65420),
)

Random = np.random.Generator


@dataclass(frozen=True)
class Mutant:
    """A damaged file.

    Attributes
    ----------
    seed : str
        Name of the valid file that it was made from.
    how : str
        What was done to it.
    content : bytes
        The file.
    """

    seed: str
    how: str
    content: bytes


def mutate(name: str, content: bytes, random: Random) -> Mutant:
    """Return a damaged copy of a file, by one or two mutations."""
    by_format = {
        "png": [_png_body, _png_chunks, _png_rows, _png_header],
        "tif": [_tiff_entry, _tiff_entry, _tiff_entry, _tiff_next, _digits],
        "jpg": [_jpeg_header, _cut_and_close],
    }
    choices: list[Callable[[bytes, Random], bytes]] = [_bits, _bits, _cut, _bytes, _slices]
    choices += by_format.get(name.rpartition(".")[2], [_digits])
    how = []
    for _ in range(1 + (random.random() < 0.2)):
        mutation = choices[random.integers(len(choices))]
        how.append(mutation.__name__.strip("_"))
        content = mutation(content, random) or b"\0"
    return Mutant(name, "+".join(how), content)


def _number(random: Random, size: int) -> int:
    if random.random() < 0.3:
        return int(random.integers(0, 64))
    if random.random() < 0.4:
        return int(random.integers(0, size + 16))
    return _INTERESTING[random.integers(len(_INTERESTING))]


def _bits(content: bytes, random: Random) -> bytes:
    data = bytearray(content)
    for _ in range(random.integers(1, 6)):
        data[random.integers(len(data))] ^= 1 << int(random.integers(8))
    return bytes(data)


def _bytes(content: bytes, random: Random) -> bytes:
    data = bytearray(content)
    start = int(random.integers(len(data)))
    for position in range(start, min(len(data), start + int(random.integers(1, 5)))):
        data[position] = random.choice([0, 1, 127, 128, 255])
    return bytes(data)


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.integers(1, len(content))]


def _slices(content: bytes, random: Random) -> bytes:
    """Drop, repeat or move a part."""
    start, other = sorted(int(k) for k in random.integers(0, len(content), 2))
    part = content[start:other]
    kind = random.integers(3)
    if kind == 0:
        return content[:start] + content[other:]
    if kind == 1:
        return content[:other] + part + content[other:]
    rest = content[:start] + content[other:]
    place = int(random.integers(len(rest) + 1))
    return rest[:place] + part + rest[place:]


def _digits(content: bytes, random: Random) -> bytes:
    """Change a number that is written as text."""
    numbers = list(re.finditer(rb"\d+", content))
    if not numbers:
        return _bits(content, random)
    number = numbers[random.integers(len(numbers))]
    length = number.end() - number.start()
    text = b"".join(b"%d" % digit for digit in random.integers(0, 10, length))
    return content[: number.start()] + text + content[number.end() :]


# --- PNG ------------------------------------------------------------------------------------


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], 8
    while position + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        chunks.append((name, content[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def _joined(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, body in chunks:
        checksum = struct.pack(">I", zlib.crc32(name + body))
        parts.append(struct.pack(">I", len(body)) + name + body + checksum)
    return b"".join(parts)


def _png_body(content: bytes, random: Random) -> bytes:
    chunks = _chunks(content)
    filled = [k for k, (_, body) in enumerate(chunks) if body]
    if not filled:
        return _bits(content, random)
    k = filled[random.integers(len(filled))]
    mutation = (_bits, _bytes, _slices, _cut)[random.integers(4)]
    chunks[k] = (chunks[k][0], mutation(chunks[k][1], random))
    return _joined(chunks)


def _png_chunks(content: bytes, random: Random) -> bytes:
    """Drop, repeat or exchange whole chunks."""
    chunks = _chunks(content)
    if not chunks:
        return _bits(content, random)
    first, second = (int(k) for k in random.integers(0, len(chunks), 2))
    kind = random.integers(3)
    if kind == 0:
        del chunks[first]
    elif kind == 1:
        chunks.insert(second, chunks[first])
    else:
        chunks[first], chunks[second] = chunks[second], chunks[first]
    return _joined(chunks)


def _png_rows(content: bytes, random: Random) -> bytes:
    """Damage the rows behind the compression, with all checksums right."""
    chunks = _chunks(content)
    for k, (name, body) in enumerate(chunks):
        if name == b"IDAT":
            try:
                rows = zlib.decompress(body)
            except zlib.error:
                break
            mutation = (_bits, _slices, _cut)[random.integers(3)]
            chunks[k] = (name, zlib.compress(mutation(rows or b"\0", random)))
            return _joined(chunks)
    return _bits(content, random)


def _png_header(content: bytes, random: Random) -> bytes:
    chunks = _chunks(content)
    if not chunks or len(chunks[0][1]) != 13:
        return _bits(content, random)
    fields = list(struct.unpack(">IIBBBBB", chunks[0][1]))
    field = int(random.integers(7))
    fields[field] = _number(random, 64) % (2**32 if field < 2 else 17)
    chunks[0] = (chunks[0][0], struct.pack(">IIBBBBB", *fields))
    return _joined(chunks)


# --- JPEG -----------------------------------------------------------------------------------


def _jpeg_header(content: bytes, random: Random) -> bytes:
    """Change a byte of the frame or scan header, where sizes and tables are declared."""
    data = bytearray(content)
    places = [m.start() for m in re.finditer(rb"\xff[\xc0-\xcf\xda\xdb\xdd]", content)]
    if not places:
        return _bits(content, random)
    place = places[random.integers(len(places))] + int(random.integers(1, 16))
    if place < len(data):
        data[place] = int(random.integers(256))
    return bytes(data)


def _cut_and_close(content: bytes, random: Random) -> bytes:
    return _cut(content, random) + b"\xff\xd9"


# --- TIFF -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Directory:
    """Where the entries and the closing offset of one directory lie."""

    entries: tuple[int, ...]
    closing: int


def _directories(content: bytes) -> tuple[str, bool, list[_Directory]]:
    order = ">" if content[:2] == b"MM" else "<"
    big = content[2:4] in (b"+\0", b"\0+")
    count, offset, size = ("Q", "Q", 20) if big else ("H", "I", 12)
    found: list[_Directory] = []
    try:
        (place,) = struct.unpack_from(order + offset, content, 8 if big else 4)
        while place and len(found) < 16:
            (tags,) = struct.unpack_from(order + count, content, place)
            start = place + struct.calcsize(order + count)
            closing = start + tags * size
            (place,) = struct.unpack_from(order + offset, content, closing)
            found.append(_Directory(tuple(range(start, closing, size)), closing))
    except (struct.error, OverflowError):
        pass
    return order, big, found


def _tiff_entry(content: bytes, random: Random) -> bytes:
    """Change tag, type, count or value of one entry."""
    order, big, directories = _directories(content)
    if not directories or not directories[-1].entries:
        return _bits(content, random)
    directory = directories[random.integers(len(directories))]
    if not directory.entries:
        return _bits(content, random)
    data = bytearray(content)
    place = directory.entries[random.integers(len(directory.entries))]
    number = "Q" if big else "I"
    wide = 8 if big else 4
    kind = random.integers(6)
    value = _number(random, len(content))
    if kind == 0:
        struct.pack_into(order + "H", data, place, _TAGS[random.integers(len(_TAGS))])
    elif kind == 1:
        struct.pack_into(order + "H", data, place + 2, int(random.integers(0, 20)))
    elif kind == 2:
        struct.pack_into(order + number, data, place + 4, value)
    elif kind == 3:  # a short stands in the first bytes of its field
        struct.pack_into(order + "H", data, place + 4 + wide, value % 65536)
    else:
        struct.pack_into(order + number, data, place + 4 + wide, value)
    return bytes(data)


def _tiff_next(content: bytes, random: Random) -> bytes:
    """Let a directory point to another one, itself, or anywhere."""
    order, big, directories = _directories(content)
    if not directories:
        return _bits(content, random)
    head = 8 if big else 2
    offsets = [d.entries[0] - head for d in directories if d.entries]
    offsets.append(_number(random, len(content)))
    data = bytearray(content)
    closing = directories[random.integers(len(directories))].closing
    target = offsets[random.integers(len(offsets))]
    struct.pack_into(order + ("Q" if big else "I"), data, closing, max(0, target))
    return bytes(data)
