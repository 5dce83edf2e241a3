"""One address on remote storage, through fsspec, with errors that say what to check."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from cellvision import errors
from cellvision.remote.parallel import in_parallel

_PARALLEL = 16
"""Files transferred at once if the storage's driver supports it."""

_CHANGE_MARKERS = (
    *("ETag", "etag", "md5Hash", "generation", "mtime", "modified", "created", "updated"),
    *("LastModified", "last_modified"),
)
"""Fields by which various storages report that a file has changed."""

FileDetails = Mapping[str, Any]
"""What a storage reports about one file."""


class Storage:
    """The files below an address."""

    def __init__(self, address: str) -> None:
        self.address = address

    @cached_property
    def _system(self) -> Any:
        return self._opened[0]

    @cached_property
    def _root(self) -> str:
        return self._opened[1]

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system of fsspec, and the address as a path in it."""
        if importlib.util.find_spec("fsspec") is None:
            raise errors.ExperimentError(
                f"{self.address}: remote storage needs fsspec, which is not installed",
                "python -m pip install 'cellvision[remote]'",
            )
        import fsspec.core
        from fsspec.registry import known_implementations

        kind = self.address.partition("://")[0].rpartition("::")[2]
        known: dict[str, Any] = known_implementations.get(kind, {})
        try:
            system, root = fsspec.core.url_to_fs(self.address)
        except ImportError as error:
            driver = str(known.get("class", "")).partition(".")[0]
            raise errors.ExperimentError(
                f"{self.address}: the driver for {kind}:// is not installed",
                f"python -m pip install {driver}"
                if driver not in ("", "fsspec")
                else str(known.get("err", error)),
            ) from error
        except ValueError as error:
            if known:
                raise self._failure(error, "read") from error
            raise errors.ExperimentError(
                f"{self.address}: fsspec knows no storage of the kind {kind}://",
                "Use s3://, gs://, az:// or sftp://; fsspec's documentation lists all",
            ) from error
        except Exception as error:
            raise self._failure(error, "read") from error
        return system, str(root)

    def path(self, name: str) -> str:
        """Return a file's path in fsspec's file system.

        Raises
        ------
        errors.CatalogError
            The name leads out of the address.
        """
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise errors.CatalogError(
                f"{self.address}: {name!r} is not a path below it",
                "Name files relative to it, without '..' and without a leading slash",
            )
        return f"{self._root.rstrip('/')}/{name}"

    def forget_listings(self) -> None:
        """Drop fsspec's cached listings."""
        self._system.invalidate_cache()

    def files(self) -> dict[str, FileDetails]:
        """List all files below the address, by relative name."""
        listing = self._system.find(self._root, detail=True)
        if self._root in listing and self._root.strip("/"):
            raise errors.FolderError(f"{self.address} is a file, not a folder", "Name its folder")
        start = len(self._root.rstrip("/")) + 1
        names = {path[start:]: details for path, details in listing.items()}
        # Some storages keep folders as empty files whose names end with a slash.
        return {name: info for name, info in names.items() if name and not name.endswith("/")}

    def files_named(self, names: Sequence[str]) -> dict[str, FileDetails]:
        """Look up some files; missing ones are left out."""

        def look_up(name: str) -> tuple[str, Any]:
            try:
                return name, self._system.info(self.path(name))
            except FileNotFoundError:
                return name, None

        pairs = in_parallel(look_up, names, self.address, self.parallel)
        return {name: details for name, details in pairs if details is not None}

    @property
    def parallel(self) -> int:
        """How many files can be transferred at once."""
        # Drivers that are not asynchronous may share one connection.
        return _PARALLEL if self._system.async_impl else 1

    def download(self, name: str, target: str) -> None:
        """Copy a file to a local path."""
        self._system.get_file(self.path(name), target)

    def upload(self, source: str, name: str) -> None:
        """Copy a local file to the address, creating folders as needed."""
        target = self.path(name)
        self._system.makedirs(target.rpartition("/")[0], exist_ok=True)
        self._system.put_file(source, target)

    def remove(self, name: str) -> None:
        """Remove a file at the address."""
        self._system.rm_file(self.path(name))

    def version(self, name: str) -> str | None:
        """Return what identifies a file's content at the address now; see `version_of`."""
        self.forget_listings()
        return version_of(self._system.info(self.path(name)))

    @contextlib.contextmanager
    def errors_named(self, action: str, hint: str = "") -> Iterator[None]:
        """Turn errors of the storage's driver into ours; `action` is "read" or "written"."""
        try:
            yield
        except errors.CellvisionError:
            raise
        except FileNotFoundError as error:  # such as a missing bucket
            raise errors.FolderError(
                f"{self.address} does not exist: {error}", "Check the address"
            ) from error
        except Exception as error:  # drivers raise what their storage's library raises
            raise self._failure(error, action, hint) from error

    def _failure(self, error: Exception, action: str, hint: str = "") -> errors.CellvisionError:
        return errors.CellvisionError(
            f"{self.address} cannot be {action}: {errors.summarize(error)}",
            f"Check the address, the network and the credentials of its driver{hint}",
        )


def version_of(details: FileDetails) -> str | None:
    """Return what identifies a file's content; None if the storage reports nothing suitable."""
    values = {key: details[key] for key in _CHANGE_MARKERS if details.get(key) is not None}
    # The drivers of some storages list times as numbers and look them up as dates.
    markers = {
        key: str(value.timestamp() if isinstance(value, datetime) else value)
        for key, value in values.items()
    }
    if not markers:
        return None
    return json.dumps({**markers, "size": details.get("size")}, sort_keys=True)


def state_of(details: FileDetails) -> str:
    """Return what shows best that a file has changed: its version, or else its size."""
    return version_of(details) or f"{details.get('size')} bytes"
