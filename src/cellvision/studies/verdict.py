"""The verdicts of a study: from the predictions of its runs to a sentence for each test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.results.verdicts import VerdictRecord
from cellvision.statistics.verdict import ALPHA, PERMUTED, Control, Verdict, verdict

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.results.run import Run
    from cellvision.results.study import Study, StudyExperiment


def study_verdicts(study: Study) -> tuple[VerdictRecord, ...]:
    """Return a verdict for each experiment and each of its test sets.

    Parameters
    ----------
    study
        A study whose runs are finished.
    """
    verdicts = [
        _split_verdict(study, experiment, split)
        for experiment in study.experiments
        for split in experiment.test_splits
    ]
    if len(verdicts) > 1:
        warning = (
            f"This study has {len(verdicts)} verdicts, each with its own {ALPHA:.0%} risk of a "
            "chance result."
        )
        verdicts = [
            verdict.model_copy(update={"warnings": (*verdict.warnings, warning)})
            for verdict in verdicts
        ]
    return tuple(verdicts)


def _split_verdict(study: Study, experiment: StudyExperiment, split: str) -> VerdictRecord:
    runs = experiment.runs
    first = runs[0]
    images = _split_predictions(first, split)
    training = first.training_split
    balanced = [run.scores[training].balanced_accuracy for run in runs if training is not None]
    accuracy = [run.scores[training].accuracy for run in runs if training is not None]
    result = verdict(
        images["label"].to_numpy(),
        _column(runs, images, split, "predicted"),
        None if first.group_column is None else images["group"].to_numpy(),
        training=float(np.mean(balanced)) if balanced else None,
        controls=_controls(experiment, images, split),
        shared=_has_leak(first, split),
    )
    control_training_accuracy = {
        control: float(np.mean([run.scores[training].accuracy for run in control_runs]))
        for control, control_runs in experiment.controls.items()
        if control_runs and training is not None
    }
    return VerdictRecord.model_validate(
        {
            "experiment": experiment.name,
            "split": split,
            "question": _question(first, experiment.name, split),
            **_plain(result, control_training_accuracy),
            "group_column": first.group_column,
            "training_accuracy": float(np.mean(accuracy)) if accuracy else None,
            "expert": study.metadata.expert.get(split),
        }
    )


def _controls(experiment: StudyExperiment, images: pd.DataFrame, split: str) -> dict[str, Control]:
    return {
        control: Control(
            _column(runs, images, split, "predicted"),
            _column(runs, images, split, "label") if control in PERMUTED else None,
        )
        for control, runs in experiment.controls.items()
        if runs
    }


def _has_leak(run: Run, split: str) -> bool:
    """Whether a test set shares groups or images with a split that is no test set."""
    return any(
        split in leak.splits and not {split, *run.test_splits} >= set(leak.splits)
        for leak in run.metadata.leaks
    )


def _split_predictions(run: Run, split: str) -> pd.DataFrame:
    table = run.predictions
    return table[table["split"] == split].set_index("image")


def _column(runs: Sequence[Run], images: pd.DataFrame, split: str, column: str) -> np.ndarray:
    """Return one column of several runs' predictions, shape (runs, images), ordered as `images`."""
    columns = []
    for run in runs:
        rows = _split_predictions(run, split)
        if len(rows) != len(images) or not rows.index.isin(images.index).all():
            raise errors.FolderError(
                f"{run.folder}: its images of {split!r} are not those of the study's other runs",
                "Remove the runs that were trained on other images, and run the study again.",
            )
        columns.append(rows.loc[images.index, column].to_numpy())
    return np.stack(columns)


def _question(run: Run, name: str, split: str) -> str:
    """Return the question of the study, as a sentence."""
    classes = ", ".join(run.class_names)
    unseen = "images" if run.group_column is None else f"groups ({run.group_column})"
    return f"Can {name} distinguish {classes} on unseen {unseen} of {split}?"


def _plain(result: Verdict, control_training_accuracy: dict[str, float]) -> dict[str, Any]:
    test, accuracy = result.test, result.accuracy
    return {
        "word": result.word,
        "sentence": result.sentence,
        "reasons": list(result.reasons),
        "n": accuracy.n,
        "groups": accuracy.groups,
        "runs": result.spread.runs,
        "accuracy": accuracy.estimate,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "interval": accuracy.method,
        "sd_over_runs": result.spread.sd,
        "commonest_class": result.commonest,
        "balanced_accuracy": test.statistic,
        "chance": test.null_mean,
        "null_low": test.null_low,
        "null_high": test.null_high,
        "p": test.p,
        "smallest_p": test.smallest_p,
        "exact": test.exact,
        "permuted": test.permuted,
        "effect": test.effect,
        "effect_sd": test.effect_sd,
        "training_balanced_accuracy": result.training,
        "controls": [
            {
                "control": control.name,
                "runs": control.runs,
                "accuracy": control.accuracy.estimate,
                "accuracy_low": control.accuracy.low,
                "accuracy_high": control.accuracy.high,
                "p": control.test.p,
                "beats_chance": control.beats_chance,
                "training_accuracy": control_training_accuracy.get(control.name),
                "difference": None if control.difference is None else asdict(control.difference),
            }
            for control in result.controls
        ],
        "missing_controls": list(result.missing),
        "warnings": list(result.warnings),
    }
