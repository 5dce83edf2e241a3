"""Trust at prediction: how sure new answers are, from groups that no network was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.inference.group_likeness import GroupLikeness, features_of, fit_group_likeness
from cellvision.results.run import Run
from cellvision.results.study import Study
from cellvision.statistics import (
    AbstentionRule,
    PredictionSets,
    fit_abstention,
    fit_prediction_sets,
)

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.results.study import StudyExperiment

_SEPARATOR = "; "


@dataclass(frozen=True, eq=False)
class PredictionTrust:
    """What held-out groups say about predictions of new groups of the same kind.

    Attributes
    ----------
    sets : PredictionSets or None
        For the column ``prediction_set``; None if there are too few groups.
    abstention : AbstentionRule or None
        For the column ``answer``; None if there are too few groups.
    likeness : GroupLikeness or None
        For the columns ``p_unlike`` and ``unlike`` of groups; None if it is not requested, or if
        there are too few groups.
    notes : tuple of str
        What it is fitted on, what it promises, and why a part is missing.
    """

    sets: PredictionSets | None
    abstention: AbstentionRule | None
    likeness: GroupLikeness | None
    notes: tuple[str, ...]

    def image_columns(
        self, probabilities: np.ndarray, class_names: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the columns that a table of images gets.

        Parameters
        ----------
        probabilities
            (n, classes).
        class_names
            (classes,).
        """
        columns: dict[str, np.ndarray] = {}
        if self.sets is not None:
            inside = self.sets.sets(probabilities)
            columns["prediction_set"] = np.array(
                [_SEPARATOR.join(class_names[row]) for row in inside], dtype=object
            )
        if self.abstention is not None:
            answers = class_names[probabilities.argmax(axis=1)].astype(object)
            answers[~self.abstention.answers(probabilities)] = None
            columns["answer"] = answers
        return columns

    def group_columns(self, distances: Sequence[Sequence[float]]) -> dict[str, Any]:
        """Return the columns that a table of groups gets, from the distances of their images."""
        if self.likeness is None:
            return {}
        flag = self.likeness.flag
        return {
            "p_unlike": [flag.p_value(each) for each in distances],
            "unlike": [flag.is_unlike(each) for each in distances],
        }


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Predictions of groups that their networks were not trained on."""

    table: pd.DataFrame
    probabilities: np.ndarray
    groups: np.ndarray  # the independent units, which `column` names
    column: str
    reader: Run
    source: str
    cross_validated: bool

    @property
    def labels(self) -> np.ndarray:
        numbers = {name: number for number, name in enumerate(self.reader.class_names)}
        return self.table["label"].map(numbers).to_numpy(np.int64)


def fit_trust(
    model: Run | Study, experiment: str | None = None, *, flag_groups: bool = False
) -> PredictionTrust:
    """Fit prediction sets, abstention and the flag for unlike groups.

    A cross-validated study is fitted on its out-of-fold predictions, any other study and a run on
    the validation split.

    Parameters
    ----------
    model
        A finished run or study.
    experiment
        Name of the study's experiment; None: its only one.
    flag_groups
        Also fit the flag for unlike groups, which reads the images of the study again.

    Raises
    ------
    errors.ExperimentError
        Groups are unknown, there is no validation split, or there are too few groups for any part.
    """
    held_out = _held_out(model, experiment)
    probabilities, groups = held_out.probabilities, held_out.groups
    notes: list[str] = []
    number = len(set(groups))
    sets = abstention = likeness = None
    try:
        sets = fit_prediction_sets(held_out.labels, probabilities, groups)
        notes.append(f"prediction_set holds the class of {sets.coverage:.0%} of images")
    except errors.InvalidInput as error:
        notes.append(f"no prediction_set: {error.what}. {error.hint}")
    try:
        abstention = fit_abstention(
            held_out.labels, probabilities, groups, cross_validated=held_out.cross_validated
        )
        notes.append(_abstention_note(abstention))
    except errors.InvalidInput as error:
        notes.append(f"no answer: {error.what}. {error.hint}")
    if flag_groups:
        likeness, note = _likeness(held_out)
        notes.append(note)
    else:
        notes.append("no flag for unlike groups: name the groups, such as --by well")
    if sets is None and abstention is None and likeness is None:
        raise errors.ExperimentError(
            f"{number} held-out groups are too few to say how far predictions can be trusted",
            "Prediction sets need 9 groups, abstention 10, the flag 19. Cross-validate "
            "(study --folds 5), so that every group is held out once.",
        )
    notes.insert(
        0,
        f"fitted on {held_out.source} of {number} groups ({held_out.column}); holds for groups of "
        "this kind",
    )
    return PredictionTrust(sets, abstention, likeness, tuple(notes))


def _abstention_note(rule: AbstentionRule) -> str:
    if rule.answered == 0:
        return f"answer is empty: no part of the held-out images reaches {rule.accuracy:.0%}"
    return (
        f"answer is right for {rule.accuracy:.0%} of the images that get one "
        f"({rule.answered:.0%} of the held-out images)"
    )


def _likeness(held_out: _HeldOut) -> tuple[GroupLikeness | None, str]:
    try:
        features = features_of(held_out.reader, list(held_out.table["image"]))
        likeness = fit_group_likeness(features, held_out.groups)
    except errors.InvalidInput as error:
        return None, f"no flag for unlike groups: {error.what}. {error.hint}"
    return likeness, f"unlike is true by chance for {likeness.flag.level:.0%} of groups"


def _held_out(model: Run | Study, name: str | None) -> _HeldOut:
    """Return the held-out predictions of a run or of a study's experiment."""
    runs: tuple[Run, ...] = (model,) if isinstance(model, Run) else ()
    if isinstance(model, Run):
        reader, pooled = model, None
    else:
        experiment = _experiment(model, name)
        runs, reader, pooled = experiment.runs, experiment.networks[0], experiment.out_of_fold
    if runs[0].unit_column is None:
        raise errors.ExperimentError(
            f"{model.folder}: groups are unknown, so nothing can be said about new groups",
            "Name them when training: --set dataset.group=well",
        )
    if pooled is not None:
        table = pooled.predictions[pooled.predictions["split"].isin(pooled.test_splits)]
        return _held_out_by(pooled, [table], reader, "out-of-fold predictions")
    split = runs[0].validation_split
    if split is None:
        raise errors.ExperimentError(
            f"{model.folder}: there are no validation images to judge predictions by",
            "Train with a validation split, or cross-validate (study --folds 5).",
        )
    tables = [run.predictions_of(split) for run in runs]
    return _held_out_by(runs[0], tables, reader, f"predictions of {split} images")


def _held_out_by(run: Run, tables: Sequence[pd.DataFrame], reader: Run, source: str) -> _HeldOut:
    """Return the mean of some predictions, with the independent units that a run knows."""
    units, column = run.independent_units(tables[0]["image"]), run.unit_column
    assert units is not None
    assert column is not None
    probabilities = _mean(tables, reader)
    return _HeldOut(
        tables[0], probabilities, units, column, reader, source, cross_validated=run.cross_validated
    )


def _experiment(study: Study, name: str | None) -> StudyExperiment:
    by_name: Mapping[str, StudyExperiment] = {each.name: each for each in study.experiments}
    return study.experiments[0] if name is None else by_name[name]


def _mean(tables: Sequence[pd.DataFrame], run: Run) -> np.ndarray:
    """Return the mean probabilities over runs, (images, classes), in the first table's order."""
    columns = [f"p_{name}" for name in run.class_names]
    images = tables[0]["image"]
    total = sum(table.set_index("image").loc[images, columns].to_numpy() for table in tables)
    return np.asarray(total / len(tables), np.float64)
