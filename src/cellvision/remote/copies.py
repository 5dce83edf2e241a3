"""The local copies of the files below an address: download, upload, keep up to date."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cellvision import errors
from cellvision.locks import folder_lock
from cellvision.remote.address import normalize
from cellvision.remote.copy_log import CopyRecord, append_log, local_state, read_log, removed
from cellvision.remote.parallel import in_parallel
from cellvision.remote.storage import FileDetails, Storage, state_of, version_of
from cellvision.user_folders import cache_folder

_UPLOADED_LAST = ("run.json", "study.json", "evaluation.json")
"""These mark results as complete, so they are uploaded after everything else."""

_log = logging.getLogger(__name__)


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
        self._seen: dict[str, str] = {}  # states at the address when it was read last

    @staticmethod
    def folder_of(address: str) -> Path:
        """Return the folder of the copies, which need not exist; no storage is opened."""
        name = hashlib.sha256(normalize(address).encode()).hexdigest()[:32]
        return cache_folder().absolute() / "remote" / name

    def download(self, names: Sequence[str] | None = None, *, results: bool = False) -> bool:
        """Copy new and changed files, and remove copies of deleted ones.

        Parameters
        ----------
        names
            The files; None stands for all.
        results
            The files are results. Refuse a folder that holds neither a run nor a study before
            copying anything, and keep what was changed here and not uploaded.

        Returns
        -------
        bool
            Whether the address holds any of the files.
        """
        with self._locked(), self._storage.errors_named("read"):
            self._storage.forget_listings()
            listing = self._storage.files() if names is None else self._storage.files_named(names)
            self._seen = {name: state_of(details) for name, details in listing.items()}
            records = read_log(self._log)
            if results and listing:
                self._require_results(listing, records)
            outdated = [
                name
                for name in listing
                if not self._is_current(listing[name], records.get(name), results=results)
            ]
            if results:
                outdated = self._without_unsent(outdated, listing, records)
            deleted = (records.keys() if names is None else set(names)) - listing.keys()
            if results and deleted and self._changed(records):
                self._forget(deleted)
            else:
                for name in deleted:
                    (self.files / name).unlink(missing_ok=True)
            if names is None:
                _remove_empty_folders(self.files)
            self._download(outdated, listing)
            return bool(listing)

    def _require_results(
        self, listing: Mapping[str, FileDetails], records: Mapping[str, CopyRecord]
    ) -> None:
        unrecorded = (name for name in listing if (self.files / name).exists())  # interrupted
        if listing.keys().isdisjoint((*_UPLOADED_LAST, *records, *unrecorded)):
            raise errors.FolderError(
                f"{self.address} holds no run or study, but other files, such as {min(listing)!r}",
                "Name the address of a run or a study, or an empty one for new results",
            )

    def _without_unsent(
        self,
        outdated: Sequence[str],
        listing: Mapping[str, FileDetails],
        records: Mapping[str, CopyRecord],
    ) -> list[str]:
        """Leave out files that were changed here and not uploaded since, or only in part.

        If other results were uploaded to the address meanwhile, the folder of those here is
        renamed, because a mixture of both would be neither.
        """
        unsent = {name for name in outdated if self._is_changed(name, records)}
        for name in unsent:
            if not _begins_with(self.files / name, self._arrived(name, listing[name])):
                self._set_aside()
                return list(listing)
        return [name for name in outdated if name not in unsent]

    def _forget(self, names: Iterable[str]) -> None:
        """Keep files that were removed at the address, and upload them again with the others.

        Without them, results here that were not uploaded would be incomplete.
        """
        with append_log(self._log) as append:
            for name in names:
                append(removed(name))

    def _set_aside(self) -> None:
        kept = self.home / f"replaced-{uuid.uuid4().hex[:8]}"
        with folder_lock(self.files, "download"):  # nobody may be writing there
            self.files.rename(kept)
        self.files.mkdir()
        _log.warning(
            "%s was changed by somebody else, while results here were not uploaded; those are "
            "now in %s",
            self.address,
            kept,
        )

    def _arrived(self, name: str, details: FileDetails) -> Path:
        """Download a file under a temporary name."""
        arriving = self.home / "arriving" / uuid.uuid4().hex
        self._storage.download(name, str(arriving))
        expected, size = details.get("size"), arriving.stat().st_size
        if expected is not None and size != expected:
            raise OSError(f"of {name}, {size} of {expected} bytes arrived")
        return arriving

    def _download(self, names: Sequence[str], listing: Mapping[str, FileDetails]) -> None:
        def copy(name: str) -> str:
            arriving = self._arrived(name, listing[name])
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
        """Upload files that are new or changed here; the files that mark completeness go last.

        Reports that were removed here are removed at the address.

        Raises
        ------
        errors.FolderError
            Somebody else has changed or added one of these files at the address meanwhile.
            Nothing was uploaded.
        """
        results = f"; the complete results are in {self.files}"
        with self._locked(), self._storage.errors_named("written", results):
            records = read_log(self._log)
            changed = self._changed(records)
            self._raise_if_replaced(changed)
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
                for name in self._remove_stale(records):
                    append(removed(name))

    def _raise_if_replaced(self, names: Iterable[str]) -> None:
        """Refuse to overwrite files that somebody else has written since `download`."""
        self._storage.forget_listings()
        listing = self._storage.files()
        for name in sorted(listing.keys() & set(names)):
            if name not in self._seen or self._seen[name] != state_of(listing[name]):
                raise errors.FolderError(
                    f"{self.address}/{name} was written by somebody else in the meantime, so "
                    "nothing was uploaded",
                    f"The complete results are in {self.files}: copy them to another address",
                )

    def _remove_stale(self, records: Mapping[str, CopyRecord]) -> Iterator[str]:
        """Remove files at the address that were removed here; yield their names."""
        stale = [
            name for name in records if _may_be_removed(name) and not (self.files / name).exists()
        ]
        if not stale:
            return
        self._storage.forget_listings()
        listing = self._storage.files()
        for name in stale:
            version = version_of(listing.get(name, {}))
            try:
                # What somebody else has written there since then stays.
                if version is not None and version == records[name].remote:
                    self._storage.remove(name)
            except Exception as error:  # noqa: BLE001 - drivers raise what their libraries raise
                # Some storages let nobody remove files; the results have arrived nevertheless.
                _log.warning(
                    "%s: the former report %s cannot be removed: %s",
                    self.address,
                    name,
                    errors.summarize(error),
                )
                return
            yield name

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

    def _is_current(
        self, details: FileDetails, record: CopyRecord | None, *, results: bool
    ) -> bool:
        """Whether a file need not be copied; changed results are newer than those copied before."""
        version = version_of(details)
        if record is None or version != record.remote:
            return False
        try:
            local = local_state(self.files / record.name)
        except OSError:
            return False
        if results and local != record.local:
            return True
        return version is not None and local[0] == record.local[0]

    def _changed(self, records: Mapping[str, CopyRecord]) -> dict[str, Path]:
        """Return the files here that are new or changed since they were copied or uploaded."""
        files = sorted(path for path in self.files.rglob("*") if path.is_file())
        names = {path.relative_to(self.files).as_posix(): path for path in files}
        return {name: path for name, path in names.items() if self._is_changed(name, records)}

    def _is_changed(self, name: str, records: Mapping[str, CopyRecord]) -> bool:
        """Whether a file exists here that differs from what was last copied or uploaded."""
        record = records.get(name)
        try:
            local = local_state(self.files / name)
        except OSError:
            return False
        return record is None or local != record.local

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


def _begins_with(path: Path, start: Path) -> bool:
    """Whether a file begins with the content of another, as after an upload that broke off."""
    with path.open("rb") as whole, start.open("rb") as part:
        while block := part.read(2**20):
            if whole.read(len(block)) != block:
                return False
    return True


def _may_be_removed(name: str) -> bool:
    """Whether a file can be made again: a report, or the hidden state of a training.

    Something else may have removed others here, such as a cleaner of old files.
    """
    *folders, file = name.split("/")
    return "reports" in folders or file.startswith(".")
