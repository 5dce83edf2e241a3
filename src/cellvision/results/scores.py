"""The score of a run on one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from cellvision import notebook_html, statistics
from cellvision.plurals import counted
from cellvision.result_model import ResultModel
from cellvision.results.class_scores import ClassScore, score_classes

_SMALLEST_PROBABILITY = 1e-7
"""Keras clips probabilities at this value in the cross-entropy."""


class Score(ResultModel):
    """Accuracy of a run on one split, with its uncertainty."""

    n: int
    """Number of images."""

    groups: int | None
    """Number of independent groups (wells, slides, donors, ...), over which the intervals are; None
    if they are unknown. See `Run.unit_column`."""

    accuracy: float
    """Fraction of images classified correctly, 0 to 1."""

    accuracy_low: float
    """Lower limit of the 95 % interval of the accuracy."""

    accuracy_high: float
    """Upper limit of the 95 % interval of the accuracy."""

    interval: str
    """Method of the interval."""

    balanced_accuracy: float
    """Mean recall of the classes present in the split, 0 to 1."""

    loss: float | None
    """Mean loss; None if it is not finite."""

    group_accuracy: float | None = None
    """Fraction of groups classified correctly by the mean probability of their images; None if
    groups are unknown or none could be scored."""

    group_accuracy_low: float | None = None
    """Lower limit of its 95 % interval: Wilson over groups, or if units are coarser, that of an
    accuracy over units."""

    group_accuracy_high: float | None = None
    """Upper limit of its 95 % interval."""

    groups_scored: int | None = None
    """Groups that were scored: those with one label and no tie."""

    groups_left_out: int | None = None
    """Groups that were not: those with several labels or a tie."""

    classes: dict[str, ClassScore] = Field(default_factory=dict)
    """Precision, recall and F1 of each class; empty for the training split."""

    def __repr__(self) -> str:
        groups = "" if self.groups is None else f", {counted(self.groups, 'group')}"
        return (
            f"<Score: accuracy {self.accuracy:.3f} (95 % {self.accuracy_low:.3f} to "
            f"{self.accuracy_high:.3f}), balanced {self.balanced_accuracy:.3f}, "
            f"n = {self.n}{groups}>"
        )

    def _repr_html_(self) -> str:
        return notebook_html.document("Score", scores_table({"": self}), classes_table(self))

    @classmethod
    def from_predictions(
        cls,
        labels: np.ndarray,
        probabilities: np.ndarray,
        groups: np.ndarray | None,
        loss: float,
        *,
        units: np.ndarray | None = None,
        class_names: Sequence[str] = (),
        cross_validated: bool = False,
    ) -> Score:
        """Score the predictions of one split.

        Parameters
        ----------
        labels
            Class numbers, shape (images,).
        probabilities
            Shape (images, classes).
        groups
            The group of each image, shape (images,); None if groups are unknown.
        loss
            The mean loss.
        units
            The independent unit of each image if it is coarser than the groups, shape (images,).
            Groups then get answers, and intervals are over units.
        class_names
            The classes, in the order of their numbers, to score each of them; empty scores none.
        cross_validated
            Whether the predictions are pooled over folds: the intervals are then wider.
        """
        predicted = probabilities.argmax(axis=1)
        correct = predicted == labels
        interval_of = (
            statistics.cross_validated_accuracy if cross_validated else statistics.accuracy_interval
        )
        independent = groups if units is None else units
        interval = interval_of(correct, independent)
        recalls = [float(correct[labels == number].mean()) for number in np.unique(labels)]
        return cls(
            n=len(labels),
            groups=None if independent is None else len(np.unique(independent)),
            accuracy=float(correct.mean()),
            accuracy_low=interval.low,
            accuracy_high=interval.high,
            interval=interval.method,
            balanced_accuracy=float(np.mean(recalls)),
            loss=loss if np.isfinite(loss) else None,
            classes=score_classes(
                labels, predicted, independent, class_names, cross_validated=cross_validated
            ),
            **_group_scores(labels, probabilities, groups, units, cross_validated=cross_validated),
        )


def cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean cross-entropy of class numbers and probabilities (images, classes)."""
    target = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(target, _SMALLEST_PROBABILITY, 1)).mean())


class Scores(dict[str, Score]):
    """The score of each split."""

    def _repr_html_(self) -> str:
        return notebook_html.document("Scores", scores_table(self))


def scores_table(scores: Mapping[str, Score]) -> str:
    """Return the scores of splits as an HTML table; a column without values is left out."""
    columns: dict[str, list[object]] = {
        "split": list(scores),
        "images": [score.n for score in scores.values()],
        "groups": ["" if score.groups is None else score.groups for score in scores.values()],
        "accuracy": [f"{score.accuracy:.3f}" for score in scores.values()],
        "95 % interval": [
            f"{score.accuracy_low:.3f} to {score.accuracy_high:.3f}" for score in scores.values()
        ],
        "balanced accuracy": [f"{score.balanced_accuracy:.3f}" for score in scores.values()],
        "loss": ["" if s.loss is None else f"{s.loss:.3f}" for s in scores.values()],
    }
    shown = {name: cells for name, cells in columns.items() if any(map(str, cells))}
    return notebook_html.table(list(shown), zip(*shown.values(), strict=True))


def classes_table(score: Score) -> str:
    """Return the classes of a score as an HTML table; empty if they were not scored."""
    rows: list[list[object]] = [
        [
            name,
            each.n,
            _decimals(each.precision),
            _decimals(each.recall),
            _recall_range(each),
            _decimals(each.f1),
        ]
        for name, each in score.classes.items()
    ]
    head = ["class", "images", "precision", "recall", "95 % interval", "F1"]
    return notebook_html.table(head, rows)


def _decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _recall_range(score: ClassScore) -> str:
    if score.recall_low is None or score.recall_high is None:
        return "–"
    return f"{score.recall_low:.3f} to {score.recall_high:.3f}"


def _group_scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    groups: np.ndarray | None,
    units: np.ndarray | None,
    *,
    cross_validated: bool,
) -> dict[str, float | int | None]:
    """Score the answers for groups; empty if there are none."""
    if groups is None or not np.isfinite(probabilities).all():
        return {}
    answers = statistics.predict_groups(probabilities, groups)
    index = np.searchsorted(answers.groups, groups)
    counts = np.zeros(answers.probabilities.shape, int)
    np.add.at(counts, (index, labels), 1)
    decided = ((counts > 0).sum(axis=1) == 1) & (answers.predicted >= 0)
    if not decided.any():
        return {"groups_scored": 0, "groups_left_out": len(decided)}
    right = (answers.predicted == counts.argmax(axis=1))[decided]
    # Groups are independent unless folds leave out something coarser: wells of one donor depend on
    # each other. A group lies within one unit, so its first image names it.
    of_group = None if units is None else units[np.unique(index, return_index=True)[1]][decided]
    interval = statistics.accuracy_interval(right, of_group)
    if cross_validated:
        interval = interval.widened(statistics.CROSS_VALIDATION_FACTOR)
    return {
        "group_accuracy": interval.estimate,
        "group_accuracy_low": interval.low,
        "group_accuracy_high": interval.high,
        "groups_scored": len(right),
        "groups_left_out": int((~decided).sum()),
    }
