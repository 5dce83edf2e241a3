"""The reporter interface: turns a finished run or study into files for people and tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cellvision import errors
from cellvision.component import Component
from cellvision.interfaces.artifact import Artifact
from cellvision.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cellvision.data.audit import Audit
    from cellvision.experiment import Experiment
    from cellvision.results.audits import AuditReport
    from cellvision.results.run import Run
    from cellvision.results.study import Study


class Reporter(Component, group="cellvision.reporters"):
    """Writes files about a finished run or study, and can follow the epochs of a run.

    A reporter defines `run`, `study`, `audit`, `on_epoch_end`, or several of them. It writes only
    below the folder that it is given, and returns an `Artifact` for each file that others should
    show.
    """

    enabled_by_default: ClassVar[bool] = False
    """Whether it runs if the experiment names no reporters."""

    runs_first: ClassVar[bool] = False
    """Whether it runs before other reporters because they read its artifacts."""

    runs_last: ClassVar[bool] = False
    """Whether it runs after other reporters because it reads their artifacts."""

    def run(self, run: Run, folder: Path) -> Sequence[Artifact]:
        """Report on one run.

        Parameters
        ----------
        run
            The finished run; or an `Evaluation`, which has test sets alone and no history.
        folder
            Existing folder to write to. It holds this reporter's files from an earlier report,
            and no others. Do not write anywhere else.

        Returns
        -------
        sequence of Artifact
            One artifact per file; empty if there is nothing to report. Files in subfolders may
            be left out, such as a cache that the next report reuses.
        """
        return ()

    def study(self, study: Study, folder: Path) -> Sequence[Artifact]:
        """Report on a study; see `run`."""
        return ()

    def audit(self, report: AuditReport, folder: Path) -> Sequence[Artifact]:
        """Report on an audit, before any training; see `run`.

        Parameters
        ----------
        report
            The audit (``report.audit``), its images (``report.audit.images``), and what other
            reporters wrote (``report.artifacts``).
        folder
            As for `run`.
        """
        return ()

    def figure(self, results: Run | Study | Audit) -> Figure:
        """Draw one figure, for ``run.plot(name)``; it writes no file.

        Parameters
        ----------
        results
            A run, a study or an audit.

        Returns
        -------
        matplotlib.figure.Figure
            Made without pyplot, so that a notebook does not show it twice.

        Raises
        ------
        errors.ExperimentError
            The reporter has no figure of these results.
        """
        kind = type(results).__name__.lower()
        raise errors.ExperimentError(
            f"the reporter {type(self).__name__} draws no single figure of this {kind}",
            "Its files, if it writes any, are in the folder reports: see run.artifacts",
        )

    def on_run_begin(self, folder: Path, experiment: Experiment) -> Reporter:
        """Return the reporter that follows the epochs of a run about to start.

        Several runs may be under way, so a reporter that keeps state for a run returns a copy of
        itself, for example ``self.model_copy()`` with a private attribute set.

        Parameters
        ----------
        folder
            The run's folder for reports. It may not exist yet; write to it in `on_epoch_end`,
            not here.
        experiment
            The experiment, with the seed of this run.
        """
        return self

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Process the metrics of an epoch that has just ended.

        Parameters
        ----------
        epoch
            Its number; the first is 1.
        logs
            ``loss``, ``accuracy``, further metrics of the architecture and, if there is a
            validation split, the same with ``val_`` in front.
        """


reporters: Registry[Reporter] = Reporter.registry
"""The registry of reporters."""
