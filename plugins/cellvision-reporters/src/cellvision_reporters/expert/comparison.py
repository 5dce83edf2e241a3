"""A network and an expert on the same images: who is better, or that one cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from cellvision import statistics
from cellvision_reporters.expert.answers import same_images
from cellvision_reporters.figures.phrasing import units

if TYPE_CHECKING:
    import pandas as pd

    from cellvision import Run

Declared = Literal["run", "mean"]

CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, eq=False)
class Comparison:
    """One network, or the mean of several, against one expert on one test set.

    Attributes
    ----------
    experiment : str
        Its name in a study; empty for a run.
    split, rater : str
        Whose images, and whose answers.
    declared : {"run", "mean"}
        What is compared.
    runs : tuple of str
        The runs that are compared.
    images : pandas.DataFrame
        One row an image that both judged: image, group, label, answer, and the network's answer
        (``predicted``) with its probabilities, averaged over the runs.
    evaluated : int
        How many images the split has.
    group_column : str or None
        What the groups are.
    class_names : tuple of str
        The classes.
    network, expert, difference : Interval
        The accuracies, and the network's minus the expert's.
    tests : tuple of McNemar
        Of each run against the expert; images taken as independent.
    agreement : tuple of tuple of float
        Images by the network's class (row) and the expert's (column); the mean over runs.
    """

    experiment: str
    split: str
    rater: str
    declared: Declared
    runs: tuple[str, ...]
    images: pd.DataFrame
    evaluated: int
    group_column: str | None
    class_names: tuple[str, ...]
    network: statistics.Interval
    expert: statistics.Interval
    difference: statistics.Interval
    tests: tuple[statistics.McNemar, ...]
    agreement: tuple[tuple[float, ...], ...]

    @property
    def verdict(self) -> str:
        """Who is better; ``cannot tell`` whenever the interval of the difference holds zero."""
        if self.difference.low > 0:
            return "network better"
        if self.difference.high < 0:
            return "expert better"
        return CANNOT_TELL

    @property
    def subject(self) -> str:
        """The network, in words."""
        if self.declared == "run":
            return "the network"
        return f"the mean of {len(self.runs)} networks"

    @property
    def agreed(self) -> float:
        """The share of images that both call the same."""
        same = sum(row[place] for place, row in enumerate(self.agreement))
        return float(same / len(self.images))

    def sentence(self) -> str:
        """The answer, with all that it rests on."""
        gap = self.difference
        n = f"n = {len(self.images)} images"
        source = f" from {units(gap.groups, self.group_column)}" if self.group_column else ""
        interval = f"{gap.estimate:+.2f}, 95 % interval {gap.low:+.2f} to {gap.high:+.2f}"
        told = {
            "network better": f"{self.subject} is better than {self.rater}",
            "expert better": f"{self.rater} is better than {self.subject}",
            CANNOT_TELL: f"cannot tell whether {self.subject} or {self.rater} is better",
        }[self.verdict]
        return (
            f"{self.split}: {told} (accuracy {self.network.estimate:.2f} against "
            f"{self.expert.estimate:.2f}, difference {interval}; {n}{source})."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "experiment": self.experiment,
            "split": self.split,
            "rater": self.rater,
            "declared": self.declared,
            "runs": list(self.runs),
            "n": len(self.images),
            "evaluated": self.evaluated,
            "group_column": self.group_column,
            "network": asdict(self.network),
            "expert": asdict(self.expert),
            "difference": asdict(self.difference),
            "verdict": self.verdict,
            "sentence": self.sentence(),
            "mcnemar": [
                {"run": run, **asdict(test)}
                for run, test in zip(self.runs, self.tests, strict=True)
            ],
            "class_names": list(self.class_names),
            "agreement": [list(row) for row in self.agreement],
            "agreed": self.agreed,
            "disagreements": list(disagreements(self)["image"]),
        }


def compare(
    runs: Sequence[Run],
    answers: pd.DataFrame,
    split: str,
    declared: Declared,
    experiment: str = "",
) -> Comparison | None:
    """Compare on the images that all have judged; None where there is none.

    Parameters
    ----------
    runs
        The runs of one experiment; where ``"run"`` is declared, the first one counts.
    answers
        Of one rater.
    split
        Whose images.
    declared
        What is compared.
    experiment
        Its name, for the report.

    Raises
    ------
    errors.InvalidInput
        The answers are about other images.
    """
    import numpy as np

    counted = list(runs[:1] if declared == "run" else runs)
    tables = [same_images(answers, run, split) for run in counted]
    first = tables[0]
    if first.empty:
        return None
    labels, told = first["label"].to_numpy(), first["answer"].to_numpy()
    named = np.stack([table["predicted"].to_numpy() for table in tables])
    column = counted[0].metadata.group_column
    groups = None if column is None else first["group"].to_numpy()
    expert = told == labels
    right = named == labels
    names = counted[0].class_names
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    for row in named:
        np.add.at(counts, ([place[name] for name in row], [place[name] for name in told]), 1)
    if len(counted) == 1:
        network = statistics.accuracy_interval(right[0], groups)
        difference = statistics.paired_difference(right[0], expert, groups)
    else:
        mean = right.mean(axis=0)
        network = statistics.group_bootstrap(mean, groups, bounds=(0, 1))
        difference = statistics.group_bootstrap(mean - expert, groups, bounds=(-1, 1))
    columns = [f"p_{name}" for name in names]
    shares = np.mean([table[columns].to_numpy(float) for table in tables], axis=0)
    images = first[["image", "group", "label", "answer"]].assign(
        predicted=[names[number] for number in shares.argmax(axis=1)],
        **{name: shares[:, number] for number, name in enumerate(columns)},
    )
    evaluated = int((counted[0].predictions["split"] == split).sum())
    return Comparison(
        experiment,
        split,
        str(answers["rater"].iloc[0]),
        declared,
        tuple(run.folder.name for run in counted),
        images,
        evaluated,
        column,
        names,
        network,
        statistics.accuracy_interval(expert, groups),
        difference,
        tuple(statistics.mcnemar(row, expert) for row in right),
        tuple(tuple(count / len(named) for count in row) for row in counts.tolist()),
    )


def disagreements(comparison: Comparison) -> pd.DataFrame:
    """The images that the two call differently, those first where the network is surest.

    That is by how much more probable its own class is to it than the expert's. A column
    ``margin`` tells it.
    """
    rows = comparison.images[comparison.images["predicted"] != comparison.images["answer"]]
    margin = [
        float(row[f"p_{row['predicted']}"]) - float(row[f"p_{row['answer']}"])
        for row in rows.to_dict("records")
    ]
    ranked = rows.assign(margin=margin)
    return ranked.sort_values(["margin", "image"], ascending=[False, True], ignore_index=True)


def self_agreement(answers: pd.DataFrame) -> statistics.Kappa | None:
    """How far a rater agrees with itself on images that came twice; None where none did."""
    return _agreement(answers[answers["repeat"] == 1], answers[answers["repeat"] == 2])


def between(first: pd.DataFrame, second: pd.DataFrame) -> statistics.Kappa | None:
    """How far two raters agree on the images that both have seen; None where there is none."""
    return _agreement(first[first["repeat"] == 1], second[second["repeat"] == 1])


def _agreement(one: pd.DataFrame, other: pd.DataFrame) -> statistics.Kappa | None:
    columns = ["split", "image", "answer"]
    pairs = one[columns].merge(other[columns], on=columns[:2])
    return None if pairs.empty else statistics.cohen_kappa(pairs["answer_x"], pairs["answer_y"])
