"""Protect the files of a run or study, and of other reporters, from a reporter.

Each reporter writes to a separate folder below ``reports``. When it has finished, its files move
to ``reports`` unless another reporter owns a file of that name. Other files that it changed or
removed are restored from copies; large files, which are not copied, from hard links, if they were
removed or replaced.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from cellvision import errors
from cellvision.results.artifacts import ARTIFACTS_FILE

_LARGEST_COPY = 64 * 2**20
"""Size limit in bytes; larger files are linked instead of copied."""

_LINKS = ".large.files.working"
"""Folder of the links, below ``reports``: a link stays on its file system. The names of reporters'
folders have no second dot."""


class Workspace:
    """Working folder of one reporter.

    Parameters
    ----------
    reports
        The folder ``reports``.
    reporter
        Name of the reporter.
    owned
        Files of its earlier report, relative to `reports`.
    foreign
        Owner of each file of other reporters.
    """

    def __init__(
        self, reports: Path, reporter: str, owned: Collection[str], foreign: Mapping[str, str]
    ) -> None:
        self._reports = reports
        self._owned = owned
        self._foreign = {ARTIFACTS_FILE: "cellvision", **foreign}
        # The folder's name is fixed, so that the next report finds the files of a killed one.
        self._earlier: dict[Path, int] = {}
        self.folder = reports / f".{re.sub(r'[^A-Za-z0-9_-]', '-', reporter)}.working"

    def open(self) -> None:
        """Create the folder, and move the reporter's earlier files into it.

        The results may come from somebody else. Links are no files of a report: what they lead to
        is neither moved nor removed.
        """
        if self.folder.is_symlink():
            self.folder.unlink()
        self.folder.mkdir(exist_ok=True)
        for path in [path for path in self.folder.rglob("*") if path.is_symlink()]:
            path.unlink()
        for name in self._owned:
            source, target = self._reports / name, self.folder / name
            if self._is_ours(source) and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, target)
        self._earlier = {
            path: path.stat().st_mtime_ns for path in self.folder.rglob("*") if path.is_file()
        }

    def _is_ours(self, path: Path) -> bool:
        """Whether a path below ``reports`` is a file that is reached through no link."""
        below = self._reports.resolve() / path.relative_to(self._reports)
        return path.is_file() and path.resolve() == below

    def remove_stale(self, returned: Collection[str], earlier: Collection[str]) -> None:
        """Remove files of an earlier report that this one did not write.

        Files in subfolders stay unless they were artifacts, because they may be a cache.

        Parameters
        ----------
        returned
            Artifacts of this report, relative to the folder.
        earlier
            Artifacts of the earlier report.
        """
        for path, time in self._earlier.items():
            name = path.relative_to(self.folder).as_posix()
            is_report = name in earlier or path.parent == self.folder
            if not is_report or name in returned or not path.is_file():
                continue
            if name in earlier or path.stat().st_mtime_ns == time:
                path.unlink()

    def close(self) -> tuple[list[str], list[str]]:
        """Move all files to ``reports``.

        Returns
        -------
        files : list of str
            Moved files, relative to ``reports``.
        refused : list of str
            Discarded files, because another reporter owns a file of the same name.
        """
        files, refused = [], []
        for path in sorted(self.folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            name = path.relative_to(self.folder).as_posix()
            target = self._reports / name
            linked = target.parent.resolve() != self._reports.resolve() / Path(name).parent
            if name in self._foreign or target.is_dir() or linked:
                refused.append(name)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
            files.append(name)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._remove_empty_folders()
        return files, refused

    def owner(self, name: str) -> str:
        """Return the name of the reporter that owns a refused file."""
        return self._foreign.get(name, "another reporter")

    def _remove_empty_folders(self) -> None:
        folders = {parent for name in self._owned for parent in (self._reports / name).parents}
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            if folder.is_relative_to(self._reports) and folder != self._reports:
                with contextlib.suppress(OSError):
                    folder.rmdir()


class Safeguard:
    """Copies of the files of a run or study, to restore those that a reporter damages.

    Parameters
    ----------
    results
        Folder of the run or study.
    """

    def __init__(self, results: Path) -> None:
        self._results = results
        self._links = results / "reports" / _LINKS
        self._states: dict[Path, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        self._copies = Path(tempfile.mkdtemp(prefix="cellvision-reports-"))
        self._remove_links()  # those of a killed process
        self.remember()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._copies, ignore_errors=True)
        self._remove_links()

    def remember(self) -> None:
        """Copy or link the files that were added or changed since the last call."""
        states = dict(self._files())
        for path, state in states.items():
            if self._states.get(path) != state:
                self._keep(path, is_large=state[0] > _LARGEST_COPY)
        self._states = states

    def restore(self) -> tuple[list[str], list[str]]:
        """Restore the files that were changed or removed since the last call of `remember`.

        Returns
        -------
        restored, lost : list of str
            Paths of the files, relative to the folder of the run or study. Lost are large files
            whose content was changed, and large files that the file system could not link.
        """
        present = dict(self._files())
        restored: list[str] = []
        lost: list[str] = []
        for path, state in self._states.items():
            if present.get(path) != state:
                name = path.relative_to(self._results).as_posix()
                (restored if self._restore(path, state) else lost).append(name)
        return restored, lost

    def _keep(self, path: Path, *, is_large: bool) -> None:
        inside = path.relative_to(self._results)
        copy, link = self._copies / inside, self._links / inside
        for earlier in (copy, link):
            earlier.unlink(missing_ok=True)
        if not is_large:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
            return
        with contextlib.suppress(OSError):  # not every file system has links
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)

    def _restore(self, path: Path, state: tuple[int, int]) -> bool:
        """Restore a file; return False if that is impossible."""
        inside = path.relative_to(self._results)
        copy, link = self._copies / inside, self._links / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        if copy.is_file():
            shutil.copy2(copy, path)
            return True
        if not link.is_file() or _state(link) != state:
            return False
        path.unlink(missing_ok=True)
        os.link(link, path)
        return True

    def _remove_links(self) -> None:
        if self._links.is_symlink():  # results may come from somebody else
            self._links.unlink()
        shutil.rmtree(self._links, ignore_errors=True)

    def _files(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        """Yield the files of results and reports, without the working folders of reporters."""
        folders = [self._results, self._results / "reports"]
        for number, folder in enumerate(folders):
            for path in folder.iterdir() if number == 0 else folder.rglob("*"):
                inside = path.relative_to(self._results).parts
                if any(part.endswith(".working") for part in inside) or not path.is_file():
                    continue
                yield path, _state(path)


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@contextmanager
def contained() -> Iterator[None]:
    """Restore afterwards what other reporters depend on, and turn ``sys.exit`` into an error.

    That is the working directory, the settings of matplotlib, and numpy's handling of errors.
    """
    with contextlib.chdir(Path.cwd()), np.errstate(), _matplotlib_restored():
        try:
            yield
        except SystemExit as exit_:
            raise errors.PluginContractError(
                f"it called sys.exit({exit_.code!r})", "Raise an error of cellvision.errors"
            ) from exit_


@contextlib.contextmanager
def _matplotlib_restored() -> Iterator[None]:
    """Restore the settings of matplotlib; do not import it for that."""
    before = _settings() if "matplotlib" in sys.modules else None
    try:
        yield
    finally:
        if "matplotlib" in sys.modules:
            import matplotlib

            if before is None:  # the reporter imported it
                matplotlib.rc_file_defaults()
            elif _settings() != before:
                matplotlib.rcParams.update(before)


def _settings() -> dict[str, Any]:
    import matplotlib

    # Asking for the backend would choose one.
    return {key: value for key, value in dict.items(matplotlib.rcParams) if key != "backend"}
