"""Images and results on remote storage: whatever fsspec reads, such as ``s3://`` and ``gs://``.

Everything works on files of this machine. What lies at an address is copied into the cache
before it is used, and copied again when the storage says that it has changed; results are
written here and sent when they are whole. A copy that was broken off is gone on with.

Paths go through the same functions and come out as they are, so that whoever uses them need
not ask which of the two a place is.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeGuard
from urllib.parse import urlsplit

from pydantic import AfterValidator, Strict

from cellvision import errors

_AT_ONCE = 16
"""How many files are under way at once, where the storage allows more than one."""

_CHANGES = (
    *("ETag", "etag", "md5Hash", "generation", "mtime", "modified", "created", "updated"),
    *("LastModified", "last_modified"),
)
"""By what storages of various kinds tell that a file is no longer the same."""

_LAST = ("run.json", "study.json")
"""What says that results are whole is sent when all else is there."""


def is_address(place: object) -> TypeGuard[str]:
    """Whether a place is an address such as ``s3://bucket/images``, and not a path.

    Examples
    --------
    >>> is_address("s3://bucket/images"), is_address("images"), is_address(Path("images"))
    (True, False, False)
    """
    return isinstance(place, str) and "://" in place


def _place(value: Path | str) -> Path | str:
    if not is_address(value):
        return Path(value)
    if urlsplit(value).password:
        raise ValueError(
            "an address must not hold a password: it is written into every run's record; "
            "put it into fsspec's configuration"
        )
    return _spelled(value)


def _spelled(address: str) -> str:
    """One spelling for one address: without slashes at its end, except that of a root."""
    kind, _, rest = address.rpartition("://")
    return f"{kind}://{rest.rstrip('/') or rest[:1]}"


Place = Annotated[Path | Annotated[str, Strict()], AfterValidator(_place)]
"""The type of a setting that is a path, or an address on remote storage (then a `str`)."""


@contextlib.contextmanager
def folder(place: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a folder of this machine that holds what is at a place now.

    Errors that are raised in the block and name that folder name the address.

    Parameters
    ----------
    place
        A path, which is given back, or an address.

    Raises
    ------
    errors.FolderError
        There is nothing at the address, or it is a file.
    errors.ExperimentError
        fsspec, or its driver for this kind of address, is not installed.
    errors.CellvisionError
        The storage cannot be reached, or does not permit it.
    """
    if not is_address(place):
        yield Path(place).expanduser()
        return
    copies = _Copies(place)
    with copies.named():
        if not copies.refresh():
            raise errors.FolderError(f"there is nothing at {place}", "Check the address")
        yield copies.files


