"""Reporters that follow a training: tell them of its start and epochs, and record their faults."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.interfaces.reporter import Reporter, reporters
from cellvision.results.artifacts import ReporterRecord, read_reports, write_reports
from cellvision.results.report_folder import contained

if TYPE_CHECKING:
    from cellvision.experiment import Experiment

_log = logging.getLogger(__name__)


class FollowingReporters:
    """Tells reporters of the start and of each epoch of a run.

    A reporter that fails is dropped with a warning, and training continues.

    Parameters
    ----------
    selected
        Reporters of the experiment.
    run
        Folder of the run.
    experiment
        Experiment, with the run's seed.

    Attributes
    ----------
    active : list of Reporter
        Reporters that follow the run's epochs and have not failed.
    faults : list of tuple
        Reporters that failed, and what they raised.
    """

    def __init__(self, selected: Sequence[Reporter], run: Path, experiment: Experiment) -> None:
        self.active: list[Reporter] = []
        self.faults: list[tuple[Reporter, Exception]] = []
        for reporter in selected:
            try:
                with contained():
                    follower: object = reporter.on_run_begin(run / "reports", experiment)
                if not isinstance(follower, Reporter):
                    raise errors.PluginContractError(
                        f"on_run_begin() returned {type(follower).__name__}, not a reporter",
                        "Return self, or a copy that keeps the state of this run",
                    )
                self.active.append(follower)
            except Exception as error:  # noqa: BLE001 - third-party code; training continues
                self._note_fault(reporter, error)

    def epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Call `Reporter.on_epoch_end`.

        Parameters
        ----------
        epoch
            Number of the epoch.
        row
            Row of the history. Validation metrics that are NaN are left out.
        """
        validated = row["val_loss"] == row["val_loss"] or row["val_accuracy"] == row["val_accuracy"]
        metrics = [name for name in row if name not in ("epoch", "seconds")]
        names = [name for name in metrics if validated or not name.startswith("val_")]
        for reporter in tuple(self.active):
            try:
                with contained():
                    reporter.on_epoch_end(epoch, {name: row[name] for name in names})
            except Exception as error:  # noqa: BLE001 - third-party code; training continues
                self._note_fault(reporter, error)
                self.active = [each for each in self.active if each is not reporter]

    def _note_fault(self, reporter: Reporter, error: Exception) -> None:
        origin = reporters.origin_of(type(reporter))
        _log.warning("%s failed: %s", origin, errors.summarize(error))
        self.faults.append((reporter, error))


def record_training_faults(reports: Path, faults: Sequence[tuple[Reporter, Exception]]) -> None:
    """Record which reporters failed during a training, in ``artifacts.json``.

    Parameters
    ----------
    reports
        Folder ``reports`` of the run.
    faults
        The reporters, and what they raised.
    """
    if not faults:
        return
    reports.mkdir(exist_ok=True)
    record = read_reports(reports)
    entries = list(record.reporters)
    for reporter, error in faults:
        name = reporters.name_of(type(reporter))
        settings = reporter.model_dump(mode="json")
        earlier = next((entry for entry in entries if entry.reporter == name), None)
        entry = earlier or ReporterRecord(reporter=name, settings=settings)
        entries = [each for each in entries if each is not earlier]
        fault = errors.summarize(error)
        entries.append(entry.model_copy(update={"training_fault": fault}))
    write_reports(reports, record.model_copy(update={"reporters": tuple(entries)}))
