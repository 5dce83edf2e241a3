"""The SQLite connection of an answer file: durable writes, one writer at a time.

A commit is on disk before it returns (``synchronous=FULL``). The write-ahead log lets other
programs read while an answer is written; a lock serialises the threads of this process, and a
busy timeout waits for other processes, so that nobody sees "database is locked". Each commit is
copied from the log into the file at once (``wal_autocheckpoint=1``), and closing the file removes
the log, so that the one file holds everything.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellvision import errors

_BUSY_SECONDS = 60.0
"""How long a write waits for another process."""


class Database:
    """An open SQLite file, shared by the threads of this process.

    Parameters
    ----------
    path
        An existing database.

    Raises
    ------
    errors.FolderError
        It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._translated_errors():
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._identity = _identity(path)
            try:
                self._connection.execute("pragma journal_mode=wal")
                self._connection.execute("pragma synchronous=full")
                self._connection.execute("pragma wal_autocheckpoint=1")
                self._connection.execute("pragma foreign_keys=on")
            except BaseException:
                self._connection.close()
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for queries; no other thread uses it meanwhile.

        Raises
        ------
        errors.FolderError
            SQLite fails.
        """
        with self._lock, self._translated_errors():
            yield self._connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction, which is on disk when the block ends.

        An exception in the block rolls the transaction back.

        Raises
        ------
        errors.FolderError
            SQLite fails, or the file was removed or replaced.
        """
        with self.read() as connection:
            if _identity(self.path) != self._identity:
                raise errors.FolderError(
                    f"{self.path}: the file was removed or replaced while it was in use",
                    "Put the file back, then run the command again",
                )
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise

    def close(self) -> None:
        """Close the file, and remove its log unless another program has the file open."""
        with self._lock:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("pragma busy_timeout=0")
                self._connection.execute("pragma journal_mode=delete")
            self._connection.close()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise errors.FolderError(
                f"{self.path}: {error}",
                "Check that the disk is not full, and that the file is writable and undamaged",
            ) from error


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
