"""Content of ``expert.json``: the stored comparison of network and expert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellvision import errors
from cellvision_reporters.figures.phrasing import capitalise

if TYPE_CHECKING:
    from cellvision import Run, Study

FILE_NAME = "expert.json"
"""File name in the folder of reports."""

SCHEMA = 1
"""Version of the format."""


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, use_attribute_docstrings=True
    )


class IntervalRecord(_Record):
    """An estimate with its interval; see `cellvision.statistics.Interval`."""

    estimate: float
    """The estimate."""

    low: float
    """Lower limit."""

    high: float
    """Upper limit."""

    n: int
    """Number of images."""

    groups: int | None
    """Number of groups; None if they are unknown."""

    method: str
    """Method of the interval."""

    warning: str | None = None
    """Why the interval is less reliable than usual; None if it is not."""


class McNemarRecord(_Record):
    """McNemar's exact test of one run against the expert."""

    run: str
    """Folder name of the run."""

    both: int
    """Number of images that both classify correctly."""

    only_a: int
    """Number of images that only the network classifies correctly."""

    only_b: int
    """Number of images that only the expert classifies correctly."""

    neither: int
    """Number of images that both classify wrongly."""

    p: float
    """p-value."""


class ExpertComparison(_Record):
    """One network, or the mean of several, against one expert on one test set."""

    experiment: str
    """Name of the experiment in a study; empty for a run."""

    split: str
    """Name of the test set."""

    rater: str
    """Name of the expert."""

    declared: str
    """What was compared: ``run`` or ``mean``."""

    runs: tuple[str, ...]
    """Folder names of the runs."""

    n: int
    """Number of images that both classified."""

    evaluated: int
    """Number of images in the test set."""

    group_column: str | None
    """Provenance column that names the groups."""

    unit_column: str | None = None
    """Provenance column of the independent groups, over which the intervals are."""

    network: IntervalRecord
    """Accuracy of the network."""

    expert: IntervalRecord
    """Accuracy of the expert."""

    difference: IntervalRecord
    """Accuracy of the network minus that of the expert."""

    verdict: str
    """``network better``, ``expert better`` or ``cannot tell``."""

    sentence: str
    """The verdict as a sentence, with its evidence."""

    mcnemar: tuple[McNemarRecord, ...]
    """McNemar's test of each run; it treats images as independent."""

    class_names: tuple[str, ...]
    """The classes."""

    agreement: tuple[tuple[float, ...], ...]
    """Number of images by the network's class (row) and the expert's (column); mean over runs."""

    agreed: float
    """Fraction of images that both assign to the same class."""

    unanswered: int = 0
    """Number of images for which the expert said "cannot say"; they are not among `n`."""

    network_on_unanswered: float | None = None
    """Fraction of them that the network has right; None without such images."""

    disagreements: tuple[str, ...]
    """Images with different answers, the network's most confident first."""

    @property
    def title(self) -> str:
        """Experiment, test set and rater, as a heading."""
        return " ".join(part for part in (self.experiment, self.split, self.rater) if part)


class AgreementRecord(_Record):
    """Cohen's kappa of two raters, or of one rater with itself."""

    rater: str
    """Name of the rater."""

    other: Annotated[str, Field(alias="with")]
    """Name of the other rater, or ``itself``."""

    kappa: float | None
    """Cohen's kappa; None if it is undefined."""

    low: float | None
    """Lower limit of the 95 % interval."""

    high: float | None
    """Upper limit of the 95 % interval."""

    agreement: float
    """Fraction of images with the same answer."""

    n: int
    """Number of images."""

    warning: str | None = None
    """Why kappa is less reliable than usual; None if it is not."""


class ExpertRecord(_Record):
    """Content of ``expert.json``."""

    schema_: Annotated[int, Field(alias="schema")] = SCHEMA
    """Version of the format."""

    answers: str
    """Path of the table of answers."""

    rater: str | None
    """The rater whose answers were used; None for all."""

    declared: str
    """What was compared: ``run`` or ``mean``."""

    declared_beforehand: bool
    """Whether the experiment declared the comparison before training."""

    comparisons: tuple[ExpertComparison, ...]
    """One comparison per experiment, test set and rater."""

    agreement: tuple[AgreementRecord, ...] = ()
    """Agreement of raters with themselves and with each other."""

    def statement(self, comparison: ExpertComparison) -> str:
        """Return a comparison's sentence, with a note if it was not declared beforehand."""
        note = "" if self.declared_beforehand else " NOT declared before training."
        return f"{capitalise(comparison.sentence)}{note}"

    def to_json(self) -> str:
        """Return the record as JSON."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"


def read_expert_record(results: Run | Study) -> ExpertRecord | None:
    """Read the stored comparison of a run or study; None if there is none.

    Raises
    ------
    errors.FolderError
        The file cannot be read.
    """
    path: Path = results.folder / "reports" / FILE_NAME
    try:
        return ExpertRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise errors.FolderError(
            f"{path}: cannot be read: {errors.first_line(error)}",
            "Run cellvision report --reporter expert again",
        ) from None


def expert_accuracies(study: Study) -> dict[str, tuple[float, ...]]:
    """Return the accuracy of each expert, by test set, to draw as lines in figures.

    For test sets without a comparison, use the accuracy passed to the study, if any.
    """
    accuracies = {split: (value,) for split, value in study.metadata.expert.items()}
    record = read_expert_record(study)
    names = [experiment.name for experiment in study.experiments if experiment.runs]
    by_split: dict[str, tuple[float, ...]] = {}
    for comparison in record.comparisons if record else ():
        if comparison.experiment == names[0]:
            values = (*by_split.get(comparison.split, ()), comparison.expert.estimate)
            by_split[comparison.split] = values
    return accuracies | by_split
