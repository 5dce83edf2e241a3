"""What the standards describe: one run, or one experiment of a study."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cellvision import errors

if TYPE_CHECKING:
    from cellvision import Audit, Run, Study
    from cellvision.results.study import StudyExperiment
    from cellvision.results.verdicts import VerdictRecord


@dataclass(frozen=True, eq=False)
class Subject:
    """One run, or one experiment of a study.

    Attributes
    ----------
    results : Run or Study
        What is reported on.
    experiment : StudyExperiment or None
        The experiment; None for a run.
    run : Run
        The run whose images and settings are described.
    """

    results: Run | Study
    experiment: StudyExperiment | None
    run: Run

    @classmethod
    def of(cls, results: Run | Study, experiment: str | None = None) -> Subject:
        """Choose what to describe.

        Raises
        ------
        errors.InvalidInput
            The study has no experiment of that name.
        """
        from cellvision import Study

        if not isinstance(results, Study):
            return cls(results, None, results)
        for each in results.experiments:
            if experiment in (None, each.name):
                return cls(results, each, each.example)
        raise errors.InvalidInput(
            f"there is no experiment {experiment!r}", f"Choose from: {', '.join(results.names)}"
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The experiment as plain values."""
        return dict(self.run.metadata.experiment)

    @property
    def networks(self) -> tuple[Run, ...]:
        """The runs that were trained."""
        return (self.run,) if self.experiment is None else self.experiment.networks

    @property
    def verdicts(self) -> tuple[VerdictRecord, ...]:
        """Its verdicts; empty for a run."""
        from cellvision import Study

        if not isinstance(self.results, Study) or self.experiment is None:
            return ()
        name = self.experiment.name
        return tuple(each for each in self.results.verdicts if each.experiment == name)

    @cached_property
    def audit(self) -> Audit | None:
        """The audit of its images; None if its file is missing or damaged."""
        try:
            return self.run.audit
        except errors.FolderError:
            return None
