"""The local copies of the files below an address: download, upload, keep up to date."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cellvision import errors
from cellvision.remote.address import normalize
from cellvision.remote.copy_log import CopyRecord, append_log, local_state, read_log
from cellvision.remote.parallel import in_parallel
from cellvision.remote.storage import FileDetails, Storage, version_of
from cellvision.user_folders import cache_folder

_UPLOADED_LAST = ("run.json", "study.json")
"""These mark results as complete, so they are uploaded after everything else."""


class LocalCopies:
    """The local copies of the files below an address.

    In the cache, ``files/`` holds the copies and ``copies.jsonl`` the log of their versions.
    """

    def __init__(self, address: str) -> None:
        self.address = normalize(address)
        self.home = self.folder_of(address)
        self.files = self.home / "files"
        self._log = self.home / "copies.jsonl"
        self._storage = Storage(self.address)

    @staticmethod
    def folder_of(address: str) -> Path:
        """Return the folder of the copies, which need not exist; no storage is opened."""
        name = hashlib.sha256(normalize(address).encode()).hexdigest()[:32]
        return cache_folder().absolute() / "remote" / name

    def download(self, names: Sequence[str] | None = None, *, results_only: bool = False) -> bool:
        """Copy new and changed files, and remove copies of deleted ones.

        Parameters
        ----------
        names
            The files; None stands for all.
        results_only
            Refuse a folder that holds neither a run nor a study before copying anything.

        Returns
        -------
        bool
            Whether the address holds any of the files.
        """
        with self._locked(), self._storage.errors_named("read"):
            self._storage.forget_listings()
            listing = self._storage.files() if names is None else self._storage.files_named(names)
            records = read_log(self._log)
            if results_only and listing:
                self._require_results(listing, records)
            deleted = (records.keys() if names is None else set(names)) - listing.keys()
            for name in deleted:
                (self.files / name).unlink(missing_ok=True)
            if names is None:
                _remove_empty_folders(self.files)
            outdated = [
                name for name in listing if not self._is_current(listing[name], records.get(name))
            ]
            self._download(outdated, listing)
            return bool(listing)

    def _require_results(
        self, listing: Mapping[str, FileDetails], records: Mapping[str, CopyRecord]
    ) -> None:
        if listing.keys().isdisjoint((*_UPLOADED_LAST, *records)):
            raise errors.FolderError(
                f"{self.address} holds no run or study, but other files, such as {min(listing)!r}",
                "Name the address of a run or a study, or an empty one for new results",
            )

    def _download(self, names: Sequence[str], listing: Mapping[str, FileDetails]) -> None:
        def copy(name: str) -> str:
            arriving = self.home / "arriving" / uuid.uuid4().hex
            self._storage.download(name, str(arriving))
            expected, size = listing[name].get("size"), arriving.stat().st_size
            if expected is not None and size != expected:
                raise OSError(f"of {name}, {size} of {expected} bytes arrived")
            target = self.files / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(arriving, target)
            return name

        with append_log(self._log) as append:
            for name in in_parallel(copy, names, self.address, self._storage.parallel):
                local = local_state(self.files / name)
                append(CopyRecord(name, version_of(listing[name]), local))

    def locate(self, name: str) -> Path:
        """Return the copy of one file, downloading it if absent, without checking for changes."""
        path = self.files / name
        self._storage.path(name)  # refuses a name that leads out of the address
        if not path.exists():
            with self.address_in_errors():
                self.download([name])
        return path

    def upload(self) -> None:
        """Upload files that are new or changed here; the files that mark completeness go last."""
        results = f"; the complete results are in {self.files}"
        with self._locked(), self._storage.errors_named("written", results):
            records = read_log(self._log)
            changed = {}
            for path in sorted(path for path in self.files.rglob("*") if path.is_file()):
                name = path.relative_to(self.files).as_posix()
                record = records.get(name)
                if record is None or local_state(path) != record.local:
                    changed[name] = path
            first = [name for name in changed if name.rpartition("/")[2] not in _UPLOADED_LAST]
            last = sorted(changed.keys() - first, key=lambda name: (-name.count("/"), name))

            def put(name: str) -> str:
                self._storage.upload(str(changed[name]), name)
                return name

            uploads = in_parallel(put, first, self.address, self._storage.parallel)
            with append_log(self._log) as append:
                for name in (*uploads, *map(put, last)):
                    local = local_state(self.files / name)
                    append(CopyRecord(name, self._storage.version(name), local))

    @contextlib.contextmanager
    def address_in_errors(self) -> Iterator[None]:
        """Make errors name the address in place of the local copy."""
        try:
            yield
        except errors.CellvisionError as error:
            error.what = error.what.replace(str(self.files), self.address)
            error.hint = error.hint.replace(str(self.files), self.address)
            error.args = (error.what, error.hint)
            raise

    def _is_current(self, details: FileDetails, record: CopyRecord | None) -> bool:
        version = version_of(details)
        if record is None or version is None or version != record.remote:
            return False
        try:
            size = local_state(self.files / record.name)[0]
        except OSError:
            return False
        return size == record.local[0]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait until no other process or thread works on these copies."""
        from filelock import FileLock  # takes 0.15 s to import

        self.home.mkdir(parents=True, exist_ok=True)
        with FileLock(self.home / "lock"):
            shutil.rmtree(self.home / "arriving", ignore_errors=True)
            (self.home / "arriving").mkdir()
            self.files.mkdir(exist_ok=True)
            yield


def _remove_empty_folders(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
