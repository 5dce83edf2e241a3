"""Compare a network with an expert on the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from cellvision import statistics
from cellvision_reporters.expert.answers import CANNOT_SAY, join_answers
from cellvision_reporters.expert.record import (
    AgreementRecord,
    ExpertComparison,
    IntervalRecord,
    McNemarRecord,
)
from cellvision_reporters.figures.phrasing import format_groups

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision import Run

Declared = Literal["run", "mean"]
"""What to compare: one run, or the mean over the runs of a study."""

CANNOT_TELL = "cannot tell"
"""Verdict if the interval of the difference contains zero."""


@dataclass(frozen=True, eq=False)
class ComparedImages:
    """Result of one comparison, with its images.

    Attributes
    ----------
    record : ExpertComparison
        The result as stored in ``expert.json``.
    table : pandas.DataFrame
        One row per image that both classified: image, group, label, the expert's ``answer``, and
        the network's ``predicted`` class with its probabilities, averaged over runs.
    """

    record: ExpertComparison
    table: pd.DataFrame

    def disagreements(self) -> pd.DataFrame:
        """Return the images with different answers, with a column ``margin``, largest first.

        The margin is the network's probability of its predicted class minus that of the class
        that the expert chose.
        """
        return _disagreements(self.table)


def _disagreements(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["predicted"] != table["answer"]]
    margin = [
        float(row[f"p_{row['predicted']}"]) - float(row[f"p_{row['answer']}"])
        for row in rows.to_dict("records")
    ]
    ranked = rows.assign(margin=margin)
    return ranked.sort_values(["margin", "image"], ascending=[False, True], ignore_index=True)


def compare_all(
    experiments: Mapping[str, Sequence[Run]],
    answers: Mapping[str, pd.DataFrame],
    declared: Declared,
) -> list[ComparedImages]:
    """Compare every experiment with every rater on every test set with answers.

    Parameters
    ----------
    experiments
        Runs of each experiment, by name; the name is empty for a single run.
    answers
        Answers of each rater, by name.
    declared
        What to compare.
    """
    comparisons = [
        compare(runs, rows, split, declared, name)
        for name, runs in experiments.items()
        for split in runs[0].test_splits
        for rows in answers.values()
    ]
    return [comparison for comparison in comparisons if comparison is not None]


def compare(
    runs: Sequence[Run],
    answers: pd.DataFrame,
    split: str,
    declared: Declared,
    experiment: str = "",
) -> ComparedImages | None:
    """Compare on the images that both classified; None if there are none.

    Images for which the expert said "cannot say" are counted, with the network's accuracy there.

    Parameters
    ----------
    runs
        Runs of one experiment; ``"run"`` uses only the first.
    answers
        Answers of one rater.
    split
        Name of the test set.
    declared
        What to compare.
    experiment
        Name of the experiment.

    Raises
    ------
    errors.InvalidInput
        The answers belong to other images.
    """
    import numpy as np

    compared = list(runs[:1] if declared == "run" else runs)
    joined = [join_answers(answers, run, split) for run in compared]
    tables = [table[table["answer"] != CANNOT_SAY].reset_index(drop=True) for table in joined]
    if tables[0].empty:
        return None
    unanswered = Unanswered.of(joined)
    first, column, names = tables[0], compared[0].unit_column, compared[0].class_names
    labels, expert_classes = first["label"].to_numpy(), first["answer"].to_numpy()
    predicted = np.stack([table["predicted"].to_numpy() for table in tables])
    groups = compared[0].independent_units(first["image"])
    right, expert_right = predicted == labels, expert_classes == labels
    network, difference = _intervals(
        right, expert_right, groups, cross_validated=compared[0].cross_validated
    )
    rater = str(answers["rater"].iloc[0])
    verdict = _verdict(difference)
    subject = "the network" if declared == "run" else f"the mean of {len(compared)} networks"
    agreement = _agreement_matrix(predicted, expert_classes, names)
    images = _mean_probabilities(tables, names)
    expert = statistics.accuracy_interval(expert_right, groups)
    record = ExpertComparison(
        experiment=experiment,
        split=split,
        rater=rater,
        declared=declared,
        runs=tuple(run.folder.name for run in compared),
        n=len(first),
        evaluated=int((compared[0].predictions["split"] == split).sum()),
        group_column=compared[0].group_column,
        unit_column=column,
        network=_interval_record(network),
        expert=_interval_record(expert),
        difference=_interval_record(difference),
        verdict=verdict,
        sentence=_sentence(verdict, subject, rater, split, (network, expert, difference), column)
        + unanswered.sentence(rater),
        unanswered=unanswered.images,
        network_on_unanswered=unanswered.network_accuracy,
        mcnemar=tuple(
            McNemarRecord(run=run.folder.name, **asdict(statistics.mcnemar(row, expert_right)))
            for run, row in zip(compared, right, strict=True)
        ),
        class_names=names,
        agreement=agreement,
        agreed=sum(row[index] for index, row in enumerate(agreement)) / len(first),
        disagreements=tuple(_disagreements(images)["image"]),
    )
    return ComparedImages(record, images)


@dataclass(frozen=True)
class Unanswered:
    """The images for which an expert could not say the class.

    Attributes
    ----------
    images : int
        How many.
    network_accuracy : float or None
        Fraction of them that the network has right, mean over runs; None without such images.
    """

    images: int
    network_accuracy: float | None

    @classmethod
    def of(cls, joined: Sequence[pd.DataFrame]) -> Unanswered:
        """Count them in the joined tables of several runs."""
        rows = [table[table["answer"] == CANNOT_SAY] for table in joined]
        if rows[0].empty:
            return cls(0, None)
        right = [float((table["predicted"] == table["label"]).mean()) for table in rows]
        return cls(len(rows[0]), sum(right) / len(right))

    def sentence(self, rater: str) -> str:
        """State it, with a blank before; empty if the expert always answered."""
        if self.network_accuracy is None:
            return ""
        images = "image" if self.images == 1 else "images"
        return (
            f" {rater} could not say the class of {self.images} further {images}, of which the "
            f"network has {self.network_accuracy:.0%} right."
        )


def _intervals(
    right: np.ndarray,
    expert_right: np.ndarray,
    groups: np.ndarray | None,
    *,
    cross_validated: bool,
) -> tuple[statistics.Interval, statistics.Interval]:
    """Return the intervals of the network's accuracy and of the difference, over all runs."""
    mean = right.mean(axis=0)
    network = statistics.accuracy_interval(mean, groups)
    difference = statistics.paired_difference(mean, expert_right, groups)
    if not cross_validated:
        return network, difference
    factor = statistics.CROSS_VALIDATION_FACTOR
    return network.widened(factor), difference.widened(factor, (-1.0, 1.0))


