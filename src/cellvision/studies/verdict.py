"""The verdicts of a study: from the predictions of its runs to a sentence for each test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.results.verdicts import VerdictRecord
from cellvision.results.worst_batch import worst_batch
from cellvision.statistics import (
    ControlEvidence,
    ControlResult,
    LookCount,
    Verdict,
    holm_over_families,
    max_t_test,
    verdict,
)
from cellvision.studies.group_answers import group_answers
from cellvision.studies.looks import Looks
from cellvision.studies.permuted_units import have_one_class

if TYPE_CHECKING:
    import pandas as pd

    from cellvision.results.run import Run
    from cellvision.results.study import Study, StudyExperiment


def study_verdicts(study: Study, looks: Looks = MappingProxyType({})) -> tuple[VerdictRecord, ...]:
    """Return a verdict for each experiment and each of its test sets.

    P-values are adjusted for several experiments on the same test set by max-T, for several test
    sets, of one or several experiments, by Holm's method over them, and for several studies of one
    test set by the number of looks.

    Parameters
    ----------
    study
        A study whose runs are finished.
    looks
        How often each test set has been looked at, by experiment and split; empty if unknown.
    """
    adjusted = _adjusted_p(study)
    return tuple(
        _split_verdict(
            study,
            experiment,
            split,
            adjusted.get((experiment.name, split)),
            looks.get((experiment.name, split)),
        )
        for experiment in study.experiments
        for split in experiment.test_splits
    )


def _adjusted_p(study: Study) -> dict[tuple[str, str], float]:
    """Return the p-value of each experiment and test set, adjusted for all of them."""
    splits = sorted({split for each in study.experiments for split in each.test_splits})
    if len(study.experiments) * len(splits) < 2:
        return {}
    families = [family for split in splits for family in _max_t_families(study, split)]
    adjusted = holm_over_families([list(family.values()) for family in families])
    return {
        key: p
        for family, p_values in zip(families, adjusted, strict=True)
        for key, p in zip(family, p_values, strict=True)
    }


def _max_t_families(study: Study, split: str) -> Iterator[dict[tuple[str, str], float]]:
    """Yield the adjusted p-values of experiments that share the arrangements of a test set.

    On a test set of one class, p is always 1, so it is no further family.
    """
    for same in on_same_images(study, split):
        for experiments in _on_same_groups(same, split):
            first = experiments[0].runs[0]
            images = split_predictions(first, split)
            if images["label"].nunique() < 2:
                continue
            groups, batches = groups_and_batches(first, images)
            tests = max_t_test(
                images["label"].to_numpy(),
                {e.name: run_column(e.runs, images, split, "predicted") for e in experiments},
                groups,
                batches=batches,
            )
            yield {(name, split): test.adjusted_p for name, test in tests.items()}


def _on_same_groups(
    experiments: Sequence[StudyExperiment], split: str
) -> list[list[StudyExperiment]]:
    """Divide experiments on the same images by their groups and batches, whose labels swap."""
    import pandas as pd

    same: dict[tuple[bytes | None, ...], list[StudyExperiment]] = {}
    for experiment in experiments:
        images = split_predictions(experiment.runs[0], split).sort_index()
        columns = groups_and_batches(experiment.runs[0], images)
        key = tuple(None if c is None else pd.factorize(c)[0].tobytes() for c in columns)
        same.setdefault(key, []).append(experiment)
    return list(same.values())


def on_same_images(study: Study, split: str) -> list[list[StudyExperiment]]:
    """Group the experiments of a study by the images and labels of a test set."""
    same: dict[tuple[tuple[str, str], ...], list[StudyExperiment]] = {}
    for experiment in study.experiments:
        if split in experiment.test_splits:
            table = split_predictions(experiment.runs[0], split)["label"].sort_index()
            key = tuple((str(image), str(label)) for image, label in table.items())
            same.setdefault(key, []).append(experiment)
    return list(same.values())


def _split_verdict(
    study: Study,
    experiment: StudyExperiment,
    split: str,
    adjusted_p: float | None,
    looks: LookCount | None,
) -> VerdictRecord:
    runs = experiment.runs
    first = runs[0]
    images = split_predictions(first, split)
    groups, batches = groups_and_batches(first, images)
    training = first.training_split
    balanced = [run.scores[training].balanced_accuracy for run in runs if training is not None]
    accuracy = [run.scores[training].accuracy for run in runs if training is not None]
    result = verdict(
        images["label"].to_numpy(),
        run_column(runs, images, split, "predicted"),
        groups,
        batches=batches,
        batch_name=first.batch_column or "batch",
        batches_held_out=batches is not None and _batches_are_held_out(experiment.networks, split),
        cross_validated=first.cross_validated,
        training=float(np.mean(balanced)) if balanced else None,
        controls=_evidence(study, experiment, images, split),
        missing_controls=experiment.record.missing_controls,
        shared=_has_leak(first, split),
        adjusted_p=adjusted_p,
        dead=experiment.untrained,
        looks=looks,
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
            **_plain(result),
            "batches": None
            if result.batches is None
            else result.batches.sentence("" if first.cross_validated else "the test set"),
            "controls": [
                _plain_control(control, control_training_accuracy.get(control.name))
                for control in result.controls
            ],
            "training_accuracy": float(np.mean(accuracy)) if accuracy else None,
            "looks": None if looks is None else looks.looks,
            "settings_tried": None if looks is None else looks.settings,
            "expert": study.metadata.expert.get(split),
            **_held_out(experiment, images, split),
        }
    )


def _held_out(experiment: StudyExperiment, images: pd.DataFrame, split: str) -> dict[str, Any]:
    """Return the further fields of a record about the held-out images."""
    first, record = experiment.runs[0], experiment.record
    groups, batches = groups_and_batches(first, images)
    right = run_column(experiment.runs, images, split, "predicted") == images["label"].to_numpy()
    cross_validated = first.cross_validated
    return {
        **group_answers(experiment.runs, split),
        "worst_batch": worst_batch(
            right.mean(axis=0), groups, batches, cross_validated=cross_validated
        ),
        "missing_controls": record.missing_controls,
        "group_column": first.group_column,
        "unit_column": first.unit_column,
        "batch_column": first.batch_column,
        "cross_validated": cross_validated,
        "folds": record.folds,
        "folds_by": record.folds_by,
    }


def _evidence(
    study: Study, experiment: StudyExperiment, images: pd.DataFrame, split: str
) -> dict[str, ControlEvidence]:
    first = experiment.runs[0]
    permuted_groups = _permuted_groups(first, images)
    evidence = {}
    for control in study.metadata.controls:
        runs = experiment.controls.get(control.name)
        if runs:
            permuted = control.kind == "permuted labels"
            evidence[control.name] = ControlEvidence(
                control.meaning,
                run_column(runs, images, split, "predicted"),
                run_column(runs, images, split, "label") if permuted else None,
                runs[0].metadata.control_caveat,
                permuted_groups if permuted else None,
            )
    return evidence


def _permuted_groups(run: Run, images: pd.DataFrame) -> np.ndarray | None:
    """Return what exchanges labels in controls, if it is smaller than the independent units."""
    units = run.independent_units(images.index)
    if run.unit_column == run.group_column or units is None:
        return None
    groups = None if run.group_column is None else images["group"].to_numpy()
    if have_one_class(units, images["label"], groups):
        return None
    return images.index.to_numpy() if groups is None else groups


def groups_and_batches(
    run: Run, images: pd.DataFrame
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the independent unit and the batch of each image; None where they are unknown."""
    groups = run.independent_units(images.index)
    if run.batch_column is None:
        return groups, None
    batches = run.provenance.set_index("image").loc[images.index, "batch"]
    if batches.isna().any() or batches.nunique() < 2:
        return groups, None
    return groups, batches.to_numpy()


