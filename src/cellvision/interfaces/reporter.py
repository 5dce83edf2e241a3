"""What a person or a tool gets to see of a finished run or study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cellvision.component import Component

if TYPE_CHECKING:
    from cellvision.experiment import Experiment
    from cellvision.results.run import Run
    from cellvision.results.study import Study


class Reporter(Component, group="cellvision.reporters"):
    """Files made from a finished run or study, and optionally a look at every epoch.

    A reporter defines `run`, `study` or both.
    """

    enabled_by_default: ClassVar[bool] = False
    """Whether it reports on runs and studies whose experiment names no reporters."""

    runs_last: ClassVar[bool] = False
    """Whether it uses files that other reporters make, and so comes after them."""

    def run(self, run: Run, folder: Path) -> Sequence[Path]:
        """Report on one run.

        Parameters
        ----------
        run
            The finished run.
        folder
            Where to write; it exists, and nothing is written elsewhere.

        Returns
        -------
        sequence of pathlib.Path
            The files that were made; empty where there is nothing to say.
        """
        return ()

    def study(self, study: Study, folder: Path) -> Sequence[Path]:
        """Report on a study; as for `run`."""
        return ()

    def on_run_begin(self, folder: Path, experiment: Experiment) -> Reporter:
        """Give the reporter that is told of the epochs of a run that is about to start.

        By default that is this one. A reporter that has to know whose epochs they are gives a
        copy of itself that does, such as ``self.model_copy()`` with a private attribute set:
        it stays as it is itself, for several runs may be under way.

        Parameters
        ----------
        folder
            Where `run` will write, and where `epoch` may write already; it need not exist
            yet. Nothing is written now.
        experiment
            What is asked, with this run's seed.
        """
        return self

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Look at an epoch that has just ended.

        Parameters
        ----------
        epoch
            Its number; the first is 1.
        logs
            ``loss``, ``accuracy`` and, where there is a validation split, ``val_loss`` and
            ``val_accuracy``.
        """


reporters = Reporter.registry
"""The registry of reporters."""