def _interval_record(interval: statistics.Interval) -> IntervalRecord:
    return IntervalRecord.model_validate(asdict(interval))


def _verdict(difference: statistics.Interval) -> str:
    if difference.low > 0:
        return "network better"
    if difference.high < 0:
        return "expert better"
    return CANNOT_TELL


def _sentence(
    verdict: str,
    subject: str,
    rater: str,
    split: str,
    intervals: tuple[statistics.Interval, statistics.Interval, statistics.Interval],
    column: str | None,
) -> str:
    network, expert, difference = intervals
    source = f" from {format_groups(difference.groups, column)}" if column else ""
    statement = {
        "network better": f"{subject} is better than {rater}",
        "expert better": f"{rater} is better than {subject}",
        CANNOT_TELL: f"cannot tell whether {subject} or {rater} is better",
    }[verdict]
    return (
        f"{split}: {statement} (accuracy {network.estimate:.2f} against {expert.estimate:.2f}, "
        f"difference {difference.estimate:+.2f}, 95 % interval {difference.low:+.2f} to "
        f"{difference.high:+.2f}; n = {difference.n} images{source})."
    )


def _agreement_matrix(
    predicted: np.ndarray, answers: np.ndarray, names: Sequence[str]
) -> tuple[tuple[float, ...], ...]:
    """Count images by the network's class (row) and the expert's (column); mean over runs."""
    import numpy as np

    index = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    columns = [index[name] for name in answers]
    for row in predicted:
        np.add.at(counts, ([index[name] for name in row], columns), 1)
    return tuple(tuple(count / len(predicted) for count in row) for row in counts.tolist())


def _mean_probabilities(tables: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    import numpy as np

    columns = [f"p_{name}" for name in names]
    mean = np.mean([table[columns].to_numpy(float) for table in tables], axis=0)
    return tables[0][["image", "group", "label", "answer"]].assign(
        predicted=[names[number] for number in mean.argmax(axis=1)],
        **{name: mean[:, number] for number, name in enumerate(columns)},
    )


def rater_agreement(answers: Mapping[str, pd.DataFrame], run: Run) -> list[AgreementRecord]:
    """Compute Cohen's kappa of each rater with itself, and of each pair of raters.

    Images that were shown twice give the agreement of a rater with itself. The interval is over
    groups if the table of answers names them, or over what the folds of the run leave out if that
    is coarser. Images for which either answer is "cannot say" are left out.
    """
    answers = {name: _with_units(table, run) for name, table in answers.items()}
    records = []
    names = list(answers)
    for index, name in enumerate(names):
        first, second = _repeat(answers[name], 1), _repeat(answers[name], 2)
        records.append(_kappa(name, "itself", first, second))
        records += [
            _kappa(name, other, first, _repeat(answers[other], 1)) for other in names[index + 1 :]
        ]
    known = [record for record in records if record is not None]
    return sorted(known, key=lambda record: record.other != "itself")


def _with_units(answers: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Replace groups by the independent units of a run, if these are coarser."""
    images = run.predictions["image"]
    units = run.independent_units(images)
    if units is None or run.unit_column == run.group_column or "group" not in answers.columns:
        return answers
    by_image = dict(zip(images, units, strict=True))
    pairs = zip(answers["image"], answers["group"], strict=True)
    return answers.assign(group=[by_image.get(image, group) for image, group in pairs])


def _repeat(answers: pd.DataFrame, number: int) -> pd.DataFrame:
    return answers[answers["repeat"] == number]


def _kappa(
    rater: str, other: str, first: pd.DataFrame, second: pd.DataFrame
) -> AgreementRecord | None:
    columns = ["split", "image", "answer"]
    grouped = [*columns, "group"] if "group" in first.columns else columns
    pairs = first[grouped].merge(second[columns], on=columns[:2])
    pairs = pairs[(pairs["answer_x"] != CANNOT_SAY) & (pairs["answer_y"] != CANNOT_SAY)]
    if pairs.empty:
        return None
    known = "group" in pairs.columns and bool((pairs["group"] != "").all())
    groups = pairs["group"].to_numpy() if known else None
    kappa = asdict(statistics.cohen_kappa(pairs["answer_x"], pairs["answer_y"], groups=groups))
    values: dict[str, Any] = {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in kappa.items()
    }
    return AgreementRecord.model_validate({"rater": rater, "with": other, **values})
