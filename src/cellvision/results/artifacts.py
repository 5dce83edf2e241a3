"""The record of what reporters wrote: ``reports/artifacts.json``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field, JsonValue, field_validator

from cellvision import atomic_io, errors
from cellvision.interfaces.artifact import Artifact, ArtifactKind
from cellvision.result_model import ResultModel

ARTIFACTS_FILE = "artifacts.json"
"""Name of the record in the folder ``reports``."""

ARTIFACTS_SCHEMA = 1
"""Version of the record's format."""


def _check_relative(path: str) -> str:
    """Refuse paths that leave the folder: the record may come from somebody else."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith(("/", "\\")) or ":" in parts[0] or ".." in parts:
        raise ValueError(f"{path!r} is not a path below the folder of reports")
    return path


class ArtifactRecord(ResultModel):
    """One artifact."""

    path: str
    """The file, relative to ``reports``, with forward slashes."""

    title: str
    """Heading."""

    kind: ArtifactKind
    """How it is shown."""

    caption: str = ""
    """What is shown."""

    order: int = 400
    """Position on the page."""

    _relative = field_validator("path")(_check_relative)

    def located_in(self, reports: Path) -> Artifact:
        """Return the artifact with its full path.

        Parameters
        ----------
        reports
            The folder ``reports``.
        """
        return Artifact(reports / self.path, self.title, self.kind, self.caption, self.order)


class ReporterRecord(ResultModel):
    """What one reporter wrote, and with which settings."""

    reporter: str
    """Its registered name."""

    settings: dict[str, JsonValue]
    """Its settings as plain values."""

    artifacts: tuple[ArtifactRecord, ...] = ()
    """The artifacts it returned."""

    files: tuple[str, ...] = ()
    """All files it wrote, relative to ``reports``. No other reporter may write them."""

    fault: str = ""
    """Why it failed; empty if it did not. The artifacts are then those of an earlier report."""

    training_fault: str = ""
    """Why it failed during the training, after which it followed no epoch; empty if it did not."""

    @field_validator("files")
    @classmethod
    def _relative_files(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for file in files:
            _check_relative(file)
        return files


class ReportsRecord(ResultModel):
    """Content of ``artifacts.json``."""

    schema_: Annotated[int, Field(alias="schema")] = ARTIFACTS_SCHEMA
    """Version of the format."""

    reporters: tuple[ReporterRecord, ...] = ()
    """One entry for each reporter that ran, in the order in which they ran."""

    def located_in(self, reports: Path) -> tuple[Artifact, ...]:
        """Return the artifacts whose files exist, in the order of the page.

        Parameters
        ----------
        reports
            The folder ``reports``.
        """
        root = reports.resolve()
        artifacts = [
            record.located_in(reports) for entry in self.reporters for record in entry.artifacts
        ]
        existing = [
            artifact
            for artifact in artifacts
            if artifact.path.is_file() and artifact.path.resolve().is_relative_to(root)
        ]
        return tuple(sorted(existing, key=lambda artifact: artifact.order))


def read_reports(reports: Path) -> ReportsRecord:
    """Read the record of a folder ``reports``; an empty one if nothing was reported.

    Raises
    ------
    errors.FolderError
        The record cannot be read.
    """
    path = reports / ARTIFACTS_FILE
    try:
        return ReportsRecord.from_json(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return ReportsRecord()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.FolderError(
            f"{path}: cannot be read: {error}", "Remove the file and run cellvision report again"
        ) from None


class ReportedResults:
    """Results with a folder, on which reporters report: a run, study, evaluation or audit."""

    folder: Path
    """The folder of the results; reports are in ``reports`` below it."""

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """What reporters wrote about these results, in the order of the page."""
        reports = self.folder / "reports"
        return read_reports(reports).located_in(reports)

    @property
    def reports(self) -> tuple[ReporterRecord, ...]:
        """The reporters that reported on these results, with their settings and files."""
        return read_reports(self.folder / "reports").reporters

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise errors.FolderError(f"{path}: no such file", "Restore it or train again.")
        return path


def write_reports(reports: Path, record: ReportsRecord) -> None:
    """Write the record, whole or not at all."""
    atomic_io.text(reports / ARTIFACTS_FILE, record.to_json())
