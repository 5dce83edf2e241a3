"""Log of the local copies: which version of each file was copied, and what the copy looks like."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class CopyRecord:
    """One line of the log.

    Attributes
    ----------
    name : str
        The file, relative to the address.
    remote : str or None
        Identifies its content at the address; None if the storage reports nothing suitable.
    local : list of int
        Size and modification time of the copy, in bytes and nanoseconds. Empty: the file has no
        copy, or has to be uploaded.
    """

    name: str
    remote: str | None
    local: list[int]


def local_state(path: Path) -> list[int]:
    """Return a file's size and modification time."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def removed(name: str) -> CopyRecord:
    """Return the line of a file that was removed at the address."""
    return CopyRecord(name, None, [])


def read_log(path: Path) -> dict[str, CopyRecord]:
    """Read the log; later lines win, and a line that was cut off is ignored."""
    records: dict[str, CopyRecord] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_text("utf-8").splitlines():
            with contextlib.suppress(ValueError, TypeError):
                record = CopyRecord(**json.loads(line))
                records.pop(record.name, None)
                if record.local:
                    records[record.name] = record
    return records


@contextlib.contextmanager
def append_log(path: Path) -> Iterator[Callable[[CopyRecord], None]]:
    """Yield a function that appends one record."""
    with path.open("a", encoding="utf-8") as file:

        def append(record: CopyRecord) -> None:
            # The newline comes first, so that a line that was cut off spoils no other.
            file.write(f"\n{json.dumps(asdict(record))}")
            file.flush()

        yield append
