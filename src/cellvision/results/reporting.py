"""Making the reports of a finished run or study."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.interfaces.reporter import Reporter, reporters
from cellvision.progress import Display

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.results.run import Run
    from cellvision.results.study import Study

_log = logging.getLogger(__name__)


def default_reporters() -> tuple[Reporter, ...]:
    """Every installed reporter that reports without being named; those that gather others last.

    A broken one is passed over with a warning: nobody asked for it.
    """
    found = []
    for name in reporters.names():
        try:
            cls = reporters.get(name)
            if cls.enabled_by_default:
                found.append(reporters.create(name))
        except errors.InvalidInput as error:
            _log.warning("%s", error.what)
    return tuple(sorted(found, key=lambda reporter: reporter.runs_last))


def make_reports(
    finished: Run | Study, wanted: Sequence[Reporter], display: Display
) -> tuple[list[Path], list[errors.CellvisionError]]:
    """Let reporters report; the fault of one does not keep the others from it.

    Parameters
    ----------
    finished
        What they report on. Their files go to its folder ``reports``.
    wanted
        The reporters.
    display
        Shown to whoever waits.

    Returns
    -------
    made : list of pathlib.Path
        All files.
    faults : list of errors.CellvisionError
        One for each reporter that failed, with its cause chained.
    """
    from cellvision.results.run import Run

    folder = finished.folder / "reports"
    folder.mkdir(exist_ok=True)
    made: list[Path] = []
    faults: list[errors.CellvisionError] = []
    for number, reporter in enumerate(wanted):
        display.report(reporters.name_of(type(reporter)), number, len(wanted))
        report = reporter.run if isinstance(finished, Run) else reporter.study
        try:
            made += report(finished, folder)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - a stranger's code; the run is done and kept
            hint = f"The results are kept; try again: cellvision report {finished.folder}"
            faults.append(_fault(reporter, error, hint))
    display.report("", len(wanted), len(wanted))
    return made, faults


def begin_run(
    wanted: Sequence[Reporter], run: Path, experiment: Experiment
) -> tuple[Reporter, ...]:
    """Give those who are to be told of a run's epochs; see `Reporter.on_run_begin`.

    Parameters
    ----------
    wanted
        The reporters.
    run
        The run's folder.
    experiment
        The experiment, with the run's seed.
    """
    told = []
    for reporter in wanted:
        try:
            told.append(reporter.on_run_begin(run / "reports", experiment))
        except Exception as error:  # noqa: BLE001 - a stranger's code; the training goes on
            _log.warning("%s", _fault(reporter, error, "").what)
    return tuple(told)


def tell_epoch(
    told: Sequence[Reporter], epoch: int, row: Mapping[str, float]
) -> tuple[Reporter, ...]:
    """Tell reporters of a finished epoch, and give those who can be told of the next.

    One that fails is warned of and left out: the training goes on.

    Parameters
    ----------
    told
        The reporters.
    epoch
        Its number.
    row
        Its row of the history. Validation is passed on where there is any.
    """
    held = row["val_loss"] == row["val_loss"] or row["val_accuracy"] == row["val_accuracy"]
    names = ("loss", "accuracy", "val_loss", "val_accuracy") if held else ("loss", "accuracy")
    well = []
    for reporter in told:
        try:
            reporter.on_epoch_end(epoch, {name: row[name] for name in names})
        except Exception as error:  # noqa: BLE001 - a stranger's code; the training goes on
            _log.warning("%s", _fault(reporter, error, "").what)
        else:
            well.append(reporter)
    return tuple(well)


def _fault(reporter: Reporter, error: Exception, hint: str) -> errors.CellvisionError:
    name = reporters.name_of(type(reporter))
    first = (str(error).splitlines() or [""])[0]
    fault = errors.CellvisionError(
        f"reporter {name!r} failed: {type(error).__name__}: {first}", hint
    )
    fault.__cause__ = error
    return fault
