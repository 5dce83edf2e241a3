"""Controls that failed in a study: it is finished without them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cellvision import errors
from cellvision.results.reporting import is_full_disk

if TYPE_CHECKING:
    from cellvision.interfaces.control import Control
    from cellvision.studies.plan import PlannedRun

_log = logging.getLogger(__name__)


@contextmanager
def control_errors() -> Iterator[None]:
    """Turn what a run of a control raises into an error that `FailedControls.add` can judge.

    Keras, its backend and plugins raise errors of any class.

    Raises
    ------
    errors.FolderError
        The disk is full.
    errors.InvalidInput
        As raised inside.
    errors.TrainingError
        Anything else failed; the cause is chained.
    """
    try:
        yield
    except Exception as error:
        if is_full_disk(error) and not isinstance(error, errors.FolderError):
            raise errors.FolderError(
                f"a file cannot be written: {errors.first_line(error)}", "Free some disk space."
            ) from error
        if isinstance(error, errors.InvalidInput | errors.TrainingError):
            raise
        if isinstance(error, errors.CellvisionError):
            raise errors.TrainingError(error.what, error.hint) from error
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise errors.TrainingError(
            f"{errors.summarize(error)} ({frame.filename}, line {frame.lineno})"
        ) from error


class FailedControl(NamedTuple):
    """A control that failed, and why."""

    control: Control
    reason: str


class FailedControls:
    """Controls that failed, by experiment, and why.

    A control accompanies networks that may have trained for hours, so its failure does not end
    their study. The same call of `study` tries it again.
    """

    def __init__(self) -> None:
        self._failed: dict[tuple[str, str], FailedControl] = {}

    def __contains__(self, run: PlannedRun) -> bool:
        """Whether a run belongs to a control that failed for its experiment."""
        return (run.experiment_name, run.control) in self._failed

    def add(self, run: PlannedRun, error: BaseException) -> bool:
        """Record the error of a run, if it is the fault of a control.

        Parameters
        ----------
        run
            The run.
        error
            What it raised, as `control_errors` converts it. Full disks, folders that cannot be
            written and killed processes are no fault of a control.

        Returns
        -------
        bool
            Whether the study goes on without the control.
        """
        is_fault = isinstance(error, errors.InvalidInput | errors.TrainingError) and not isinstance(
            error, OSError
        )
        if run.control is None or run.component is None or not is_fault:
            return False
        if run not in self:
            reason = error.what if isinstance(error, errors.CellvisionError) else str(error)
            self._failed[run.experiment_name, run.control] = FailedControl(run.component, reason)
            _log.warning(
                "the study goes on without the control %r: %s. When this is corrected, the same "
                "command runs it.",
                run.control,
                reason.removesuffix("."),
            )
        return True

    @contextmanager
    def catching(self, run: PlannedRun) -> Iterator[None]:
        """Record what a run raises if it is the fault of a control; raise it otherwise."""
        if run.component is None:
            yield
            return
        try:
            with control_errors():
                yield
        except errors.CellvisionError as error:
            if not self.add(run, error):
                raise

    def without(self, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
        """Return the runs that belong to no failed control."""
        return [run for run in runs if run not in self]

    def of(self, experiment_name: str) -> dict[str, FailedControl]:
        """Return the controls of an experiment that failed, by name."""
        return {
            control: failed
            for (name, control), failed in self._failed.items()
            if name == experiment_name
        }
