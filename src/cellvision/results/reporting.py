"""Run the reporters of a finished run, study or audit."""

from __future__ import annotations

import errno
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.interfaces.artifact import Artifact
from cellvision.interfaces.reporter import Reporter, reporters
from cellvision.progress import Display
from cellvision.results.artifact_contract import checked_artifacts
from cellvision.results.artifacts import (
    ArtifactRecord,
    ReporterRecord,
    read_reports,
    write_reports,
)
from cellvision.results.report_folder import Safeguard, Workspace, contained

if TYPE_CHECKING:
    from cellvision.results.audits import AuditReport
    from cellvision.results.run import Run
    from cellvision.results.study import Study

_log = logging.getLogger(__name__)

_NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Numbers of errors by which a system says that a disk is full, or cannot be written at all."""


class _ResultsDamaged(errors.PluginContractError):
    """A reporter damaged files that could not be restored."""


def default_reporters() -> tuple[Reporter, ...]:
    """Return the installed reporters that are enabled by default, in the order they run.

    Broken ones are skipped with a warning, because nobody selected them. Those whose source code
    says that they are not enabled are not even imported.
    """
    selected = []
    for name in map(reporters.default, reporters.names_that_may_override("enabled_by_default")):
        try:
            cls = reporters.get(name)
            if cls.enabled_by_default:
                selected.append(reporters.create(name))
        except errors.InvalidInput as error:
            _log.warning("%s", error.what)
    return _in_order(selected)


def _in_order(selected: Sequence[Reporter]) -> tuple[Reporter, ...]:
    return tuple(sorted(selected, key=lambda reporter: reporter.runs_last - reporter.runs_first))


def make_reports(
    finished: Run | Study | AuditReport, selected: Sequence[Reporter], display: Display
) -> tuple[list[Artifact], list[errors.CellvisionError]]:
    """Run reporters one after another; an error in one does not affect the others.

    ``reports/artifacts.json`` records the artifacts; they replace those of earlier reports by the
    same reporters.

    Parameters
    ----------
    finished
        Run, study or audit to report on. Files go to its folder ``reports``.
    selected
        Reporters to run. Those with ``runs_first`` run first, those with ``runs_last`` last.
    display
        Shows progress.

    Returns
    -------
    artifacts : list of Artifact
        Artifacts of all reporters.
    faults : list of errors.CellvisionError
        One error per reporter that failed, with its cause chained; an `errors.ReportError` if the
        disk is full. `warn_of_faults` treats them.
    """
    reports = finished.folder / "reports"
    if reports.is_symlink():  # what is there may not be replaced
        raise errors.FolderError(
            f"{reports} is a link to another folder", "Remove the link, then run this again."
        )
    artifacts: list[Artifact] = []
    faults: list[errors.CellvisionError] = []
    try:
        reports.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=reports):
            pass  # a folder without permission to write is one error, not one for each reporter
        _run_all(finished, selected, display, artifacts, faults)
    except OSError as error:  # such as a disk that is too full for copies of the results
        fault = errors.ReportError(
            f"{reports}: reports cannot be written: {error.strerror or error}", _cure(finished)
        )
        fault.__cause__ = error
        faults.append(fault)
    return artifacts, faults


def _run_all(
    finished: Run | Study | AuditReport,
    selected: Sequence[Reporter],
    display: Display,
    artifacts: list[Artifact],
    faults: list[errors.CellvisionError],
) -> None:
    """Run reporters one after another, and add their artifacts and faults."""
    names_run: set[str] = set()
    again = _again(finished)
    with Safeguard(finished.folder) as safeguard:
        for number, reporter in enumerate(_in_order(selected)):
            name = reporters.name_of(type(reporter))
            display.report(name, number, len(selected))
            try:
                artifacts += _report(finished, reporter, safeguard, again=name in names_run)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    f"the results in {finished.folder} are complete; to make the reports: {again}"
                ) from None
            except Exception as error:  # noqa: BLE001 - third-party code; the run is safe
                fault = _fault(reporter, error, again)
                if is_full_disk(error):
                    fault = errors.ReportError(fault.what, _cure(finished))
                    fault.__cause__ = error
                faults.append(fault)
            names_run.add(name)
            safeguard.remember()
    display.report("", len(selected), len(selected))


def _again(finished: Run | Study | AuditReport) -> str:
    """Return the command that makes the reports again; an audit does not know its own."""
    if hasattr(finished, "metadata"):
        return f"cellvision report {finished.folder}"
    return "give the same command again"


def _cure(finished: Run | Study | AuditReport) -> str:
    return (
        f"The results in {finished.folder} are complete. Check the free disk space and "
        f"permissions, then make the reports: {_again(finished)}"
    )


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that of a disk that cannot be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
            return True
        error = error.__cause__ or error.__context__
    return False


def warn_of_faults(
    finished: Run | Study | AuditReport, faults: Sequence[errors.CellvisionError]
) -> None:
    """Warn of reporters that failed; the fault of a plugin does not spoil finished results.

    Parameters
    ----------
    finished
        What the reports are about.
    faults
        As `make_reports` returns them.

    Raises
    ------
    errors.ReportError
        The disk is full, so a command must not end as if all had been written.
    """
    full = next((fault for fault in faults if isinstance(fault, errors.ReportError)), None)
    for fault in faults:
        if fault is not full:
            _log.warning("%s", fault.what)
    if full is not None:
        full.finished = finished
        raise full


def _report(
    finished: Run | Study | AuditReport, reporter: Reporter, safeguard: Safeguard, *, again: bool
) -> list[Artifact]:
    """Run one reporter in a separate folder, and record its artifacts."""
    name = reporters.name_of(type(reporter))
    reports = finished.folder / "reports"
    record = read_reports(reports)
    # A second reporter of this name in the same report must not remove the files of the first.
    earlier = [entry for entry in record.reporters if entry.reporter == name and not again]
    others = [entry for entry in record.reporters if entry not in earlier]
    owners = {file: entry.reporter for entry in others for file in entry.files}
    workspace = Workspace(reports, name, [f for entry in earlier for f in entry.files], owners)
    workspace.open()
    safeguard.remember()
    entry = ReporterRecord(
        reporter=name,
        settings=reporter.model_dump(mode="json"),
        training_fault=earlier[0].training_fault if earlier else "",
    )
    result = earlier[0] if earlier else entry  # recorded if the reporter fails
    try:
        with contained():
            artifacts = _call(reporter, finished, workspace.folder)
        result = entry.model_copy(update={"artifacts": artifacts})
        workspace.remove_stale(
            [artifact.path for artifact in artifacts],
            [artifact.path for old in earlier for artifact in old.artifacts],
        )
    except Exception as error:
        result = result.model_copy(update={"fault": errors.summarize(error)})
        raise
    finally:
        restored, lost = safeguard.restore()
        files, refused = workspace.close()
        records = tuple(artifact for artifact in result.artifacts if artifact.path not in refused)
        result = result.model_copy(update={"artifacts": records, "files": tuple(files)})
        worth_recording = files or result.fault or result.training_fault
        entries = (*others, result) if worth_recording else tuple(others)
        write_reports(reports, record.model_copy(update={"reporters": entries}))
        if lost:  # also if the reporter failed
            raise _damage(lost)
    if refused or restored:
        raise _trespass(workspace, refused, restored)
    return [artifact.located_in(reports) for artifact in records]


def _call(
    reporter: Reporter, finished: Run | Study | AuditReport, folder: Path
) -> tuple[ArtifactRecord, ...]:
    """Call the reporter, and validate the artifacts that it returns."""
    from cellvision.results.run import Run
    from cellvision.results.study import Study

    if isinstance(finished, Run):
        returned = reporter.run(finished, folder)
    elif isinstance(finished, Study):
        returned = reporter.study(finished, folder)
    else:
        returned = reporter.audit(finished, folder)
    return checked_artifacts(returned, folder)


def _trespass(
    workspace: Workspace, refused: Sequence[str], restored: Sequence[str]
) -> errors.PluginContractError:
    if refused:
        return errors.PluginContractError(
            f"it wrote {refused[0]!r}, which belongs to {workspace.owner(refused[0])!r}",
            "Start file names with the reporter's name",
        )
    return errors.PluginContractError(
        f"it changed or removed {restored[0]!r}, which it does not own; the file was restored",
        "Write only to the folder that is passed to the reporter",
    )


def _damage(lost: Sequence[str]) -> _ResultsDamaged:
    return _ResultsDamaged(
        f"it changed or removed {', '.join(map(repr, lost))}, which it does not own; "
        "so large a file is not copied beforehand, and was not restored",
        "Restore it from a backup or train again, and report this to the reporter's author",
    )


def _fault(reporter: Reporter, error: Exception, again: str) -> errors.CellvisionError:
    """Return the error of a reporter, with its distribution and cure.

    Parameters
    ----------
    reporter, error
        The reporter, and what it raised.
    again
        Command that runs the reporter again.
    """
    origin = reporters.origin_of(type(reporter))
    own_hint = error.hint if isinstance(error, errors.CellvisionError) else ""
    cure = own_hint or "Its author can find the fault with --debug"
    safe = "" if isinstance(error, _ResultsDamaged) else "The results are safe. "
    hint = f"{safe}{cure.rstrip('.')}, then: {again}"
    fault = errors.CellvisionError(f"{origin} failed: {errors.summarize(error)}", hint)
    fault.__cause__ = error
    return fault