def _batches_are_held_out(runs: Sequence[Run], split: str) -> bool:
    """Whether no network was trained on a batch of the images that it is tested on."""
    return not any(_batches_of(run, run.training_split) & _batches_of(run, split) for run in runs)


def _batches_of(run: Run, split: str | None) -> set[str]:
    images = run.predictions_of(split or "")["image"]
    return set(run.provenance.set_index("image").loc[images, "batch"])


def _has_leak(run: Run, split: str) -> bool:
    """Whether a test set shares groups or images with a split that is no test set."""
    return any(
        split in leak.splits and not {split, *run.test_splits} >= set(leak.splits)
        for leak in run.leaks
    )


def split_predictions(run: Run, split: str) -> pd.DataFrame:
    """Return the predictions of one split, indexed by image."""
    return run.predictions_of(split).set_index("image")


def run_column(runs: Sequence[Run], images: pd.DataFrame, split: str, column: str) -> np.ndarray:
    """Return one column of several runs' predictions, shape (runs, images), ordered as `images`."""
    columns = []
    for run in runs:
        rows = split_predictions(run, split)
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
    unseen = "images" if run.unit_column is None else f"groups ({run.unit_column})"
    where = "by cross-validation" if run.cross_validated else f"of {split}"
    return f"Can {name} distinguish {classes} on unseen {unseen} {where}?"


def _plain(result: Verdict) -> dict[str, Any]:
    test, accuracy, balanced = result.test, result.accuracy, result.balanced_accuracy
    retrained = result.retrained
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
        "retrained_low": None if retrained is None else retrained.low,
        "retrained_high": None if retrained is None else retrained.high,
        "sd_over_runs": result.spread.sd,
        "dead_runs": result.spread.dead,
        "commonest_class": result.commonest,
        "balanced_accuracy": balanced.estimate,
        "balanced_accuracy_low": balanced.low,
        "balanced_accuracy_high": balanced.high,
        "chance": test.null_mean,
        "null_low": test.null_low,
        "null_high": test.null_high,
        "p": result.p,
        "unadjusted_p": test.p,
        "p_across_batches": None if result.overall_test is None else result.overall_test.p,
        "smallest_p": test.smallest_p,
        "exact": test.exact,
        "permuted": test.permuted,
        "effect": test.effect,
        "effect_sd": test.effect_sd if np.isfinite(test.effect_sd) else None,
        "training_balanced_accuracy": result.training,
        "warnings": list(result.warnings),
    }


def _plain_control(control: ControlResult, training_accuracy: float | None) -> dict[str, Any]:
    return {
        "control": control.name,
        "runs": control.runs,
        "accuracy": control.accuracy.estimate,
        "accuracy_low": control.accuracy.low,
        "accuracy_high": control.accuracy.high,
        "p": control.test.p,
        "kind": control.meaning.kind,
        "finding": control.finding,
        "sentence": control.describe(),
        "groups_needed": control.groups_needed,
        "groups_would_show": control.groups_would_show,
        "caveat": control.caveat,
        "training_accuracy": training_accuracy,
        "difference": None if control.difference is None else asdict(control.difference),
        "equivalence": None if control.equivalence is None else asdict(control.equivalence),
    }
