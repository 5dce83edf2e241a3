"""Conformance checks of reporters."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from cellvision import errors
from cellvision.interfaces.artifact import Artifact
from cellvision.interfaces.reporter import Reporter, reporters
from cellvision.results.artifact_contract import checked_artifacts
from cellvision.testing.banners import BANNERS, appearance, run_with_banner
from cellvision.testing.component import ComponentChecks, conformance_check
from cellvision.testing.result import CheckFailed
from cellvision.testing.stray_changes import stray_changes

if TYPE_CHECKING:
    from cellvision.results.audits import AuditReport
    from cellvision.results.run import Run
    from cellvision.results.study import Study


class _Report(NamedTuple):
    """Outcome of one report.

    Attributes
    ----------
    artifacts : list of Artifact
        What the reporter returned.
    files : set of Path
        Files in the folder of reports.
    strays : list of str
        Other files that it wrote, changed or removed.
    """

    artifacts: list[Artifact]
    files: set[Path]
    strays: list[str]

    @property
    def paths(self) -> list[Path]:
        return [artifact.path for artifact in self.artifacts]


class ReporterChecks(ComponentChecks):
    """Checks of a reporter, to subclass in a plugin's tests.

    The reporter receives runs and a study that cellvision trained, each in a separate folder.

    Examples
    --------
    >>> from cellvision.testing import ReporterChecks
    >>> class TestTables(ReporterChecks):
    ...     name = "tables"
    """

    registry: ClassVar = reporters

    @property
    def reporter(self) -> Reporter:
        """The component as a reporter."""
        component = self.component
        assert isinstance(component, Reporter)
        return component

    def report_on(self, kind: str, owner: str) -> _Report:
        """Run the reporter on an example run, or on the example study.

        Parameters
        ----------
        kind
            Kind of the example run, or ``study`` or ``audit``.
        owner
            Name of the check that fails if the reporter raises an error.
        """
        from cellvision.testing.examples import (
            example_audit,
            example_plugins,
            example_run,
            example_study,
        )

        reporter = self.reporter
        root = self.folder / f"report on {kind}"
        results = root / "results"

        def report() -> _Report:
            root.mkdir(parents=True)
            finished: Run | Study | AuditReport
            if kind == "study":
                finished = example_study(results)
            elif kind == "audit":
                finished = example_audit(results)
            elif kind in BANNERS:
                finished = run_with_banner(results, example_run, kind)
            else:
                finished = example_run(results, kind)
            return _observe(reporter, finished, root)

        with example_plugins():
            return self.once(f"reporting on: {kind}", owner, report)

    def _check_artifacts(self, kind: str, owner: str) -> None:
        """Require a report; one on an unusual run is not asked for if that on any run fails."""
        if kind not in ("study", "audit"):
            self.report_on("ordinary", "test_reports_on_a_run")
        self.require(self.report_on(kind, owner), "there is no report", "")

    @conformance_check
    def test_reports_something(self) -> None:
        """It defines one of its methods, and returns artifacts or follows epochs."""
        methods = ("run", "study", "audit", "on_epoch_end")
        defined = [
            name for name in methods if getattr(self.cls, name) is not getattr(Reporter, name)
        ]
        self.require(
            defined, f"{self.cls.__name__} defines none of {', '.join(methods)}", "Define run()"
        )
        artifacts = [
            *self.report_on("ordinary", "test_reports_on_a_run").paths,
            *self.report_on("study", "test_reports_on_a_study").paths,
            *self.report_on("audit", "test_reports_on_an_audit").paths,
        ]
        self.require(
            artifacts or "on_epoch_end" in defined,
            "it returns artifacts neither of an ordinary run nor of a study or an audit",
            "Return the artifacts, or give an example that yields some",
        )

    @conformance_check
    def test_reports_on_a_run(self) -> None:
        """It reports on an ordinary run: three classes, two epochs, two test sets."""
        self._check_artifacts("ordinary", "test_reports_on_a_run")

    @conformance_check
    def test_reports_on_a_study(self) -> None:
        """It reports on a study of two runs."""
        self._check_artifacts("study", "test_reports_on_a_study")

    @conformance_check
    def test_reports_on_an_audit(self) -> None:
        """An audit of images in two channels, with odd names of classes and splits."""
        self._check_artifacts("audit", "test_reports_on_an_audit")

    @conformance_check
    def test_survives_a_missing_class(self) -> None:
        """It reports on a run whose test set lacks a class."""
        self._check_artifacts("missing class", "test_survives_a_missing_class")

    @conformance_check
    def test_survives_a_single_epoch(self) -> None:
        """It reports on a run of one epoch."""
        self._check_artifacts("single epoch", "test_survives_a_single_epoch")

    @conformance_check
    def test_survives_forty_classes(self) -> None:
        """It reports on a run with forty classes."""
        self._check_artifacts("forty classes", "test_survives_forty_classes")

    @conformance_check
    def test_survives_odd_names(self) -> None:
        """It reports on classes and test sets with spaces, slashes and Unicode in their names."""
        self._check_artifacts("odd names", "test_survives_odd_names")

    @conformance_check
    def test_figures_carry_the_warnings(self) -> None:
        """Its figures show that splits leak, that a run is a control's, or lacks groups."""
        plain = self.report_on("ordinary", "test_reports_on_a_run")
        self.require(True, "", "")  # of a reporter that draws nothing, nothing is demanded
        for banner in BANNERS if _figures(plain, with_caption=False) else ():
            # Unknown groups may be a note in the caption; the others belong in the picture.
            with_caption = banner == "groups unknown"
            before = _figures(plain, with_caption=with_caption)
            report = self.report_on(banner, "test_figures_carry_the_warnings")
            after = _figures(report, with_caption=with_caption)
            same = sorted(name for name in before if before[name] == after.get(name))
            self.require(
                not same,
                f"{', '.join(same[:3])} looks the same for a run of the kind {banner!r}",
                "Draw the lines of cellvision.banners(run) into the figure",
            )

    @conformance_check
    def test_writes_only_below_its_folder(self) -> None:
        """It changes neither other files nor the working directory."""
        for kind, owner in (
            ("ordinary", "test_reports_on_a_run"),
            ("study", "test_reports_on_a_study"),
            ("audit", "test_reports_on_an_audit"),
            ("odd names", "test_survives_odd_names"),
        ):
            strays = self.report_on(kind, owner).strays
            self.require(
                not strays,
                f"it changed {', '.join(strays[:3])}, outside its folder",
                "Write only to the given folder, with file names of letters and digits",
            )

    @conformance_check
    def test_returns_its_files(self) -> None:
        """Each file at the top of its folder is an artifact; subfolders may contain others."""
        for kind, owner in (
            ("ordinary", "test_reports_on_a_run"),
            ("study", "test_reports_on_a_study"),
        ):
            report = self.report_on(kind, owner)
            missing = report.files - {path.resolve() for path in report.paths}
            names = sorted(path.name for path in missing)
            self.require(
                not missing,
                f"it returned no artifact for {', '.join(names[:3])}",
                "Return an artifact for every file, and remove temporary ones "
                "(cellvision.io does so)",
            )

    @conformance_check
    def test_leaves_the_results_unchanged(self) -> None:
        """It leaves the predictions, history and metadata of the run unchanged."""
        from cellvision.testing.examples import example_plugins, example_run

        run = example_run(self.folder / "unchanged")
        before = run.predictions, run.history, run.metadata
        folder = self.folder / "unchanged reports"
        folder.mkdir()
        with example_plugins():
            self.reporter.run(run, folder)
        self.require(
            before[0].equals(run.predictions)
            and before[1].equals(run.history)
            and before[2] == run.metadata,
            "it changed the predictions, the history or the metadata of the run",
            "Work on copies: run.predictions returns a new table every time",
        )

    @conformance_check
    def test_reports_again(self) -> None:
        """Reporting a second time into the same folder writes the same files."""
        from cellvision.testing.examples import example_plugins, example_run

        first = self.report_on("ordinary", "test_reports_on_a_run")
        results = self.folder / "again"
        run, reporter = example_run(results), self.reporter
        folder = results / "reports"
        folder.mkdir(exist_ok=True)
        with example_plugins(), contextlib.chdir(results):
            names = [
                sorted(item.path.relative_to(folder) for item in reporter.run(run, folder))
                for _ in range(2)
            ]
        self.require(
            names[0] == names[1] and len(names[0]) == len(first.paths),
            f"its second report has other files: {names[1][:3]}",
            "Replace files of the same name",
        )

    @conformance_check
    def test_follows_epochs(self) -> None:
        """It follows two runs at once, with and without validation metrics, each by itself."""
        from cellvision.testing.examples import example_plugins

        with example_plugins(), contextlib.chdir(self.folder):
            followers = [self._follower(number) for number in (1, 2)]
            before = _state(followers[0])
            logs = {"loss": 0.7, "accuracy": 0.5}
            validated = {**logs, "val_loss": 0.8, "val_accuracy": 0.4}
            for number, row in enumerate((logs, validated), start=1):
                for follower in followers:
                    follower.on_epoch_end(number, dict(row))
        first, second = ((each.__pydantic_private__ or {}) for each in followers)
        shared = [
            name
            for name, value in first.items()
            if second.get(name) is value and name in before and before[name] != value
        ]
        self.require(
            not shared,
            f"two runs that train at once share {', '.join(shared)}",
            "Return a copy with a separate state from on_run_begin()",
        )

    def _follower(self, number: int) -> Reporter:
        """Return the reporter that follows an example run that is about to start."""
        from cellvision.testing.examples import example_experiment

        folder = self.folder / f"followed {number}" / "reports"
        folder.parent.mkdir(exist_ok=True)
        follower: object = self.reporter.on_run_begin(folder, example_experiment())
        if not isinstance(follower, Reporter):
            raise CheckFailed(
                f"on_run_begin() returned {type(follower).__name__}, not a reporter",
                "Return self, or a copy that keeps the state of this run",
            )
        return follower


