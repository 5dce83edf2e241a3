"""The checks of an exporter."""

from __future__ import annotations

import contextlib
import json
import shutil
import unittest
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cellvision import errors
from cellvision.inference.convert import installed
from cellvision.interfaces.exporter import Exporter, exporters
from cellvision.testing.component import ComponentChecks, conformance_check
from cellvision.testing.result import NOT_INSTALLED, CheckFailed
from cellvision.testing.stray_changes import stray_changes

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cellvision.results.run import Run


class _Export(NamedTuple):
    """One export: its run, its folder, what `export` returned, and what it touched elsewhere."""

    run: Run
    folder: Path
    opened: Any
    strays: list[str]


class ExporterChecks(ComponentChecks):
    """The checks of an exporter, to subclass in a plugin's tests.

    The exporter gets runs that `cellvision.train` made. Without one of its `packages`, the
    checks that export are skipped.

    Examples
    --------
    >>> from cellvision.testing import ExporterChecks
    >>> class TestOnnx(ExporterChecks):
    ...     name = "onnx"
    """

    registry: ClassVar = exporters

    @property
    def exporter(self) -> Exporter:
        """The example."""
        component = self.component
        assert isinstance(component, Exporter)
        missing = [module for module in component.packages if not installed(module)]
        if missing:
            raise unittest.SkipTest(f"{NOT_INSTALLED}{', '.join(missing)}")
        return component

    @property
    def suffix(self) -> str:
        """Its suffix, a non-empty part of a file name."""

        def read() -> str:
            suffix = self.cls.suffix
            if not isinstance(suffix, str) or not suffix.strip() or {"/", "\\"} & set(suffix):
                raise CheckFailed(
                    f"suffix is {suffix!r}",
                    'Set what names end in: suffix: ClassVar[str] = ".onnx"',
                )
            return suffix

        return self.once("its suffix", "test_declares_its_suffix", read)

    def export(self, kind: str, owner: str) -> _Export:
        """Export an example run.

        Parameters
        ----------
        kind
            Kind of the example run.
        owner
            The check that fails if the exporter raises an error.
        """
        from cellvision.testing.examples import example_plugins, example_run

        exporter, suffix = self.exporter, self.suffix
        world = self.folder / f"export of {kind}"

        def write() -> _Export:
            run = example_run(world / "run", kind)
            folder = world / "export"
            folder.mkdir()
            with stray_changes(world, folder) as strays:
                opened = exporter.export(run, folder)
            self._require_path(opened, folder / f"model{suffix}")
            return _Export(run, folder, opened, strays)

        with example_plugins():
            return self.once(f"export() of a run: {kind}", owner, write)

    def _require_path(self, opened: object, expected: Path) -> None:
        """Fail if `export` did not return the expected path, or wrote nothing to it."""
        wrong = opened.name if isinstance(opened, Path) else f"{type(opened).__name__} {opened!r}"
        if opened != expected:
            what = f"export() returned {wrong:.100}, not the path of {expected.name} in its folder"
            raise CheckFailed(what, 'Return folder / f"model{self.suffix}".')
        if not expected.exists():
            raise CheckFailed(
                f"export() wrote nothing to {expected.name}, the path that it returned",
                "Write the file or folder before returning its path.",
            )
        kinds = ("folder", "file") if self.exporter.writes_folder else ("file", "folder")
        if expected.is_dir() != self.exporter.writes_folder:
            raise CheckFailed(
                f"export() wrote the {kinds[1]} {expected.name}, not a {kinds[0]}",
                "Set writes_folder to what a program opens.",
            )

    def verified(self, kind: str, owner: str) -> Mapping[str, JsonValue]:
        """Return what `verify` returns for an export of `export`; JSON values, not empty."""
        from cellvision.testing.examples import example_plugins

        exporter = self.exporter
        export_owner = "test_exports_a_run" if kind == "ordinary" else owner
        export = self.export(kind, export_owner)

        def verify() -> Mapping[str, JsonValue]:
            checked = exporter.verify(export.run, export.folder)
            try:
                text = json.dumps(dict(checked), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise CheckFailed(
                    f"verify() returned {checked!r:.80}, which is not a table of JSON values",
                    "Return what cellvision.inference.compare_with_record returns.",
                ) from error
            if text == "{}":
                raise CheckFailed("verify() returned an empty table", "Return what was compared.")
            return dict(checked)

        with example_plugins():
            return self.once(f"verify() of a run: {kind}", owner, verify)

    @conformance_check
    def test_exports_a_run(self) -> None:
        """`export` writes ``model`` with its suffix into the given folder, and returns the path."""
        export = self.export("ordinary", "test_exports_a_run")
        self.require(export.opened, "export() returned nothing", "Return the path.")

    @conformance_check
    def test_declares_its_suffix(self) -> None:
        """Its suffix is a non-empty part of a file name."""
        self.require(self.suffix, "suffix is empty", "Set what names end in.")

    @conformance_check
    def test_names_of_files(self) -> None:
        """All names in its folder begin with ``model``, so that they can be renamed together."""
        export = self.export("ordinary", "test_exports_a_run")
        others = _foreign_names(export.folder)
        self.require(
            not others,
            f"it wrote {', '.join(others[:3])}",
            "Let all names begin with model, and remove temporary files.",
        )

    @conformance_check
    def test_writes_only_below_its_folder(self) -> None:
        """It changes nothing elsewhere: neither the run nor the working directory."""
        strays = self.export("ordinary", "test_exports_a_run").strays
        self.require(
            not strays,
            f"outside its folder, it touched {', '.join(strays[:3])}",
            "Write only below the given folder.",
        )

    @conformance_check
    def test_verifies_its_export(self) -> None:
        """`verify` returns what it compared, as JSON values."""
        checked = self.verified("ordinary", "test_verifies_its_export")
        self.require(checked, "verify() returned nothing", "Return what was compared.")

    @conformance_check
    def test_exports_again(self) -> None:
        """A second `cellvision.export` to the same path replaces all files of the first."""
        from cellvision.inference.export import export
        from cellvision.testing.examples import example_plugins

        assert self.verified("ordinary", "test_verifies_its_export")
        first = self.export("ordinary", "test_exports_a_run")
        if _foreign_names(first.folder):
            raise unittest.SkipTest("needs test_names_of_files to pass first")
        target = self.folder / "exported twice" / f"model{self.suffix}"
        names = []
        with example_plugins():
            for _ in range(2):
                with contextlib.chdir(self.folder):
                    export(first.run, self.exporter, target)
                names.append(sorted(path.name for path in target.parent.iterdir()))
        self.require(
            names[0] == names[1],
            f"the second export leaves {', '.join(names[1])}, the first {', '.join(names[0])}",
            "Write the same names whenever the settings are the same.",
        )

    @conformance_check
    def test_its_engine_predicts(self) -> None:
        """If `engine` is set, `open_engine` predicts as the run recorded, from its files alone."""
        from cellvision.inference.record_check import compare_with_record
        from cellvision.testing.examples import example_plugins

        exporter = self.exporter
        if not exporter.engine:
            raise unittest.SkipTest("it has no engine")
        self.require(
            type(exporter).open_engine is not Exporter.open_engine,
            f"engine is {exporter.engine!r}, but open_engine is not defined",
            "Define open_engine, which returns a cellvision.inference.Engine, or leave engine out.",
        )
        if not installed(exporter.engine):
            raise unittest.SkipTest(f"{NOT_INSTALLED}{exporter.engine}")
        assert self.verified("ordinary", "test_verifies_its_export")
        export = self.export("ordinary", "test_exports_a_run")
        moved = self.folder / "moved"
        shutil.copytree(export.folder, moved)
        with example_plugins():
            engine = exporter.open_engine(moved / export.opened.name, export.run)
            compare_with_record(export.run, exporter.engine, engine.predict, engine.at_once)
        self.require(
            engine.name == exporter.engine and engine.version,
            f"the engine is called {engine.name!r} {engine.version!r}",
            "Give its name, that of `engine`, and the version of its package.",
        )

    @conformance_check
    def test_survives_odd_names(self) -> None:
        """Classes with spaces, slashes and Unicode in their names."""
        assert self.verified("ordinary", "test_verifies_its_export")
        checked = self.verified("odd names", "test_survives_odd_names")
        self.require(checked, "verify() returned nothing", "Return what was compared.")

    @conformance_check
    def test_notices_damage(self) -> None:
        """`verify` raises an error if the main file is empty."""
        assert self.verified("ordinary", "test_verifies_its_export")
        export = self.export("ordinary", "test_exports_a_run")
        folder = self.folder / "damaged"
        shutil.copytree(export.folder, folder)
        damaged = folder / f"model{self.suffix}"
        for file in damaged.rglob("*") if damaged.is_dir() else [damaged]:
            if file.is_file():
                file.write_bytes(b"")
        self._require_refusal(export.run, folder, Exception, "an empty file passes verify()")

    @conformance_check
    def test_notices_other_probabilities(self) -> None:
        """`verify` raises ConversionError if the run recorded other probabilities."""
        if not self.exporter.contains_network:
            raise unittest.SkipTest("it writes no network: contains_network is False")
        assert self.verified("ordinary", "test_verifies_its_export")
        export = self.export("ordinary", "test_exports_a_run")
        self._require_refusal(
            _other_probabilities(export.run, self.folder / "other run"),
            export.folder,
            errors.ConversionError,
            "verify() accepts an export whose probabilities are not those of the run",
        )

    def _require_refusal(self, run: Run, folder: Path, kind: type[Exception], what: str) -> None:
        from cellvision.testing.examples import example_plugins

        hint = "Read the files as a program does, and use cellvision.inference.compare_with_record."
        with example_plugins():
            try:
                self.exporter.verify(run, folder)
            except kind:
                self.require(True, "", "")
            except Exception as error:
                raise CheckFailed(f"it raises {errors.summarize(error)}", hint) from error
            else:
                self.require(False, what, hint)


def _foreign_names(folder: Path) -> list[str]:
    """List the names in an export's folder that do not begin with ``model``."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("model"))


def _other_probabilities(run: Run, folder: Path) -> Run:
    """Return a copy of a run whose recorded probabilities have moved on to the next class."""
    from cellvision.results.run import load_run

    shutil.copytree(run.folder, folder)
    table = run.predictions
    columns = [f"p_{name}" for name in run.class_names]
    table[columns] = table[columns[1:] + columns[:1]].to_numpy()
    table.to_csv(folder / "predictions.csv", index=False)
    return load_run(folder)
