"""Accuracy against the number of training groups: the experiments, and the fitted curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellvision import errors
from cellvision.data.image_stats import digests
from cellvision.data.prepared import readable_catalog
from cellvision.data.split import Split
from cellvision.data.training_subset import training_blocks
from cellvision.results.verdicts import LearningCurveRecord
from cellvision.statistics import learning_curve
from cellvision.studies.verdict import (
    groups_and_batches,
    on_same_images,
    run_column,
    split_predictions,
)

if TYPE_CHECKING:
    from cellvision.data.threaded_map import Progress
    from cellvision.experiment import Experiment
    from cellvision.results.study import Study, StudyExperiment

_FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1.0)
"""Fractions of the training groups that make the sizes if none are named."""

_FEWEST_SIZES = 3


def size_experiments(
    experiment: Experiment, sizes: Sequence[int] | None, progress: Progress | None = None
) -> dict[str, Experiment]:
    """Return one experiment for each number of training groups, named by it.

    Parameters
    ----------
    experiment
        The experiment.
    sizes
        Numbers of training groups; None: an eighth, a quarter, half and all of them, if that is
        at least two per class.
    progress
        Called with the number of decoded images and the number of all.

    Raises
    ------
    errors.SplitError
        There are fewer groups, or too few for three sizes.
    """
    if sizes is None:
        sizes = _default_sizes(experiment, progress)
    numbers = sorted(set(sizes))
    check_sizes(numbers, several=False)
    return {
        f"{number} groups": experiment.model_copy(
            update={"split": experiment.split.model_copy(update={"training_groups": number})}
        )
        for number in numbers
    }


def check_sizes(
    sizes: bool | Sequence[int],  # noqa: FBT001 - one of its forms
    *,
    several: bool,
) -> None:
    """Refuse sizes that make no learning curve, whatever the images are.

    Parameters
    ----------
    sizes
        Numbers of training groups; True: they are chosen later.
    several
        Whether the study has several experiments.

    Raises
    ------
    errors.ExperimentError
        The study has several experiments.
    errors.SplitError
        There are fewer than three sizes.
    """
    if several:
        raise errors.ExperimentError(
            "sizes need a single experiment", "Study one setting at a time, without --vary"
        )
    if isinstance(sizes, bool):
        return
    if len(set(sizes)) < _FEWEST_SIZES:
        raise errors.SplitError(
            f"a learning curve needs three sizes, not {len(set(sizes))}",
            "Name three numbers of training groups, such as --sizes [8,16,32]",
        )


def _default_sizes(experiment: Experiment, progress: Progress | None) -> list[int]:
    catalog, stored = readable_catalog(experiment, progress)
    pixels = digests(stored.stats)
    split = experiment.split.model_copy(update={"training_groups": None})
    table = split.apply(catalog, pixels).table
    total = len(training_blocks(table, Split.linked_groups(table, pixels)))
    if split.splitter is not None:
        total -= max(1, total // 20)  # other folds may have a few groups less
    fewest = 2 * len(catalog.class_names)
    return [number for f in _FRACTIONS if (number := round(f * total)) >= fewest]


def learning_curves(study: Study) -> tuple[LearningCurveRecord, ...]:
    """Fit the accuracy of experiments that differ in their number of training groups only.

    Parameters
    ----------
    study
        A study whose runs are finished.
    """
    splits = sorted({split for each in study.experiments for split in each.test_splits})
    return tuple(
        _curve(experiments, split)
        for split in splits
        for same in on_same_images(study, split)
        for experiments in _series(same)
    )


def _series(experiments: Sequence[StudyExperiment]) -> Iterator[list[StudyExperiment]]:
    """Yield the experiments of each curve, by their number of training groups."""
    series: dict[str, list[StudyExperiment]] = {}
    for each in experiments:
        if _size(each) is not None:
            settings: dict[str, Any] = dict(each.record.experiment)
            settings["split"] = {**settings["split"], "training_groups": None}
            series.setdefault(repr(settings), []).append(each)
    for members in series.values():
        if len(members) >= _FEWEST_SIZES:
            yield sorted(members, key=lambda each: _size(each) or 0)


def _size(experiment: StudyExperiment) -> int | None:
    split: Mapping[str, Any] = experiment.record.experiment["split"]  # type: ignore[assignment]
    size: int | None = split.get("training_groups")
    return size


def _curve(experiments: Sequence[StudyExperiment], split: str) -> LearningCurveRecord:
    first = experiments[0].runs[0]
    images = split_predictions(first, split)
    groups, _ = groups_and_batches(first, images)
    labels = images["label"].to_numpy()
    correct = np.stack(
        [
            (run_column(each.runs, images, split, "predicted") == labels).mean(axis=0)
            for each in experiments
        ]
    )
    sizes = [_size(each) or 0 for each in experiments]
    measured = {
        "split": split,
        "measured_groups": sizes,
        "measured_accuracy": [float(row.mean()) for row in correct],
        "test_groups": len(np.unique(images.index if groups is None else groups)),
    }
    independent = np.arange(len(labels)) if groups is None else groups
    try:
        curve = learning_curve(sizes, correct, independent)
    except errors.InvalidInput as error:
        return LearningCurveRecord.model_validate(
            {**measured, "reason": f"{error.what}: {error.hint}"}
        )
    return LearningCurveRecord.model_validate(
        {
            **measured,
            "groups": curve.groups.tolist(),
            "accuracy": curve.accuracy.tolist(),
            "low": curve.low.tolist(),
            "high": curve.high.tolist(),
            "a": curve.a,
            "b": curve.b,
            "c": curve.c,
        }
    )
