"""Compare the experiments of a study with each other, on the same test images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellvision.results.verdicts import PairRecord
from cellvision.statistics import CROSS_VALIDATION_FACTOR, pairwise_differences
from cellvision.studies.verdict import (
    groups_and_batches,
    on_same_images,
    run_column,
    split_predictions,
)

if TYPE_CHECKING:
    from cellvision.results.study import Study, StudyExperiment


def compare_experiments(study: Study) -> tuple[PairRecord, ...]:
    """Return the difference of each pair of experiments on each test set.

    The intervals of one test set are simultaneous 95 % confidence intervals: a pair whose
    interval excludes 0 differs.

    Parameters
    ----------
    study
        A study whose runs are finished.
    """
    splits = sorted({split for each in study.experiments for split in each.test_splits})
    return tuple(
        record
        for split in splits
        for experiments in on_same_images(study, split)
        if len(experiments) > 1
        for record in _pairs(experiments, split)
    )


def _pairs(experiments: Sequence[StudyExperiment], split: str) -> Iterator[PairRecord]:
    first = experiments[0].runs[0]
    images = split_predictions(first, split)
    groups, _ = groups_and_batches(first, images)
    if len(np.unique(images.index.to_numpy() if groups is None else groups)) < 2:
        return  # one group says nothing about others
    labels = images["label"].to_numpy()
    correct = {
        each.name: (run_column(each.runs, images, split, "predicted") == labels).mean(axis=0)
        for each in experiments
    }
    for (a, b), interval in pairwise_differences(correct, groups).items():
        limits = interval
        if first.cross_validated:
            limits = interval.widened(CROSS_VALIDATION_FACTOR, (-1.0, 1.0))
        yield PairRecord(
            split=split,
            a=a,
            b=b,
            difference=limits.estimate,
            low=limits.low,
            high=limits.high,
            interval=limits.method,
        )
