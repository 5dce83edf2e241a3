"""Runs the reporters of a finished run or study, and tells them about epochs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from cellvision import errors
from cellvision.interfaces.artifact import Artifact, ArtifactKind
from cellvision.interfaces.reporter import Reporter, reporters
from cellvision.progress import Display
from cellvision.results.artifacts import (
    ArtifactRecord,
    ReporterRecord,
    read_reports,
    write_reports,
)
from cellvision.results.report_folder import Safeguard, Workspace, contained

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.results.run import Run
    from cellvision.results.study import Study

_log = logging.getLogger(__name__)


def default_reporters() -> tuple[Reporter, ...]:
    """Return every installed reporter that is enabled by default, in the order in which they run.

    A broken one is skipped with a warning, since nobody named it.
    """
    found = []
    for name in map(reporters.default, reporters.names()):
        try:
            cls = reporters.get(name)
            if cls.enabled_by_default:
                found.append(reporters.create(name))
        except errors.InvalidInput as error:
            _log.warning("%s", error.what)
    return _in_order(found)


def _in_order(selected: Sequence[Reporter]) -> tuple[Reporter, ...]:
    return tuple(sorted(selected, key=lambda reporter: reporter.runs_last - reporter.runs_first))


def make_reports(
    finished: Run | Study, selected: Sequence[Reporter], display: Display
) -> tuple[list[Artifact], list[errors.CellvisionError]]:
    """Run reporters one after another; a fault costs only the reporter that has it.

    The artifacts are recorded in ``reports/artifacts.json``, where they replace those of earlier
    reports by the same reporters.

    Parameters
    ----------
    finished
        The run or study. Files go to its folder ``reports``.
    selected
        The reporters. Those with ``runs_first`` run first and those with ``runs_last`` last.
    display
        Shows the progress.

    Returns
    -------
    artifacts : list of Artifact
        The artifacts of all reporters.
    faults : list of errors.CellvisionError
        One for each reporter that failed, with its cause chained.
    """
    (finished.folder / "reports").mkdir(exist_ok=True)
    artifacts: list[Artifact] = []
    faults: list[errors.CellvisionError] = []
    done: set[str] = set()
    with Safeguard(finished.folder) as safeguard:
        for number, reporter in enumerate(_in_order(selected)):
            name = reporters.name_of(type(reporter))
            display.report(name, number, len(selected))
            try:
                artifacts += _report(finished, reporter, safeguard, again=name in done)
            except Exception as error:  # noqa: BLE001 - third-party code; the run is kept
                hint = f"The results are kept. Try again: cellvision report {finished.folder}"
                faults.append(_fault(reporter, error, hint))
            done.add(name)
            safeguard.remember()
    display.report("", len(selected), len(selected))
    return artifacts, faults


def _report(
    finished: Run | Study, reporter: Reporter, safeguard: Safeguard, *, again: bool
) -> list[Artifact]:
    """Run one reporter in a folder of its own, and record its artifacts."""
    name = reporters.name_of(type(reporter))
    reports = finished.folder / "reports"
    record = read_reports(reports)
    # A second reporter of this name in one report, with other settings, keeps the first's files.
    earlier = [entry for entry in record.reporters if entry.reporter == name and not again]
    others = [entry for entry in record.reporters if entry not in earlier]
    owners = {file: entry.reporter for entry in others for file in entry.files}
    workspace = Workspace(reports, name, [f for entry in earlier for f in entry.files], owners)
    workspace.open()
    safeguard.remember()
    entry = ReporterRecord(reporter=name, settings=reporter.model_dump(mode="json"))
    kept = earlier[0] if earlier else entry  # what is recorded if the reporter fails
    try:
        with contained():
            artifacts = _call(reporter, finished, workspace.folder)
        kept = entry.model_copy(update={"artifacts": artifacts})
        workspace.remove_stale(
            [artifact.path for artifact in artifacts],
            [artifact.path for old in earlier for artifact in old.artifacts],
        )
    except Exception as error:
        kept = kept.model_copy(update={"fault": _reason(error)})
        raise
    finally:
        damaged = safeguard.restore()
        files, refused = workspace.close()
        recorded = tuple(each for each in kept.artifacts if each.path not in refused)
        kept = kept.model_copy(update={"artifacts": recorded, "files": tuple(files)})
        entries = (*others, kept) if files or kept.fault else tuple(others)
        write_reports(reports, record.model_copy(update={"reporters": entries}))
    if refused or damaged:
        raise _trespass(workspace, refused, damaged)
    return [artifact.located_in(reports) for artifact in recorded]


def _call(reporter: Reporter, finished: Run | Study, folder: Path) -> tuple[ArtifactRecord, ...]:
    """Call the reporter, and check what it returns."""
    from cellvision.results.run import Run

    returned = (
        reporter.run(finished, folder)
        if isinstance(finished, Run)
        else reporter.study(finished, folder)
    )
    hint = "Return a list of cellvision.Artifact, one for each file"
    if isinstance(returned, str) or not isinstance(returned, Sequence):
        raise errors.PluginContractError(f"it returned {type(returned).__name__}, no list", hint)
    return tuple(_record_of(artifact, folder.resolve(), hint) for artifact in returned)


def _record_of(artifact: object, folder: Path, hint: str) -> ArtifactRecord:
    if not isinstance(artifact, Artifact):
        raise errors.PluginContractError(f"it returned {artifact!r}, which is no Artifact", hint)
    path = Path(artifact.path)
    if not path.is_file():
        raise errors.PluginContractError(f"it returned {path}, which does not exist", hint)
    if path.is_symlink() or not path.resolve().is_relative_to(folder):
        raise errors.PluginContractError(
            f"it returned {path}, which is outside its folder",
            "Write only below the folder that is passed to the reporter",
        )
    if artifact.kind not in get_args(ArtifactKind):
        raise errors.PluginContractError(
            f"it returned an artifact of kind {artifact.kind!r}",
            f"Choose one of {', '.join(get_args(ArtifactKind))}",
        )
    return ArtifactRecord(
        path=path.resolve().relative_to(folder).as_posix(),
        title=str(artifact.title),
        kind=artifact.kind,
        caption=str(artifact.caption),
        order=int(artifact.order),
    )


def _trespass(
    workspace: Workspace, refused: Sequence[str], damaged: Sequence[str]
) -> errors.PluginContractError:
    if refused:
        return errors.PluginContractError(
            f"it wrote {refused[0]!r}, which belongs to {workspace.owner(refused[0])!r}",
            "Begin file names with the reporter's name",
        )
    return errors.PluginContractError(
        f"it changed or removed {damaged[0]!r}, which is not its own; the file was restored",
        "Write only below the folder that is passed to the reporter",
    )


def begin_run(
    selected: Sequence[Reporter], run: Path, experiment: Experiment
) -> tuple[Reporter, ...]:
    """Return the reporters that follow a run's epochs; see `Reporter.on_run_begin`.

    Parameters
    ----------
    selected
        The reporters.
    run
        The run's folder.
    experiment
        The experiment, with the run's seed.
    """
    followers = []
    for reporter in selected:
        try:
            with contained():
                followers.append(reporter.on_run_begin(run / "reports", experiment))
        except Exception as error:  # noqa: BLE001 - third-party code; training continues
            _log.warning("%s", _fault(reporter, error, "").what)
    return tuple(followers)


def tell_epoch(
    followers: Sequence[Reporter], epoch: int, row: Mapping[str, float]
) -> tuple[Reporter, ...]:
    """Pass an epoch's metrics to reporters, and return those that can take the next epoch.

    A reporter that fails is dropped with a warning, and training continues.

    Parameters
    ----------
    followers
        The reporters.
    epoch
        Its number.
    row
        Its row of the history. Validation metrics are passed on if they are not NaN.
    """
    validated = row["val_loss"] == row["val_loss"] or row["val_accuracy"] == row["val_accuracy"]
    names = ("loss", "accuracy", "val_loss", "val_accuracy") if validated else ("loss", "accuracy")
    remaining = []
    for reporter in followers:
        try:
            with contained():
                reporter.on_epoch_end(epoch, {name: row[name] for name in names})
        except Exception as error:  # noqa: BLE001 - third-party code; training continues
            _log.warning("%s", _fault(reporter, error, "").what)
        else:
            remaining.append(reporter)
    return tuple(remaining)


def _fault(reporter: Reporter, error: Exception, hint: str) -> errors.CellvisionError:
    name = reporters.name_of(type(reporter))
    fault = errors.CellvisionError(f"reporter {name!r} failed: {_reason(error)}", hint)
    fault.__cause__ = error
    return fault


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