@contextlib.contextmanager
def file(place: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a file of this machine that holds what is at a place now; see `folder`."""
    if not is_address(place):
        yield Path(place).expanduser()
        return
    above, _, name = place.rpartition("/")
    copies = _Copies(above)
    with copies.named():
        if not copies.refresh([name]):
            raise errors.FolderError(f"there is nothing at {place}", "Check the address")
        yield copies.files / name


def fetch(place: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Copy some of the files below a place, all at once; those that are missing are passed over.

    Parameters
    ----------
    place
        A path, where there is nothing to do, or an address.
    names
        Paths relative to it. A name may be an address of its own.
    """
    for above, theirs in _by_place(place, names).items():
        if is_address(above):
            copies = _Copies(above)
            with copies.named():
                copies.refresh(theirs)


def locate(place: str | os.PathLike[str], name: str) -> Path:
    """Give the file of a name below a place; from an address it is copied if it was not.

    Parameters
    ----------
    place
        A path or an address.
    name
        Relative to it, or an address of its own.

    Returns
    -------
    pathlib.Path
        It does not exist where there is no such file.
    """
    ((above, (inner,)),) = _by_place(place, [name]).items()
    if not is_address(above):
        return Path(above).expanduser() / inner
    return _Copies(above).locate(inner)


@contextlib.contextmanager
def finished(place: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a folder of this machine with the results that are at a place; see `folder`.

    Raises
    ------
    errors.FolderError
        There is nothing at the address, or other files, of which none is copied.
    """
    if not is_address(place):
        yield Path(place).expanduser()
        return
    copies = _Copies(place)
    with copies.named():
        if not copies.refresh(results=True):
            raise errors.FolderError(f"there is nothing at {place}", "Check the address")
        yield copies.files


@contextlib.contextmanager
def results(place: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the folder to write results to; at an address they arrive when the block has ended.

    Results that are there already are brought first. What a block leaves that raises stays on
    this machine, where the same work goes on with it.

    Raises
    ------
    errors.FolderError
        There are other files at the address.
    errors.CellvisionError
        The results cannot be sent; the message says where they are.
    """
    if not is_address(place):
        yield Path(place)
        return
    copies = _Copies(place)
    with copies.named():
        copies.refresh(results=True)
        yield copies.files
    copies.send()


def _by_place(
    place: str | os.PathLike[str], names: Iterable[str]
) -> dict[str | os.PathLike[str], list[str]]:
    """Names by the place that they are relative to; an address starts from its storage's root."""
    found: dict[str | os.PathLike[str], list[str]] = {}
    for name in names:
        if is_address(name):
            parts = urlsplit(name)
            root = f"{parts.scheme}://{parts.netloc or '/'}"
            found.setdefault(root, []).append(parts.path.lstrip("/"))
        else:
            found.setdefault(place, []).append(name)
    return found


class _Copies:
    """The copies on this machine of what lies below an address.

    ``files/`` holds them, ``copies.jsonl`` a line for each with what identified it there and
    here; later lines win, and a line that was broken off counts for nothing.
    """

    def __init__(self, address: str) -> None:
        from cellvision.data import pixel_cache

        self.address = _spelled(address)
        name = hashlib.sha256(self.address.encode()).hexdigest()[:32]
        self.home = pixel_cache.folder().absolute() / "remote" / name
        self.files = self.home / "files"

    @cached_property
    def _storage(self) -> tuple[Any, str]:
        """Fsspec's file system, and the address as a path in it."""
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
                raise self._fault(error, "read") from error
            raise errors.ExperimentError(
                f"{self.address}: no storage of the kind {kind}:// is known",
                "Such as s3://, gs://, az://, sftp://; fsspec's documentation lists all",
            ) from error
        except Exception as error:
            raise self._fault(error, "read") from error
        return system, str(root)

    def _path(self, name: str) -> str:
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise errors.CatalogError(
                f"{self.address}: {name!r} is no path below it",
                "Name files relative to it, without .. and without a slash at the beginning",
            )
        return f"{self._storage[1].rstrip('/')}/{name}"

    def refresh(self, names: Sequence[str] | None = None, *, results: bool = False) -> bool:
        """Copy what is new or has changed, and drop what is gone; gives whether anything is there.

        Parameters
        ----------
        names
            Of certain files; None takes all.
        results
            Whether to refuse what is neither a run nor a study, before any of it is copied.
        """
        with self._alone(), self._faults("read"):
            system, _ = self._storage
            system.invalidate_cache()
            there = self._all() if names is None else self._some(names)
            known = self._known()
            if results and there and there.keys().isdisjoint((*_LAST, *known)):
                raise errors.FolderError(
                    f"{self.address} holds no run or study, but other files, such as "
                    f"{min(there)!r}",
                    "Name the place of a run or a study, or an empty one for new results",
                )
            gone = known.keys() - there.keys() if names is None else set(names) - there.keys()
            for name in gone:
                (self.files / name).unlink(missing_ok=True)
            if names is None:
                _remove_empty_folders(self.files)
            due = [name for name, info in there.items() if not self._is_fresh(name, info, known)]
            with self._noting() as note:
                for name in self._at_once(lambda name: self._copy(name, there[name]), due):
                    note(name, _stamp(there[name]))
            return bool(there)

    def locate(self, name: str) -> Path:
        """Give the copy of one file, without asking whether it has changed since."""
        path = self.files / name
        self._path(name)  # refuses a name that leads elsewhere
        if not path.exists():
            with self.named():
                self.refresh([name])
        return path

    def send(self) -> None:
        """Send what is new or was changed here; what says that it is whole comes last."""
        with self._alone(), self._faults("written"):
            system, _ = self._storage
            known = self._known()
            due = {}
            for path in sorted(path for path in self.files.rglob("*") if path.is_file()):
                name = path.relative_to(self.files).as_posix()
                if _here(path) != known.get(name, {}).get("here"):
                    due[name] = path
            first = [name for name in due if name.rpartition("/")[2] not in _LAST]
            last = sorted(due.keys() - first, key=lambda name: (-name.count("/"), name))

            def put(name: str) -> str:
                target = self._path(name)
                system.makedirs(target.rpartition("/")[0], exist_ok=True)
                system.put_file(str(due[name]), target)
                return name

            with self._noting() as note:
                for name in (*self._at_once(put, first), *map(put, last)):
                    system.invalidate_cache()
                    note(name, _stamp(system.info(self._path(name))))

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Let errors name the address, and not the copy."""
        try:
            yield
        except errors.CellvisionError as error:
            error.what = error.what.replace(str(self.files), self.address)
            error.hint = error.hint.replace(str(self.files), self.address)
            error.args = (error.what, error.hint)
            raise

    def _all(self) -> dict[str, Mapping[str, Any]]:
        system, root = self._storage
        found = system.find(root, detail=True)
        if root in found and root.strip("/"):
            raise errors.FolderError(f"{self.address} is a file, not a folder", "Name its folder")
        start = len(root.rstrip("/")) + 1
        names = {path[start:]: info for path, info in found.items()}
        # Some storages keep folders as empty files whose names end in a slash.
        return {name: info for name, info in names.items() if name and not name.endswith("/")}

    def _some(self, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        system, _ = self._storage

        def look(name: str) -> tuple[str, Any]:
            try:
                return name, system.info(self._path(name))
            except FileNotFoundError:
                return name, None

        return {name: info for name, info in self._at_once(look, names) if info is not None}

    def _is_fresh(self, name: str, info: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
        stamp = _stamp(info)
        line = known.get(name, {})
        try:
            same = _here(self.files / name)[0] == line.get("here", [None])[0]
        except OSError:
            return False
        return same and stamp is not None and stamp == line.get("there")

    def _copy(self, name: str, info: Mapping[str, Any]) -> str:
        system, _ = self._storage
        arriving = self.home / "arriving" / uuid.uuid4().hex
        system.get_file(self._path(name), str(arriving))
        expected, arrived = info.get("size"), arriving.stat().st_size
        if expected is not None and arrived != expected:
            raise OSError(f"of {name}, {arrived} of {expected} bytes arrived")
        target = self.files / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(arriving, target)
        return name

    def _at_once(self, work: Callable[[str], Any], names: Sequence[str]) -> Iterator[Any]:
        """Do this for all names, with a bar on a terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True)
        shown = sys.stderr.isatty() and len(names) > 0
        # Drivers that are not asynchronous may have one connection, which cannot be shared.
        pool = ThreadPoolExecutor(_AT_ONCE if self._storage[0].async_impl else 1)
        try:
            with Progress(*columns, console=console, transient=True, disable=not shown) as bars:
                bar = bars.add_task(self.address, total=len(names))
                for done in pool.map(work, names):
                    bars.advance(bar)
                    yield done
        finally:
            pool.shutdown(cancel_futures=True)

    def _known(self) -> dict[str, dict[str, Any]]:
        known: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.home / "copies.jsonl").read_text("utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    told = json.loads(line)
                    known[told["name"]] = told
        return known

    @contextlib.contextmanager
    def _noting(self) -> Iterator[Callable[[str, str | None], None]]:
        with (self.home / "copies.jsonl").open("a", encoding="utf-8") as file:

            def note(name: str, there: str | None) -> None:
                line = {"name": name, "there": there, "here": _here(self.files / name)}
                file.write(f"\n{json.dumps(line)}")
                file.flush()

            yield note

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other process or thread is at these copies."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("ab") as lock:
            with contextlib.suppress(ImportError):  # Windows: two at once copy everything twice
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(self.home / "arriving", ignore_errors=True)
            (self.home / "arriving").mkdir()
            self.files.mkdir(exist_ok=True)
            yield

    @contextlib.contextmanager
    def _faults(self, done: str) -> Iterator[None]:
        try:
            yield
        except errors.CellvisionError:
            raise
        except FileNotFoundError as error:  # a bucket, say
            raise errors.FolderError(
                f"{self.address} is not there: {error}", "Check the address"
            ) from error
        except Exception as error:  # drivers raise what their storage's library raises
            raise self._fault(error, done) from error

    def _fault(self, error: Exception, done: str) -> errors.CellvisionError:
        first = (str(error).splitlines() or [""])[0]
        return errors.CellvisionError(
            f"{self.address} cannot be {done}: {type(error).__name__}: {first}",
            "Check the address, the network, and the credentials that its driver looks for"
            + (f"; the results are whole in {self.files}" if done == "written" else ""),
        )


def _stamp(info: Mapping[str, Any]) -> str | None:
    """What identifies a file's content there; None where the storage tells nothing."""
    told = {key: str(info[key]) for key in _CHANGES if info.get(key) is not None}
    return json.dumps({**told, "size": info.get("size")}, sort_keys=True) if told else None


def _here(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _remove_empty_folders(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
