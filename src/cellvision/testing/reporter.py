"""The checks of a reporter."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from cellvision.interfaces.reporter import Reporter, reporters
from cellvision.testing.component import ComponentChecks, conformance_check

if TYPE_CHECKING:
    from cellvision.results.run import Run
    from cellvision.results.study import Study


class _Reported(NamedTuple):
    """What came of one report.

    Attributes
    ----------
    named : list of Path
        The files that the reporter gave back.
    made : set of Path
        The files that are in its folder.
    strays : list of str
        What was made, changed or removed elsewhere.
    """

    named: list[Path]
    made: set[Path]
    strays: list[str]


class ReporterChecks(ComponentChecks):
    """The checks of a reporter, to subclass in a plugin's tests.

    It is given runs and a study that `cellvision.train` made, in folders of their own.

    Examples
    --------
    >>> from cellvision.testing import ReporterChecks
    >>> class TestTables(ReporterChecks):
    ...     name = "tables"
    """

    registry: ClassVar = reporters

    @property
    def reporter(self) -> Reporter:
        """The example."""
        component = self.component
        assert isinstance(component, Reporter)
        return component

    def reported(self, kind: str, owner: str) -> _Reported:
        """Let it report on an example run, or on the study."""
        from cellvision.testing.examples import example_plugins, example_run, example_study

        reporter = self.reporter
        world = self.folder / f"report on {kind}"
        home = world / "results"

        def report() -> _Reported:
            (world / "working directory").mkdir(parents=True)
            finished = example_study(home) if kind == "study" else example_run(home, kind)
            return _watched(reporter, finished, world, home / "reports")

        with example_plugins():
            return self.once(f"reporting on: {kind}", owner, report)

    def _judge(self, kind: str, owner: str) -> None:
        found = self.reported(kind, owner)
        for path in found.named:
            self.require(
                isinstance(path, Path) and path.is_file(),
                f"it gave {path!r}, which is no file that exists",
                "Give the paths of the files that were made, and nothing else",
            )
        self.require(True, "", "")

    @conformance_check
    def test_reports_something(self) -> None:
        """It defines `run`, `study` or `epoch`, and makes a file of an example or sees epochs."""
        own = [
            method
            for method in ("run", "study", "on_epoch_end")
            if getattr(self.cls, method) is not getattr(Reporter, method)
        ]
        self.require(
            own, f"{self.cls.__name__} defines none of run, study and epoch", "Define run()"
        )
        files = [
            *self.reported("ordinary", "test_reports_on_a_run").named,
            *self.reported("study", "test_reports_on_a_study").named,
        ]
        self.require(
            files or "on_epoch_end" in own,
            "it makes no file of an ordinary run, nor of a study",
            "Give back the files that were made, or an example by which some are made",
        )

    @conformance_check
    def test_reports_on_a_run(self) -> None:
        """An ordinary run: three classes, two epochs, two test sets."""
        self._judge("ordinary", "test_reports_on_a_run")

    @conformance_check
    def test_reports_on_a_study(self) -> None:
        """A study of two runs."""
        self._judge("study", "test_reports_on_a_study")

    @conformance_check
    def test_survives_a_missing_class(self) -> None:
        """A run in which a test set has no image of one class."""
        self._judge("missing class", "test_survives_a_missing_class")

    @conformance_check
    def test_survives_a_single_epoch(self) -> None:
        """A run of one epoch."""
        self._judge("single epoch", "test_survives_a_single_epoch")

    @conformance_check
    def test_survives_forty_classes(self) -> None:
        """A run with forty classes."""
        self._judge("forty classes", "test_survives_forty_classes")

    @conformance_check
    def test_survives_odd_names(self) -> None:
        """Classes and test sets with spaces, slashes and Unicode in their names."""
        self._judge("odd names", "test_survives_odd_names")

    @conformance_check
    def test_writes_only_below_its_folder(self) -> None:
        """It makes, changes and removes nothing in the run's folder or the working directory."""
        for kind, owner in (
            ("ordinary", "test_reports_on_a_run"),
            ("study", "test_reports_on_a_study"),
            ("odd names", "test_survives_odd_names"),
        ):
            strays = self.reported(kind, owner).strays
            self.require(
                not strays,
                f"outside the folder that it was given, it touched {', '.join(strays[:3])}",
                "Write to the folder that is given only, and make file names of letters and digits",
            )

    @conformance_check
    def test_names_its_files(self) -> None:
        """What it gives back are all the files that are in its folder afterwards."""
        for kind, owner in (
            ("ordinary", "test_reports_on_a_run"),
            ("study", "test_reports_on_a_study"),
        ):
            found = self.reported(kind, owner)
            unnamed = found.made - {path.resolve() for path in found.named}
            self.require(
                not unnamed,
                f"it did not tell of {', '.join(sorted(path.name for path in unnamed)[:3])}",
                "Give back every file; remove temporary ones (cellvision.io does that)",
            )

    @conformance_check
    def test_reports_again(self) -> None:
        """Reporting a second time into the same folder makes the same files."""
        from cellvision.testing.examples import example_plugins, example_run

        first = self.reported("ordinary", "test_reports_on_a_run")
        home = self.folder / "again"
        run, reporter = example_run(home), self.reporter
        folder = home / "reports"
        folder.mkdir(exist_ok=True)
        with example_plugins(), contextlib.chdir(home):
            names = [
                sorted(path.relative_to(folder) for path in reporter.run(run, folder))
                for _ in range(2)
            ]
        self.require(
            names[0] == names[1] and len(names[0]) == len(first.named),
            f"the second time it makes other files: {names[1][:3]}",
            "Replace files of the same name",
        )

    @conformance_check
    def test_looks_at_epochs(self) -> None:
        """`epoch` takes an epoch's numbers, with and without those of a validation split."""
        logs = {"loss": 0.7, "accuracy": 0.5}
        for number, more in enumerate(({}, {"val_loss": 0.8, "val_accuracy": 0.4}), start=1):
            self.reporter.on_epoch_end(number, {**logs, **more})
            self.require(True, "", "")


def _watched(reporter: Reporter, finished: Run | Study, world: Path, folder: Path) -> _Reported:
    """Report, and see what changes in a small world: the results and the working directory."""
    from cellvision.results.run import Run

    folder.mkdir(exist_ok=True)
    before = _snapshot(world, folder)
    with contextlib.chdir(world / "working directory"):
        if isinstance(finished, Run):
            named: Sequence[Path] = reporter.run(finished, folder)
        else:
            named = reporter.study(finished, folder)
    after = _snapshot(world, folder)
    strays = sorted(path for path in before.keys() | after if before.get(path) != after.get(path))
    made = {path.resolve() for path in folder.rglob("*") if path.is_file()}
    return _Reported(list(named), made, strays)


def _snapshot(world: Path, but: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(world)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in world.rglob("*")
        if path.is_file() and not path.is_relative_to(but)
    }