def _state(reporter: Reporter) -> dict[str, object]:
    """Return a copy of what a reporter keeps in private lists, tables and sets."""
    private = reporter.__pydantic_private__ or {}
    kept: dict[str, object]
    kept = {name: each for name, each in private.items() if isinstance(each, list | dict | set)}
    return copy.deepcopy(kept)


def _figures(report: _Report, *, with_caption: bool) -> dict[str, tuple[bytes, str]]:
    """Return what a reader sees of each figure and page, by the name of its file."""
    return {
        item.path.name: appearance(item, with_caption=with_caption)
        for item in report.artifacts
        if item.kind in ("figure", "page")
    }


def _observe(reporter: Reporter, finished: Run | Study | AuditReport, root: Path) -> _Report:
    """Run the reporter, and compare files and working directory before and after."""
    from cellvision.results.run import Run
    from cellvision.results.study import Study

    folder = finished.folder / "reports"
    folder.mkdir(exist_ok=True)
    with stray_changes(root, folder) as strays:
        if isinstance(finished, Run):
            returned = reporter.run(finished, folder)
        elif isinstance(finished, Study):
            returned = reporter.study(finished, folder)
        else:
            returned = reporter.audit(finished, folder)
    files = {path.resolve() for path in folder.iterdir() if path.is_file()}
    try:
        checked_artifacts(returned, folder)
    except errors.PluginContractError as error:
        raise CheckFailed(error.what, error.hint) from error
    return _Report(list(returned), files, strays)
