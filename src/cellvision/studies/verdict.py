"""The verdict of a study: from the files of its runs to a sentence for each test set."""

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


def of_study(study: Study) -> tuple[VerdictRecord, ...]:
    """Give a verdict for each experiment and each of its test sets.

    Parameters
    ----------
    study
        A finished study.
    """
    verdicts = [
        _of_split(study, experiment, split)
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


def _of_split(study: Study, experiment: StudyExperiment, split: str) -> VerdictRecord:
    runs = experiment.runs
    first = runs[0]
    images = _rows(first, split)
    taught = first.training_split
    balanced = [run.scores[taught].balanced_accuracy for run in runs if taught is not None]
    beside = experiment.controls
    found = verdict(
        images["label"].to_numpy(),
        _column(runs, images, split, "predicted"),
        None if first.group_column is None else images["group"].to_numpy(),
        training=float(np.mean(balanced)) if balanced else None,
        controls={
            control: Control(
                _column(done, images, split, "predicted"),
                _column(done, images, split, "label") if control in PERMUTED else None,
            )
            for control, done in beside.items()
            if done
        },
        shared=any(
            split in leak.splits and not {split, *first.test_splits} >= set(leak.splits)
            for leak in first.metadata.leaks
        ),
    )
    fitted = {
        control: float(np.mean([run.scores[taught].accuracy for run in done]))
        for control, done in beside.items()
        if done and taught is not None
    }
    accuracy = [run.scores[taught].accuracy for run in runs if taught is not None]
    return VerdictRecord.model_validate(
        {
            "experiment": experiment.name,
            "split": split,
            "question": _question(first, experiment.name, split),
            **_plain(found, fitted),
            "group_column": first.group_column,
            "training_accuracy": float(np.mean(accuracy)) if accuracy else None,
            "expert": study.metadata.expert.get(split),
        }
    )


def _rows(run: Run, split: str) -> pd.DataFrame:
    return run.predictions[run.predictions["split"] == split].set_index("image")


def _column(runs: Sequence[Run], images: pd.DataFrame, split: str, column: str) -> np.ndarray:
    """One column of several runs' predictions, shape (runs, images), in the order of `images`."""
    columns = []
    for run in runs:
        rows = _rows(run, split)
        if len(rows) != len(images) or not rows.index.isin(images.index).all():
            raise errors.FolderError(
                f"{run.folder}: its images of {split!r} are not those of the study's other runs",
                "Remove the runs that were made from other images, and give the command again",
            )
        columns.append(rows.loc[images.index, column].to_numpy())
    return np.stack(columns)


def _question(run: Run, name: str, split: str) -> str:
    """What was asked, in a sentence."""
    classes = ", ".join(run.class_names)
    unit = run.group_column
    held = f"units ({unit})" if unit is not None else "images"
    return f"Can {name} tell {classes} apart, on {held} of {split} that it has not seen?"


def _plain(found: Verdict, fitted: dict[str, float]) -> dict[str, Any]:
    test, accuracy = found.test, found.accuracy
    return {
        "word": found.word,
        "sentence": found.sentence,
        "reasons": list(found.reasons),
        "n": accuracy.n,
        "groups": accuracy.groups,
        "runs": found.spread.runs,
        "accuracy": accuracy.estimate,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "interval": accuracy.method,
        "sd_over_runs": found.spread.sd,
        "commonest_class": found.commonest,
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
        "training_balanced_accuracy": found.training,
        "controls": [
            {
                "control": each.name,
                "runs": each.runs,
                "accuracy": each.accuracy.estimate,
                "accuracy_low": each.accuracy.low,
                "accuracy_high": each.accuracy.high,
                "p": each.test.p,
                "beats_chance": each.beats_chance,
                "training_accuracy": fitted.get(each.name),
                "difference": None if each.difference is None else asdict(each.difference),
            }
            for each in found.controls
        ],
        "missing_controls": list(found.missing),
        "warnings": list(found.warnings),
    }
